"""The protocol of solvers, and the paper's gradient steps.

A solver, this one or that of `_proximal.py`, has

* `solve(term, z, prior, draw)`, which returns a `Solution`. `term` is the data term of
  the rows, which the solver may modify; `z` is where to start, of shape (n, k) or
  (1, k); `draw()` returns standard normal values of shape (n, k);
* `check(prior)`, which raises a ValueError if the solver does not suit the prior;
* `monotone`: whether no row ends at a higher energy than it started at;
* `advice(z, model)` and `explain(z, rows, n_rows, model)`, sentences for a user whose
  inference diverges, or does not converge for some rows, around the codes `z`.
"""

import math
from dataclasses import dataclass

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

    monotone = False

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
