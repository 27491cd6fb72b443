"""Priors of a code's components: density, gradient, weight, responsibility, samples."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


def _log_normal(z, scale):
    """Log density of a zero-mean normal of that standard deviation."""
    constant = -math.log(scale * math.sqrt(2 * math.pi))
    return torch.mul(z, z).mul_(-0.5 / scale**2).add_(constant)


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

    nonnegative = False

    @property
    def _precision_gap(self):
        return self.spike_scale**-2 - self.slab_scale**-2

    def log_prob(self, z):
        """Log density of each entry of `z` (Eq. 14, its root corrected)."""
        if self.alpha == 0:
            return _log_normal(z, self.spike_scale)
        ratio = F.softplus(self._spike_logit(z), threshold=50)
        return _log_normal(z, self.slab_scale).add_(ratio).add_(math.log(self.alpha))

    def slab_proba(self, z):
        """Posterior probability of the slab given each entry of `z` (Eq. 9)."""
        return self._spike_logit(z).neg_().sigmoid_()

    def energy(self, z):
        """Return -log p of each code: of the rows of `z`."""
        if self.alpha < 1e-30:  # P(slab | 0) would underflow in float32
            return -self.log_prob(z).sum(-1)
        # by Bayes, p(z) = alpha N(z; 0, s1^2) / P(slab | z): in fewer passes
        log_slab = self.slab_proba(z).log_().sum(-1)
        constant = math.log(self.slab_scale * math.sqrt(2 * math.pi) / self.alpha)
        square = torch.linalg.vecdot(z, z).mul_(self.slab_scale**-2 / 2)
        return square.add_(log_slab).add_(z.shape[-1] * constant)

    def support(self, z):
        """Entries of `z` that have a density: all."""
        return torch.ones_like(z, dtype=torch.bool)

    def weight(self, z, out=None):
        """Weight w in d log p / dz = -z w(z), the precision averaged over both parts.

        It lies between the precisions of slab and spike (Eq. 7, 10, 31), and
        `z**2 * w / 2` majorises `-log p` up to a constant.
        """
        weight = self._spike_logit(z, out=out).sigmoid_()
        return weight.mul_(self._precision_gap).add_(self.slab_scale**-2)

    def prox(self, v, step, z):
        """Proximal step from `v`, with -log p replaced by its majoriser.

        The minimiser of `(u - v)**2 / (2 * step) + w(z) * u**2 / 2`, and again with
        that in the place of `z`. As -log p is concave in z^2, the energy does not rise
        where the step is short enough for the data term.

        Returns
        -------
        u : tensor like v
            The minimiser.

        slope : tensor like v
            Its derivative by `v`, for the majoriser.
        """
        least, gap = 1 + step / self.slab_scale**2, step * self._precision_gap
        for _ in range(2):
            # 1 / (1 + step * w(z)), in few passes
            slope = self._spike_logit(z).sigmoid_().mul_(gap).add_(least).reciprocal_()
            z = v * slope
        return z, slope

    def redraw_spike(self, z, draw):
        """Return `z` with entries that are likelier in the spike drawn from it anew.

        `draw(*shape)` gives standard normal values.
        """
        inactive = self.slab_proba(z) < 0.5
        return torch.where(inactive, self.spike_scale * draw(*z.shape), z)

    def sample(self, draw):
        """Sample codes; `draw()` gives a fresh tensor of standard normal values."""
        # <=, so that alpha = 1 takes the slab even where ndtr rounds to 1
        slab = torch.special.ndtr(draw()) <= self.alpha
        return draw() * torch.where(slab, self.slab_scale, self.spike_scale)

    def _spike_logit(self, z, out=None):
        """Log odds of spike against slab given `z`: infinite at alpha 0 and 1."""
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
    r"""Spike-and-slab prior whose spike is a point mass at zero.

    .. math:: p(z) = (1 - \alpha) \delta_0(z) + \alpha N(z; 0, s_1^2)

    The limit of `SpikeSlab` as the spike narrows: codes are exactly zero where they are
    inactive. It has no gradient, but its proximal step has a closed form.

    Parameters
    ----------
    alpha : float
        Prior probability of the slab, in [0, 1].

    slab_scale : float, default=1.0
        Standard deviation of the slab, :math:`s_1`.

    Examples
    --------
    >>> import torch
    >>> prior = PointSpikeSlab(alpha=0.01)
    >>> u, slope = prior.prox(torch.tensor([0.2, 0.4]), 0.01, None)
    >>> u
    tensor([0.0000, 0.3960])
    """

    alpha: float
    slab_scale: float = 1.0

    nonnegative = False

    @property
    def _cost(self):
        """Energy of being active, log((1 - alpha) / alpha) where that is positive."""
        if self.alpha == 0:
            return math.inf
        return math.log(max(1.0, (1 - self.alpha) / self.alpha))

    def log_prob(self, z):
        """Log of the density of each active entry of `z`, of the mass of all others."""
        log_slab, log_spike = (
            math.log(mass) if mass else -math.inf
            for mass in (self.alpha, 1 - self.alpha)
        )
        log_normal = _log_normal(z, self.slab_scale)
        return torch.where(self.support(z), log_slab + log_normal, log_spike)

    def energy(self, z):
        """Return what each code costs, at least 0: the rows of `z`.

        `log((1 - alpha) / alpha)`, where positive, for an active entry, and
        `z**2 / (2 * slab_scale**2)`: the odds of mass and density at 0 leave out the
        density's constant, whose unit is that of z.
        """
        square = torch.linalg.vecdot(z, z).mul_(self.slab_scale**-2 / 2)
        n_active = z.sign().abs_().sum(-1)  # comparing takes a processor longer
        return square + torch.where(n_active > 0, n_active * self._cost, 0)

    def support(self, z):
        """Entries of `z` that have a density: the active ones."""
        return (z != 0) | (self.alpha == 1)

    def slab_proba(self, z):
        """Posterior probability of the slab given each entry of `z`: 0 at 0, else 1."""
        return self.support(z).to(z.dtype)

    def weight(self, z):
        """Curvature of the energy where `z` is active."""
        return torch.full_like(z, self.slab_scale**-2)

    def prox(self, v, step, z):
        """Proximal step from `v`: the minimiser of `(u - v)**2 / (2 * step) + energy`.

        A hard threshold. `z`, the point that majorisers need, has no part in it.

        Returns
        -------
        u : tensor like v
            The minimiser.

        slope : tensor like v
            Its derivative by `v`.
        """
        shrinkage = 1 + step / self.slab_scale**2
        # 1 where active, else 0: a processor takes longer to compare and to choose
        excess = v.square().sub_(2 * step * shrinkage * self._cost)
        slope = excess.sign_().clamp_min_(0).div_(shrinkage)
        return (v * slope).add_(0.0), slope  # no -0.0

    def redraw_spike(self, z, draw):
        """Return `z`: what is in the spike is zero, and stays so."""
        return z

    def sample(self, draw):
        """Sample codes; `draw()` gives a fresh tensor of standard normal values."""
        slab = torch.special.ndtr(draw()) <= self.alpha
        return draw() * self.slab_scale * slab


@dataclass(frozen=True)
class LimitedSlab:
    """Slab on at most a number of components of each code, all others exactly zero.

    Parameters
    ----------
    n_active : int
        At most so many entries of a row are not zero.

    slab_scale : float, default=1.0
        Standard deviation of the slab.

    Examples
    --------
    >>> import torch
    >>> u, slope = LimitedSlab(2).prox(torch.tensor([[3.0, -1.0, 2.0]]), 1.0, None)
    >>> u
    tensor([[1.5000, 0.0000, 1.0000]])
    """

    n_active: int
    slab_scale: float = 1.0

    nonnegative = False

    def energy(self, z):
        """Return -log p of each code, up to a constant, on the support."""
        return torch.linalg.vecdot(z, z).mul_(self.slab_scale**-2 / 2)

    def prox(self, v, step, z):
        """Proximal step from `v`, the largest entries shrunk, and its derivative.

        Ties go by place.
        """
        largest = v.abs().topk(self.n_active, dim=1).indices
        slope = torch.zeros_like(v).scatter_(1, largest, 1.0)
        slope /= 1 + step / self.slab_scale**2
        return (v * slope).add_(0.0), slope  # no -0.0


@dataclass(frozen=True)
class Exponential:
    r"""Exponential prior of one non-negative component, :math:`r e^{-r z}`.

    Its proximal step has exact zeros.

    Parameters
    ----------
    rate : float
        r, one over the mean.

    Examples
    --------
    >>> import torch
    >>> u, slope = Exponential(2.0).prox(torch.tensor([0.1, 0.5, -1.0]), 0.1, None)
    >>> u
    tensor([0.0000, 0.3000, 0.0000])
    """

    rate: float

    nonnegative = True

    def energy(self, z):
        """Return -log p of each code, up to a constant, where none is negative."""
        return self.rate * z.sum(-1)

    def prox(self, v, step, z):
        """Proximal step from `v`, a soft threshold, and its derivative."""
        u = (v - self.rate * step).clamp_min_(0)
        return u, u.sign()

    def slab_proba(self, z):
        """Return 1 where `z` is active, else 0."""
        return (z > 0).to(z.dtype)

    def redraw_spike(self, z, draw):
        """Return `z`: what is inactive is zero, and stays so."""
        return z

    def sample(self, draw):
        """Sample codes; `draw()` gives a fresh tensor of standard normal values."""
        return torch.special.log_ndtr(draw()) / -self.rate
