"""The affine map nearest to a generator, and inference under it in closed form."""

import torch
from torch import nn

from ._data_term import linear, make_residual

_MEMORY = 20  # batches of training, about; what came before fades
_RIDGE = 1e-3  # of the codes' mean variance, which keeps their covariance definite
_TINY = 1e-30  # and that of codes that are all the same


class LinearGenerator(nn.Module):
    r"""Moments of codes in training, and of what the generator makes of them.

    The affine map that is nearest to the generator over these codes, in the mean
    square, follows from their means and covariances ("statistical linearisation").
    Under it, and with the codes' own mean and covariance for the prior, the posterior
    of a code is normal:

    .. math:: E[z | x] = \bar z + S (S + C C^\top / \sigma^2)^{-1} C
              (x - \bar x) / \sigma^2, \qquad
              \mathrm{Cov}[z | x] = S (S + C C^\top / \sigma^2)^{-1} S

    with S the covariance of z, (k, k), and a little of the identity, and C that of z
    and G(z), (k, D).

    Parameters
    ----------
    n_components, n_features : int
        Widths of a code and of a row of data.
    """

    def __init__(self, n_components, n_features):
        super().__init__()
        self.n_rows = 0.0  # seen, those that have faded less
        # of both together; the covariance has the codes' rows alone
        width = n_components + n_features
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("covariance", torch.zeros(n_components, width))

    @torch.no_grad()
    def update(self, z, x_hat):
        """Take a batch of codes, and what the generator makes of them, into account."""
        self.n_rows = len(z) + (1 - 1 / _MEMORY) * self.n_rows
        rate = len(z) / self.n_rows
        # Within the batch, and between it and what came before: differences of raw
        # moments would lose the covariance in rounding where means are large.
        rows = torch.cat([z, x_hat], dim=1)
        mean = rows.mean(0)
        rows -= mean
        shift = mean - self.mean
        k = z.shape[1]
        self.covariance.lerp_(rows[:, :k].T @ rows / len(z), rate)
        self.covariance.addr_(shift[:k], shift, alpha=rate * (1 - rate))
        self.mean.lerp_(mean, rate)

    def posterior(self, sigma):
        """Return the posterior's mean as a function of data, and its variances.

        The variances have shape (1, k). Features that are NaN are taken at their mean.
        """
        k = len(self.covariance)
        covariance, cross = self.covariance.double().tensor_split([k], dim=1)
        identity = torch.eye(k).to(covariance)
        ridge = _RIDGE * covariance.diagonal().mean() + _TINY
        root = torch.linalg.cholesky(covariance + ridge * identity)
        white = torch.linalg.solve_triangular(root, cross / sigma, upper=False)
        # I + W W' = R'R by QR: where sigma is small, I would be lost in the sum
        factor = torch.linalg.qr(torch.cat([white.T, identity]), mode="r").R.T
        half = torch.linalg.solve_triangular(factor, root.T, upper=False)
        white = torch.linalg.solve_triangular(factor, white, upper=False)
        gain = (half.T @ white / sigma).to(self.mean)
        code_mean, data_mean = self.mean.tensor_split([k])

        def mean(x):
            return linear(make_residual(x, data_mean), -gain, code_mean)

        return mean, half.square().sum(0, keepdim=True).to(self.mean)
