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
        self.register_buffer("code", torch.zeros(n_components))
        self.register_buffer("data", torch.zeros(n_features))
        self.register_buffer("code_code", torch.zeros(n_components, n_components))
        self.register_buffer("code_data", torch.zeros(n_components, n_features))

    @torch.no_grad()
    def update(self, z, x_hat):
        """Take a batch of codes, and what the generator makes of them, into account."""
        self.n_updates += 1
        rate = 1 / min(self.n_updates, _MEMORY)
        self.code.lerp_(z.mean(0), rate)
        self.data.lerp_(x_hat.mean(0), rate)
        self.code_code.lerp_(z.T @ z / len(z), rate)
        self.code_data.lerp_(z.T @ x_hat / len(z), rate)

    def posterior(self, sigma):
        """Return the posterior's mean as a function of data, and its variances.

        The variances have shape (1, k). Features that are NaN are taken at their mean.
        """
        covariance = (self.code_code - torch.outer(self.code, self.code)).double()
        ridge = _RIDGE * covariance.diagonal().mean() + _TINY
        covariance.diagonal().add_(ridge)
        cross = (self.code_data - torch.outer(self.code, self.data)).double() / sigma
        factor = torch.linalg.cholesky(covariance + cross @ cross.T)
        shrinkage = torch.cholesky_solve(
            covariance, factor
        ).T  # S (S + C C' / sigma^2)^-1
        gain = (shrinkage @ cross / sigma).to(self.code)
        variance = torch.linalg.vecdot(shrinkage, covariance).to(self.code)
        offset = self.code - gain @ self.data

        def mean(x):
            return linear(torch.where(x.isnan(), self.data, x), gain, offset)

        return mean, variance[None]
