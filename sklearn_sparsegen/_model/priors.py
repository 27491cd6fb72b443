"""Priors of the components of a code; `protocols.py` says what they must have."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F


def _log_normal(z, scale, half):
    """Return the log density of a normal distribution of mean 0, or of its half."""
    constant = half * math.log(2) - math.log(scale * math.sqrt(2 * math.pi))
    return torch.mul(z, z).mul_(-0.5 / scale**2).add_(constant)


def keep_largest(v, n):
    """Return codes with all but the n largest entries of each set to zero."""
    largest = v.abs().topk(n, dim=1, sorted=False).indices
    return v * torch.zeros_like(v).scatter_(1, largest, 1.0)


@dataclass(frozen=True)
class SpikeSlab:
    r"""Spike and slab, a mixture of two zero-mean normals of each component (Eq. 1).

    .. math:: p(z) = \alpha N(z; 0, s_1^2) + (1 - \alpha) N(z; 0, s_2^2)

    `alpha` is the probability of the slab; s_1 is `slab_scale`, and s_2, which must be
    smaller, is `spike_scale`. Li and Han call the narrow part "slab"; here, as in the
    field, it is the spike. All results are finite for `|z|` up to 1e4 in float32, for
    `alpha` from 0 to 1 inclusive and for spikes from 1e-3 up.

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
    nonnegative: bool = False  # whether both are half-normal distributions

    smooth = True

    def __post_init__(self):
        if self.spike_scale >= self.slab_scale:
            raise ValueError(
                f"spike_scale={self.spike_scale} must be below "
                f"slab_scale={self.slab_scale}."
            )

    @property
    def _precision_gap(self):
        return self.spike_scale**-2 - self.slab_scale**-2

    def log_prob(self, z):
        """Return the log density of each entry (Eq. 14, its root corrected)."""
        if self.alpha == 0:
            return _log_normal(z, self.spike_scale, self.nonnegative)
        log_slab = _log_normal(z, self.slab_scale, self.nonnegative)
        ratio = F.softplus(self._spike_logit(z), threshold=50)
        return log_slab.add_(ratio).add_(math.log(self.alpha))

    def slab_proba(self, z):
        """Return the posterior probability of the slab at each entry (Eq. 9)."""
        return self._spike_logit(z).neg_().sigmoid_()

    def energy(self, z):
        if self.alpha < 1e-30:  # below this P(slab | 0) underflows in float32
            return -self.log_prob(z).sum(-1)
        # Bayes' theorem, p(z) = alpha N(z; 0, s1^2) / P(slab | z), takes fewer passes.
        log_slab = self.slab_proba(z).log_().sum(-1)
        constant = math.log(self.slab_scale * math.sqrt(2 * math.pi) / self.alpha)
        constant -= self.nonnegative * math.log(2)
        square = torch.linalg.vecdot(z, z).mul_(self.slab_scale**-2 / 2)
        return square.add_(log_slab).add_(z.shape[-1] * constant)

    def without_spike(self):
        return replace(self, alpha=1.0)

    def support(self, z):
        return torch.ones_like(z, dtype=torch.bool)

    def weight(self, z, out=None):
        """Return the weight w in d log p / dz = -z w(z) (Eq. 7, 10, 31).

        It is the mean precision of spike and slab under their posterior probabilities.
        `w(z) * u**2 / 2` majorises -log p(u) up to a constant, and touches it at u = z.
        """
        weight = self._spike_logit(z, out=out).sigmoid_()
        return weight.mul_(self._precision_gap).add_(self.slab_scale**-2)

    def prox(self, v, step, z):
        """Return the proximal step with the majoriser at z, and its derivative.

        The majoriser is made once more at the first minimiser. As -log p is concave in
        z^2, the energy does not rise if the step is short enough for the data term.
        """
        least, gap = 1 + step / self.slab_scale**2, step * self._precision_gap
        for _ in range(2):
            # This is 1 / (1 + step * w(z)), in few passes.
            slope = self._spike_logit(z).sigmoid_().mul_(gap).add_(least).reciprocal_()
            z = v * slope
        if self.nonnegative:
            z = z.clamp_min_(0)
            slope *= z.sign()
        return z, slope

    def redraw_spike(self, z, draw):
        """Draw the inactive entries anew from the spike.

        Inactive are those that are likelier to be in the spike than in the slab.
        `draw(*shape)` returns standard normal values.
        """
        inactive = self.slab_proba(z) < 0.5
        spike = self.spike_scale * draw(*z.shape)
        return torch.where(inactive, spike.abs_() if self.nonnegative else spike, z)

    def sample(self, draw):
        # "<=" gives the slab at alpha = 1 even where ndtr rounds to 1.
        slab = torch.special.ndtr(draw()) <= self.alpha
        z = draw()
        z = torch.where(slab, self.slab_scale * z, self.spike_scale * z)
        return z.abs_() if self.nonnegative else z

    def _spike_logit(self, z, out=None):
        """Return the log odds of the spike given `z`, infinite at alpha 0 and 1."""
        if self.alpha == 0:
            log_odds = math.inf
        elif self.alpha == 1:
            log_odds = -math.inf
        else:
            log_odds = math.log1p(-self.alpha) - math.log(self.alpha)
            log_odds += math.log(self.slab_scale / self.spike_scale)
        odds = z.new_full((), log_odds)
        return torch.addcmul(odds, z, z, value=-self._precision_gap / 2, out=out)


