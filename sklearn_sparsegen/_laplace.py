"""Laplace's approximation of the likelihood of data."""

import math

import torch
from sklearn.utils import gen_batches

from ._energy import jacobian

_JACOBIAN_BYTES = 2**27  # upper bound of the memory for the Jacobians of some rows


def laplace_log_likelihood(x, z, model):
    """Return Laplace's estimate of log p(x) of each row around the codes `z`, in nats.

    `ScoreMixin.score_samples` has the formula. H is positive definite for every z, and
    the last term allows for codes that have not converged to the maximum.

    Entries to which the prior gives a mass and no density are left out of k, g and H;
    their mass is in log p(x, z). Features of x that are NaN are left out of p and J.
    """
    row_bytes = x.element_size() * x.shape[1] * z.shape[1]
    pieces = gen_batches(len(x), max(1, _JACOBIAN_BYTES // row_bytes))
    return torch.cat([_estimate(x[piece], z[piece], model) for piece in pieces])


@torch.no_grad()
def _estimate(x, z, model):
    prior, likelihood, missing = model.prior, model.likelihood, x.isnan()
    output, J = jacobian(model.generator, z)
    support = prior.support(z)
    J *= ~missing[:, :, None] & support[:, None]
    of_output = likelihood.scaled_gradient(x, output, missing) / likelihood.dispersion
    gradient = -(J.mT @ of_output[:, :, None]).squeeze(2) - z * prior.weight(z)
    # In float64, as float32 would round the log determinant of 800 components.
    curvature = likelihood.scaled_curvature(output)[:, :, None]
    hessian = (J.mT @ (curvature * J)).double()
    hessian /= likelihood.dispersion
    # Entries off the support get a 1, whose logarithm is 0.
    hessian.diagonal(dim1=1, dim2=2).add_(torch.where(support, prior.weight(z), 1))
    factor = torch.linalg.cholesky(hessian)
    half_log_det = factor.diagonal(dim1=1, dim2=2).log().sum(1)
    integral = _integral_of_half_space if prior.nonnegative else _integral
    return (
        prior.log_prob(z.double()).sum(1)
        - likelihood.energy(x.double(), output.double())
        - likelihood.constant((~missing).double().sum(1))
        + support.double().sum(1) * math.log(2 * math.pi) / 2
        - half_log_det
        + integral(z.double(), gradient.double(), hessian, factor, support)
    )


def _integral(z, gradient, hessian, factor, support):
    """Return what the gradient adds to the log of the integral of the approximation."""
    whitened = torch.linalg.solve_triangular(factor, gradient[:, :, None], upper=False)
    return whitened.square().sum((1, 2)) / 2


def _integral_of_half_space(z, gradient, hessian, factor, support):
    """Return the same for the integral over non-negative codes alone.

    The approximation is expanded anew at the maximum of the whole space, its negative
    entries set to zero, if it is higher there. From that point the integral is taken as
    a product over the components, each with its marginal standard deviation.
    """
    inverse = torch.cholesky_inverse(factor)
    scale = inverse.diagonal(dim1=1, dim2=2).sqrt()
    step = (z + (inverse @ gradient[:, :, None]).squeeze(2)).clamp_min(0) - z
    bend = (hessian @ step[:, :, None]).squeeze(2)
    gain = torch.linalg.vecdot(gradient - bend / 2, step)
    is_higher = gain > 0
    step, bend = step * is_higher[:, None], bend * is_higher[:, None]
    # An entry at zero is in the tail of a normal distribution whose peak is negative.
    peak = (scale * (gradient - bend)).clamp_max(0)
    tail = torch.special.erfcx(-peak / math.sqrt(2)).log() - math.log(2)
    inside = torch.special.log_ndtr((z + step) / scale)
    share = torch.where(z + step > 0, inside, tail)
    return gain * is_higher + torch.where(support, share, 0).sum(1)
