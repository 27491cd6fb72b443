"""Starts: the codes at which inference begins."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from torch import Tensor

from .memories import CodeMoments


class Start(Protocol):
    """Where inference begins; `Chains` of `memories.py` is another one."""

    def codes(self, x: Tensor, rows: Any, prior: Any, draw: Any) -> Tensor:
        """Return codes for the data x, (n, k), or one code for all rows, (1, k).

        `rows` are the places of the rows of x in the training data, None in
        `transform`, and `draw()` returns standard normal values of shape (n, k).
        """


@dataclass(frozen=True)
class Zeros:
    """Inference starts at zero."""

    n_components: int

    def codes(self, x, rows, prior, draw):
        return x.new_zeros(1, self.n_components)


class StandardNormal:
    """Inference starts at a draw from the standard normal distribution.

    A step of length 0 makes it a code that the prior allows: one without negative
    entries, or with a limited number of active ones.
    """

    def codes(self, x, rows, prior, draw):
        z = draw()
        return prior.prox(z, 0.0, z)[0]


class PriorDraw:
    """Inference starts at a draw from the prior."""

    def codes(self, x, rows, prior, draw):
        return prior.sample(draw)


@dataclass
class Linear:
    """Inference starts at the codes under the affine map nearest to the generator.

    The posterior under that map is normal. A proximal step of the prior thresholds its
    mean, with its variances for the step sizes. In the first epoch, when there are no
    moments, inference starts at zero.
    """

    moments: CodeMoments
    sigma: float
    n_components: int

    @cached_property
    def _posterior(self):
        # For all batches of an epoch, while the moments go on.
        return self.moments.posterior(self.sigma) if self.moments.n_rows else None

    def codes(self, x, rows, prior, draw):
        """Return a code for each row, or one code of zeros."""
        if self._posterior is None:
            return x.new_zeros(1, self.n_components)
        mean, variance = self._posterior
        z = mean(x)
        return prior.prox(z, variance, z)[0]
