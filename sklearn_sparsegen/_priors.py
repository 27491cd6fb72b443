"""Priors of a code's components: density, gradient, weight, responsibility, samples."""

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SpikeSlab:
    r"""Spike-and-slab prior of one component, a mixture of two zero-mean normals.

    .. math:: p(z) = \alpha N(z; 0, s_1^2) + (1 - \alpha) N(z; 0, s_2^2)

    The components of a code are independent. This is Eq. 1 of Li and Han [1]_, who call
    the narrow part "slab"; here, as elsewhere, it is the spike. Everything is finite
    for `|z|` up to 1e4 in float32, `alpha` from 0 to 1 inclusive and spikes from 1e-3
    up.

    Parameters
    ----------
    alpha : float
        Prior probability of the slab, in [0, 1].

    slab_scale : float, default=1.0
        Standard deviation of the slab, :math:`s_1`.

    spike_scale : float, default=0.1
        Standard deviation of the spike, :math:`s_2`, below `slab_scale`.

    References
    ----------
    .. [1] H. Li and T. Han, "Learning Sparse Latent Representations for Generator
       Model", arXiv:2209.09949, 2022.

    Examples
    --------
    >>> import torch
    >>> prior = SpikeSlab(alpha=0.01)
    >>> prior.slab_proba(torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64))
    tensor([0.0010, 0.7354, 1.0000], dtype=torch.float64)
    """

    alpha: float
    slab_scale: float = 1.0
    spike_scale: float = 0.1

    @property
    def _precision_gap(self):
        return self.spike_scale**-2 - self.slab_scale**-2

    def log_prob(self, z):
        """Log density of each entry of `z` (Eq. 14, its root corrected)."""
        slab, spike = (
            # weight 0 is log-weight -inf: that part drops out of the sum
            (math.log(weight) if weight else -math.inf)
            - math.log(scale)
            - math.log(2 * math.pi) / 2
            - (z / scale).square() / 2
            for weight, scale in (
                (self.alpha, self.slab_scale),
                (1 - self.alpha, self.spike_scale),
            )
        )
        return torch.logaddexp(slab, spike)

    def slab_proba(self, z):
        """Posterior probability of the slab given each entry of `z` (Eq. 9)."""
        return torch.sigmoid(-self._spike_logit(z))

    def weight(self, z):
        """Weight w in d log p / dz = -z w(z), the precision averaged over both parts.

        It lies between the precisions of slab and spike (Eq. 10, 31), and
        `z**2 * w / 2` majorises `-log p` up to a constant.
        """
        spike_proba = torch.sigmoid(self._spike_logit(z))
        return spike_proba.mul_(self._precision_gap).add_(self.slab_scale**-2)

    def grad(self, z):
        """Differentiate the log density at each entry of `z` (Eq. 7, corrected)."""
        return -z * self.weight(z)

    def sample(self, draw):
        """Sample codes; `draw()` gives a fresh tensor of standard normal values."""
        # <=, so that alpha = 1 takes the slab even where ndtr rounds to 1
        slab = torch.special.ndtr(draw()) <= self.alpha
        return draw() * torch.where(slab, self.slab_scale, self.spike_scale)

    def _spike_logit(self, z):
        """Log odds of spike against slab given `z`: infinite at alpha 0 and 1."""
        if self.alpha in (0, 1):
            return torch.full_like(z, math.inf if self.alpha == 0 else -math.inf)
        log_odds = math.log1p(-self.alpha) - math.log(self.alpha)
        log_odds += math.log(self.slab_scale / self.spike_scale)
        return log_odds - z.square() * (self._precision_gap / 2)
