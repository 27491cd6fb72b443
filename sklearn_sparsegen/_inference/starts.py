"""Starts: the codes at which inference begins."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .._model.linear_layers import forward
from .._model.priors import keep_largest
from .._model.scale import jacobian_at_zero, norm_of_weights, slopes_at_zero
from .memories import CodeMoments, Memory

_TINY = 1e-12  # keeps quotients finite


class Start(Protocol):
    """Where inference begins; `Chains` of `memories.py` is another one."""

    @property
    def memory(self) -> Memory | None:
        """What training remembers for it."""

    @property
    def learns(self) -> bool:
        """Whether it is trained with the generator, and has `follow` like `Learned`."""

    def codes(self, x: Tensor, rows: Any, prior: Any, draw: Any) -> Tensor:
        """Return codes for the data x, (n, k), or one code for all rows, (1, k).

        `rows` are the places of the rows of x in the training data, None in
        `transform`, and `draw()` returns standard normal values of shape (n, k).
        """


@dataclass(frozen=True)
class Zeros:
    """Inference starts at zero."""

    n_components: int

    memory, learns = None, False

    def codes(self, x, rows, prior, draw):
        return x.new_zeros(1, self.n_components)


class StandardNormal:
    """Inference starts at a draw from the standard normal distribution.

    A step of length 0 makes it a code that the prior allows: one without negative
    entries, or with a limited number of active ones.
    """

    memory, learns = None, False

    def codes(self, x, rows, prior, draw):
        z = draw()
        return prior.prox(z, 0.0, z)[0]


class PriorDraw:
    """Inference starts at a draw from the prior."""

    memory, learns = None, False

    def codes(self, x, rows, prior, draw):
        return prior.sample(draw)


class AffineMap(nn.Module):
    """An affine map from data to codes, which is trained with the generator.

    `undo` brings data to mean 0 and variance 1; a feature that is NaN is then taken at
    its mean. `scale`, a number, lets the weights have a size that suits Adam whatever
    the scale of the codes is. `slopes` (k,) are those of the generator at z = 0.
    """

    def __init__(self, n_components, undo):
        super().__init__()
        self.undo = undo
        self.linear = nn.Linear(len(undo.offset), n_components, dtype=torch.float32)
        self.register_buffer("scale", torch.ones((), dtype=torch.float32))
        self.register_buffer("slopes", torch.ones(n_components, dtype=torch.float32))

    def forward(self, x):
        """Return codes before a threshold."""
        x = self.undo(x)
        return self.scale * forward(nn.Sequential(self.linear), x.where(~x.isnan(), 0))

    @torch.no_grad()
    def begin(self, generator):
        """Start at the codes of one component each that fit best (matched filters)."""
        jacobian = jacobian_at_zero(generator, len(self.slopes))
        self.slopes = jacobian.norm(dim=0)
        size = self.slopes.mean().clamp_min(_TINY)
        norm = norm_of_weights(len(jacobian))
        # Data are divided by the unit of `undo`.
        self.scale.copy_(1 / (size * norm * self.undo.scale))
        weight = jacobian / self.slopes.square().clamp_min(_TINY) * size * norm
        self.linear.weight.copy_(weight.T)
        self.linear.bias.zero_()

    @torch.no_grad()
    def follow(self, generator, factor):
        """Follow a generator whose codes have grown by a factor for each, (k,)."""
        self.slopes = slopes_at_zero(generator, len(self.slopes))
        size = self.slopes.mean().clamp_min(_TINY)
        norm = norm_of_weights(self.linear.in_features)
        scale = 1 / (size * norm * self.undo.scale)
        factor = factor * self.scale / scale
        self.linear.weight *= factor[:, None]
        self.linear.bias *= factor
        self.scale.copy_(scale)


@dataclass
class Learned:
    """Inference starts at the codes of an affine map that is trained.

    The `n_active` largest entries are kept. A proximal step of the prior, as long as
    the slopes of the generator allow for one component alone, thresholds them.
    """

    network: AffineMap
    sigma: float
    n_active: int

    memory, learns = None, True

    def codes(self, x, rows, prior, draw):
        """Return codes, with a gradient that passes where they are active."""
        v = self.network(x)
        step = (self.sigma / self.network.slopes.clamp_min(_TINY)).square()[None]
        with torch.no_grad():
            values = v.detach().clamp_min(0) if prior.nonnegative else v.detach()
            largest = keep_largest(values, self.n_active)
            z, slope = prior.prox(largest, step, v.detach())
            slope = slope * (z != 0)
        return z + slope * (v - v.detach()) if v.requires_grad else z

    def follow(self, generator, factor):
        self.network.follow(generator, factor)


@dataclass
class Linear:
    """Inference starts at the codes under the affine map nearest to the generator.

    The posterior under that map is normal. A proximal step of the prior thresholds its
    mean, with its variances for the step sizes. In the first epoch, when there are no
    moments, inference starts at zero.
    """

    memory: CodeMoments
    sigma: float
    n_components: int

    learns = False

    @cached_property
    def _posterior(self):
        # For all batches of an epoch, while the moments go on.
        return self.memory.posterior(self.sigma) if self.memory.n_rows else None

    def codes(self, x, rows, prior, draw):
        """Return a code for each row, or one code of zeros."""
        if self._posterior is None:
            return x.new_zeros(1, self.n_components)
        mean, variance = self._posterior
        z = mean(x)
        return prior.prox(z, variance, z)[0]
