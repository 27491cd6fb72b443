"""Laplace's approximation of the likelihood of data."""

import math

import torch
from sklearn.utils import gen_batches

from .._utils.precision import cholesky, double
from .energy import jacobian
from .generators import copy_module

_PIECE_BYTES = 2**27  # upper bound of the memory for the Jacobians of some rows


@torch.no_grad()
def laplace_log_likelihood(x, z, model):
    """Return Laplace's estimate of log p(x) of each row around the codes `z`, in nats.

    `ScoreMixin.score_samples` has the formula. H is positive definite for every z, and
    the last term allows for codes that have not converged to the maximum.

    Entries to which the prior gives a mass and no density are left out of k, g and H;
    their mass is in log p(x, z). Features of x that are NaN are left out of p and J.
    """
    # All is in float64, because J'J loses half of the digits of J. The generator is a
    # copy, because other threads may use it.
    x, z = double(x), double(z)
    generator = copy_module(model.generator).to(x.device).to(x)
    support = model.prior.support(z)
    width = int(support.sum(1).max())
    # The entries of each row that have a density, filled up to the largest number.
    columns = support.byte().argsort(dim=1, descending=True, stable=True)[:, :width]
    widths = [x.shape[1], *(len(p) for p in generator.parameters() if p.ndim == 2)]
    row_bytes = 8 * (3 * max(widths) * width + 3 * min(x.shape[1], width) ** 2)
    pieces = gen_batches(len(x), max(1, _PIECE_BYTES // max(1, row_bytes)))
    parts = (
        _estimate(x[i], z[i], columns[i], generator, model.prior, model.likelihood)
        for i in pieces
    )
    return torch.cat(list(parts))


def _estimate(x, z, columns, generator, prior, likelihood):
    missing, support = x.isnan(), prior.support(z)
    n_active, support = support.to(x).sum(1), support.gather(1, columns)
    output, J = jacobian(generator, z, columns)
    J *= ~missing[:, :, None] & support[:, None]
    of_output = likelihood.scaled_gradient(x, output, missing) / likelihood.dispersion
    weight = torch.where(support, prior.weight(z).gather(1, columns), 1)
    own = z.gather(1, columns)
    gradient = -_product(J.mT, of_output) - own * weight * support
    curvature = likelihood.scaled_curvature(output) / likelihood.dispersion
    hessian = Hessian(curvature.sqrt()[:, :, None] * J, weight)
    integral = _integral_of_half_space if prior.nonnegative else _integral
    return (
        prior.log_prob(z).sum(1)
        - likelihood.energy(x, output)
        - likelihood.constant((~missing).to(x).sum(1))
        + n_active * (math.log(2 * math.pi) / 2)
        - hessian.half_log_det
        + integral(own, gradient, hessian, support)
    )


def _product(matrices, vectors):
    return (matrices @ vectors[:, :, None]).squeeze(2)


class Hessian:
    """The matrices J'J + diag(w) of some rows, of J (n, D, k) and w > 0 (n, k).

    With A = J diag(w)^(-1/2), the smaller one of I + A'A and I + AA' is factorised. The
    other one has the same determinant, and Woodbury's formula gives its inverse.
    """

    def __init__(self, J, weight):
        self._J, self._weight, self._root = J, weight, weight.sqrt()
        self._A = J / self._root[:, None]
        self._is_wide = J.shape[2] > J.shape[1]
        square = self._A @ self._A.mT if self._is_wide else self._A.mT @ self._A
        square.diagonal(dim1=1, dim2=2).add_(1)
        self._factor = cholesky(square)
        log_det = self._factor.diagonal(dim1=1, dim2=2).log().sum(1)
        self.half_log_det = log_det + self._root.log().sum(1)
        if self._is_wide:
            self._solved = torch.cholesky_solve(self._A, self._factor)

    def times(self, v):
        return _product(self._J.mT, _product(self._J, v)) + self._weight * v

    def solve(self, v):
        v = v / self._root
        if self._is_wide:
            v = v - _product(self._A.mT, _product(self._solved, v))
        else:
            v = torch.cholesky_solve(v[:, :, None], self._factor).squeeze(2)
        return v / self._root

    def inverse_diagonal(self):
        if self._is_wide:
            diagonal = 1 - (self._A * self._solved).sum(1)
        else:
            diagonal = torch.cholesky_inverse(self._factor).diagonal(dim1=1, dim2=2)
        return diagonal / self._weight


def _integral(z, gradient, hessian, support):
    """Return what the gradient adds to the log of the integral of the approximation."""
    return torch.linalg.vecdot(gradient, hessian.solve(gradient)) / 2


def _integral_of_half_space(z, gradient, hessian, support):
    """Return the same for the integral over non-negative codes alone.

    The approximation is expanded anew at the maximum of the whole space, its negative
    entries set to zero, if it is higher there. From that point the integral is taken as
    a product over the components, each with its marginal standard deviation.
    """
    scale = hessian.inverse_diagonal().sqrt()
    step = (z + hessian.solve(gradient)).clamp_min(0) - z
    bend = hessian.times(step)
    gain = torch.linalg.vecdot(gradient - bend / 2, step)
    is_higher = gain > 0
    step, bend = step * is_higher[:, None], bend * is_higher[:, None]
    # An entry at zero is in the tail of a normal distribution whose peak is negative.
    peak = (scale * (gradient - bend)).clamp_max(0)
    tail = torch.special.erfcx(-peak / math.sqrt(2)).log() - math.log(2)
    inside = torch.special.log_ndtr((z + step) / scale)
    share = torch.where(z + step > 0, inside, tail)
    return gain * is_higher + torch.where(support, share, 0).sum(1)
