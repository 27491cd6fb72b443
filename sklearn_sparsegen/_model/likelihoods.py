"""Likelihoods; `protocols.py` says what they must have."""

import math
from dataclasses import dataclass

import torch


def difference(x, output):
    """Return `output - x`, which is 0 where x is not observed; autograd may follow."""
    return torch.where(x.isnan(), 0, output - x)


@torch.no_grad()
def squared_error(x, mean):
    """Return the squared distance of each row from its reconstruction, (n,)."""
    return difference(x, mean).square().sum(1)


@dataclass(frozen=True)
class NormalLikelihood:
    """Normal noise of standard deviation sigma: p(x | z) = N(x; G(z), sigma^2 I)."""

    sigma: float

    @property
    def dispersion(self):
        """The number that divides the energy and its derivatives: the variance."""
        return self.sigma**2

    def mean(self, output):
        """Return the mean of the data given the generator's output."""
        return output

    def sample(self, output, draw):
        """Add noise to the output; `draw(*shape)` returns standard normal values."""
        return output + self.sigma * draw(*output.shape)

    def energy(self, x, output):
        """Return |x - output|^2 / (2 sigma^2) of each row; autograd may follow.

        This is -log p(x | z) without its `constant`.
        """
        return difference(x, output).square().sum(1) / (2 * self.dispersion)

    def scaled_gradient(self, x, output, missing=None):
        """Return the energy's gradient by the output, times `dispersion`; (n, D).

        `missing` is `x.isnan()`, or None if every feature is observed. The caller can
        fold the division by the dispersion into a product that it computes anyway.
        """
        residual = output - x
        if missing is not None:
            residual.masked_fill_(missing, 0)
        return residual

    def energy_and_scaled_gradient(self, x, output, missing=None):
        """Return both, faster than one by one, but not for autograd."""
        residual = self.scaled_gradient(x, output, missing)
        norm = torch.linalg.vector_norm(residual, dim=1)
        return norm.square_() / (2 * self.dispersion), residual

    def scaled_curvature(self, output):
        """Return the energy's second derivative by the output, times `dispersion`."""
        return torch.ones_like(output)

    def constant(self, n_features):
        """Return what -log p(x | z) of so many features has beyond the energy."""
        return n_features * math.log(2 * math.pi * self.dispersion) / 2
