"""The affine map nearest to a generator, and inference under it in closed form."""

import torch
from torch import nn

from ._data_term import linear

_MEMORY = 100  # batches of training; what came before fades
_RIDGE = 1e-3  # of the codes' mean variance, which keeps their covariance definite
_TINY = 1e-30  # and that of codes that are all zero


class LinearGenerator(nn.Module):
    r"""The affine map nearest to a generator over the codes that it is trained with.

    Nearest in the mean square ("statistical linearisation"): it follows from the means
    and the covariances of codes z and of what the generator makes of them, G(z). Under
    it, and with the codes' own mean and covariance for the prior, the posterior of a
    code is normal, and in closed form:

    .. math:: E[z | x] = \bar z + S (S + C C^\top / \sigma^2)^{-1} C
              (x - \bar x) / \sigma^2, \qquad
              \mathrm{Cov}[z | x] = S (S + C C^\top / \sigma^2)^{-1} S

    with S the covariance of z, (k, k), and C that of z and G(z), (k, D).

    Parameters
    ----------
    n_components, n_features : int
        Widths of a code and of a row of data.
    """

    def __init__(self, n_components, n_features):
        super().__init__()
        self.n_updates = 0
        self.register_buffer("code_mean", torch.zeros(n_components))
        self.register_buffer("data_mean", torch.zeros(n_features))
        self.register_buffer("covariance", torch.zeros(n_components, n_components))
        self.register_buffer("cross", torch.zeros(n_components, n_features))

    @torch.no_grad()
    def update(self, z, x_hat):
        """Take a batch of codes, and what the generator makes of them, into account."""
        self.n_updates += 1
        rate = 1 / min(self.n_updates, _MEMORY)
        # Within the batch, and between it and what came before: differences of raw
        # moments would lose the covariance in rounding where means are large.
        z_mean, x_mean = z.mean(0), x_hat.mean(0)
        z, x_hat = z - z_mean, x_hat - x_mean
        z_shift, x_shift = z_mean - self.code_mean, x_mean - self.data_mean
        between = rate * (1 - rate)
        self.covariance.lerp_(z.T @ z / len(z), rate)
        self.covariance.addr_(z_shift, z_shift, alpha=between)
        self.cross.lerp_(z.T @ x_hat / len(z), rate)
        self.cross.addr_(z_shift, x_shift, alpha=between)
        self.code_mean.lerp_(z_mean, rate)
        self.data_mean.lerp_(x_mean, rate)

    def posterior(self, sigma):
        """Return the posterior's mean as a function of data, and its variances.

        The variances have shape (1, k). Features that are NaN are taken at their mean.
        """
        covariance = self.covariance.to(torch.float64, copy=True)
        ridge = _RIDGE * covariance.diagonal().mean() + _TINY
        covariance.diagonal().add_(ridge)
        cross = self.cross.double() / sigma
        factor = torch.linalg.cholesky(covariance + cross @ cross.T)
        # S (S + C C' / sigma^2)^-1
        shrinkage = torch.cholesky_solve(covariance, factor).T
        gain = (shrinkage @ cross / sigma).to(self.cross)
        variance = torch.linalg.vecdot(shrinkage, covariance).to(self.cross)
        offset = self.code_mean - gain @ self.data_mean

        def mean(x):
            return linear(torch.where(x.isnan(), self.data_mean, x), gain, offset)

        return mean, variance[None]