@dataclass(frozen=True)
class PointSpikeSlab:
    r"""Spike and slab whose spike is a point mass at zero.

    .. math:: p(z) = (1 - \alpha) \delta_0(z) + \alpha N(z; 0, s_1^2)

    It is the limit of `SpikeSlab` as the spike becomes narrower. Inactive entries are
    exactly zero. It has no gradient at zero, but its proximal step is a hard threshold.
    `n_active` is the largest number of active entries of a code, or None. It takes the
    place of alpha, which is then 1 for the energy, so that no active entry costs
    anything: the prior is the above for alpha = n_active / k, on condition of no more.
    """

    alpha: float
    slab_scale: float = 1.0
    nonnegative: bool = False  # whether the slab is a half-normal distribution
    n_active: int | None = None

    smooth = False

    @property
    def _cost(self):
        """Energy of an active entry at zero: log((1 - alpha) / alpha), at least 0."""
        if self.alpha == 0:
            return math.inf
        return math.log(max(1.0, (1 - self.alpha) / self.alpha))

    def _is_limited(self, z):
        return self.n_active is not None and self.n_active < z.shape[-1]

    def _log_odds(self, k):
        return math.log(self.n_active) - math.log(k - self.n_active)

    def _log_counts(self, k):
        """Return the log mass of each number of active entries, up to a constant."""
        n = torch.arange(self.n_active + 1, dtype=torch.float64)
        ways = math.lgamma(k + 1) - torch.lgamma(n + 1) - torch.lgamma(k - n + 1)
        return ways + n * self._log_odds(k)

    def log_prob(self, z):
        """Return the log density of active entries and the log mass of the others.

        If `n_active` is given, only the sum over the entries of a code is a log
        probability.
        """
        log_normal = _log_normal(z, self.slab_scale, self.nonnegative)
        if self._is_limited(z):
            k = z.shape[-1]
            log_total = self._log_counts(k).logsumexp(0).item()
            active = self._log_odds(k) + log_normal
            return torch.where(z != 0, active, 0.0) - log_total / k
        log_slab, log_spike = (
            math.log(mass) if mass else -math.inf
            for mass in (self.alpha, 1 - self.alpha)
        )
        return torch.where(self.support(z), log_slab + log_normal, log_spike)

    def energy(self, z):
        # An active entry has log((1 - alpha) / alpha), where that is positive, plus
        # z^2 / (2 slab_scale^2). The first term compares a mass with a density at zero;
        # it leaves out the density's constant, which depends on the unit of z.
        square = torch.linalg.vecdot(z, z).mul_(self.slab_scale**-2 / 2)
        n_active = z.sign().abs_().sum(-1)  # faster on a CPU than a comparison
        return square + torch.where(n_active > 0, n_active * self._cost, 0)

    def without_spike(self):
        return replace(self, alpha=1.0)

    def support(self, z):
        return (z != 0) | (self.alpha == 1 and not self._is_limited(z))

    def slab_proba(self, z):
        return self.support(z).to(z.dtype)

    def weight(self, z):
        """Return the curvature of the energy where `z` is active."""
        return torch.full_like(z, self.slab_scale**-2)

    def prox(self, v, step, z):
        if self.nonnegative:
            v = v.clamp_min(0)
        shrinkage = 1 + step / self.slab_scale**2
        if self._is_limited(v):
            v = keep_largest(v, self.n_active)
        # 1 where active, else 0. Comparing and selecting takes longer on a CPU.
        threshold = 2 * step * shrinkage * self._cost if self.alpha else math.inf
        excess = v.square().sub_(threshold)
        slope = excess.sign_().clamp_min_(0).div_(shrinkage)
        return (v * slope).add_(0.0), slope  # the sum turns -0.0 into 0.0

    def sample(self, draw):
        uniform = torch.special.ndtr(draw())
        if self._is_limited(uniform):
            # The number of active entries first, then which ones they are.
            share = self._log_counts(uniform.shape[1]).softmax(0).cumsum(0)[:-1]
            count = (torch.special.ndtr(draw()[:, :1]) > share.to(uniform)).sum(1)
            slab = uniform.argsort(1).argsort(1) < count[:, None]
        else:
            slab = uniform <= self.alpha
        z = draw() * self.slab_scale * slab
        return z.abs_() if self.nonnegative else z


@dataclass(frozen=True)
class Exponential:
    r"""Exponential prior of each non-negative component, :math:`r e^{-r z}`.

    Its proximal step, a soft threshold, gives exact zeros.
    """

    rate: float

    smooth = False
    nonnegative = True

    def energy(self, z):
        return self.rate * z.sum(-1)

    def prox(self, v, step, z):
        u = (v - self.rate * step).clamp_min_(0)
        return u, u.sign()

    def slab_proba(self, z):
        return (z > 0).to(z.dtype)

    def sample(self, draw):
        return torch.special.log_ndtr(draw()) / -self.rate
