"""The protocol of solvers, and the paper's gradient steps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from .._model.energy import stiffest_direction
from .._utils.warn import first_of


@dataclass
class Solution:
    """Codes `z` (n, k), their energy (n,), and which rows did not converge (n,).

    The energy is None for codes that are not inferred through the generator.
    """

    z: torch.Tensor
    energy: torch.Tensor | None
    not_converged: torch.Tensor

    def __getitem__(self, rows):
        energy = None if self.energy is None else self.energy[rows]
        return Solution(self.z[rows], energy, self.not_converged[rows])


class Solver(Protocol):
    """How inference finds a code from where it starts."""

    @property
    def monotone(self) -> bool:
        """Whether no row ends at a higher energy than it started at."""

    @property
    def fills_spike(self) -> bool:
        """Whether codes end in the spike of a smooth prior; see `redraws_spike`."""

    @staticmethod
    def check(prior: Any) -> None:
        """Raise a ValueError if the solver does not suit the prior."""

    def solve(
        self, term: Any, z: torch.Tensor, prior: Any, draw: Callable | None = None
    ) -> Solution:
        """Return a `Solution` for the rows of the data term, which may be modified.

        `z` is where to start, of shape (n, k) or (1, k); `draw()` returns standard
        normal values of shape (n, k).
        """

    def advice(self, z: torch.Tensor, model: Any) -> str:
        """Return advice for inference that diverges around the codes `z`."""

    def advice_at_zero(self, model: Any) -> str:
        """Return advice if inference does not work from the code zero on, or ""."""

    def explain(
        self, z: torch.Tensor, rows: Sequence[int], n_rows: int, model: Any
    ) -> str:
        """Return what to tell of rows that did not converge, around the codes `z`."""


@dataclass(frozen=True)
class GradientSteps:
    """The paper's solver: steps along the gradient of the log posterior (Eq. 6, 7).

    Each of the `n_steps` steps adds `step_size**2 / 2` times the gradient to the code.
    With `langevin` it also adds `step_size` times standard normal noise, so that the
    steps sample from the posterior instead of maximising it. A row has not converged if
    its energy is higher than at the start, which is not tested with noise. `remedies`
    tells the user what to change where steps are too long.
    """

    n_steps: int
    step_size: float
    langevin: bool = False
    remedies: str = "Reduce step_size, increase sigma or rescale X."

    monotone = fills_spike = False

    @staticmethod
    def check(prior):
        if not prior.smooth:
            raise ValueError(
                "The gradient and langevin solvers need a prior with a gradient; under "
                "spike_scale=0 or n_nonzero_coefs there is none. Use "
                "solver='proximal', or a larger spike_scale."
            )

    @torch.no_grad()
    def solve(self, term, z, prior, draw=None):
        start = z
        eta = self.step_size**2 / 2
        # The first step may start at one code for all rows; it makes z and the buffer.
        gradient = term.gradient(z)
        weight = prior.weight(z)
        z = torch.addcmul(z, z, weight, value=-eta).sub(gradient, alpha=eta)
        weight = torch.empty_like(z)
        for step in range(self.n_steps):
            if step:
                gradient = term.gradient(z)
                torch.addcmul(z, z, prior.weight(z, out=weight), value=-eta, out=z)
                z.sub_(gradient, alpha=eta)
            if self.langevin:
                z.add_(draw(), alpha=self.step_size)
            if prior.nonnegative:  # noise is reflected, a gradient step is projected
                z = z.abs_() if self.langevin else z.clamp_min_(0)
        before, energy = (term.value(c) + prior.energy(c) for c in (start, z))
        rounding = term.x.shape[1] * torch.finfo(z.dtype).eps * before.abs()
        is_higher = energy > before + rounding
        return Solution(z, energy, is_higher & (not self.langevin))

    def advice(self, z, model):
        """Tell a step size that is stable around the codes `z`."""
        codes = torch.cat([z[:20], z.new_zeros(1, z.shape[1])])
        stable = stable_step_size(codes, model)
        if not 0 < stable < math.inf:
            return (
                "the slope of the generator is not finite there; reduce "
                "learning_rate_init or rescale X."
            )
        # Where the step is stable around z, it was too long elsewhere on the way.
        shorter = stable < self.step_size
        limit = (f"; a step_size below {stable:.2g} is stable here") if shorter else ""
        return (
            f"step_size={self.step_size} is too long for {model.likelihood} and this "
            f"generator{limit}. {self.remedies}"
        )

    def advice_at_zero(self, model):
        """Return advice if steps are too long at the code zero, or ""."""
        like = next(model.generator.parameters())
        origin = like.new_zeros(1, model.n_components)
        is_stable = self.step_size <= stable_step_size(origin, model)
        return "" if is_stable else self.advice(origin, model)

    def explain(self, z, rows, n_rows, model):
        return (
            f"Inference did not converge: the energy of {len(rows)} of {n_rows} rows "
            f"({first_of(rows)}) is higher than at the start; "
            f"{self.advice(z, model)}"
        )


def stable_step_size(z, model):
    """Return the largest `step_size` at which gradient steps do not diverge at `z`.

    Steps of length s^2/2 are stable below 2/L, where L is the curvature of the energy.
    That of -log p(z) is largest at 0, where it equals the prior's weight.
    """
    _, curvature = stiffest_direction(z, model.generator, model.likelihood)
    of_prior = model.prior.weight(torch.zeros(1, dtype=z.dtype)).item()
    return 2 / math.sqrt(curvature.max().item() + of_prior)
