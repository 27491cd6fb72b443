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
    whitened = torch.linalg.solve_triangular(
        factor, gradient.double()[:, :, None], upper=False
    )
    estimate = (
        prior.log_prob(z.double()).sum(1)
        - likelihood.energy(x.double(), output.double())
        - likelihood.constant((~missing).double().sum(1))
        + support.double().sum(1) * math.log(2 * math.pi) / 2
        - half_log_det
        + whitened.square().sum((1, 2)) / 2
    )
    if prior.nonnegative:
        # What the normal approximation N(z + H^-1 g, H^-1) gives to non-negative codes,
        # if its components were independent.
        inverse = torch.cholesky_inverse(factor)
        mean = z + (inverse @ gradient.double()[:, :, None]).squeeze(2)
        ratio = mean / inverse.diagonal(dim1=1, dim2=2).sqrt()
        estimate += torch.where(support, torch.special.log_ndtr(ratio), 0).sum(1)
    return estimate
