"""The model joins a prior, a generator, a likelihood, a start and a solver.

Every encoder uses a `Model`, or an object with its methods and `generator`, `prior`,
`likelihood`, `refinement` and `solver`, which is None if a network finds the codes. An
encoder that cannot `sample` or `score` needs no `prior` or `log_likelihood`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from sklearn.utils import gen_batches

from .._model.energy import DataTerm
from .._model.laplace import laplace_log_likelihood
from .._model.likelihoods import squared_error
from .._model.linear_layers import forward, linear_layers, row_multiple
from .._model.scale import fix_slopes
from .._utils.random import row_noise
from .._utils.warn import first_of
from .solvers import Solution

_CPU_ROWS = 512  # enough for fast products, and few enough to stay in the cache


@dataclass
class Model:
    """A model whose codes are inferred through the generator.

    `seed` is that of the noise of inference, a tuple of int. The options are

    * `memory`: what training updates for a later start;
    * `stiffest`: the `StiffestDirection` that training updates;
    * `redraw_spike`: whether the generator learns from codes whose inactive entries are
      drawn anew from the spike. A solver that reaches a low energy hides codes in the
      spike, where the prior costs little, behind weights that grow. The posterior calls
      these entries noise, so the generator has to bear them as noise;
    * `coupling`: a function from the data term of a batch of training to one that
      couples its rows. Without it no row depends on another;
    * `data_variance`: the total variance of the data, by which `end_epoch` fixes the
      scale of the codes;
    * `refinement`: what `transform` does after inference.
    """

    generator: torch.nn.Module
    prior: Any
    likelihood: Any
    solver: Any
    start: Any
    n_components: int
    seed: tuple
    memory: Any = None
    stiffest: Any = None
    redraw_spike: bool = False
    coupling: Any = None
    data_variance: float | None = None
    refinement: Any = None

    def __post_init__(self):
        self.solver.check(self.prior)

    def batch_shape(self, batch_size):
        """Return the rows of a batch of inference, and a multiple to fill it up to."""
        if not next(self.generator.parameters()).is_cpu:
            return batch_size, 1
        multiple = row_multiple(self.generator)
        if linear_layers(self.generator) is None:
            # How much memory a row takes is unknown, so that the user's size counts.
            return batch_size + -batch_size % multiple, multiple
        return _CPU_ROWS, multiple

    def infer(self, x, rows=None):
        """Return the `Solution` for the data `x`; `check` tests it for divergence.

        `rows` are the places of the rows of x in the training data, or None.
        """
        n_rows = _CPU_ROWS if x.is_cpu and self.coupling is None else len(x)
        solutions = []
        for piece in gen_batches(len(x), n_rows):
            x_piece = x[piece]
            places = None if rows is None else rows[piece]
            draw = row_noise(x_piece, self.seed, self.n_components)
            z = self.start.codes(x_piece, places, self.prior, draw)
            term = DataTerm(x_piece, self.generator, self.likelihood)
            if self.coupling is not None:
                term = self.coupling(term)
            solutions.append(self.solver.solve(term, z, self.prior, draw))
        if len(solutions) == 1:
            return solutions[0]
        return Solution(
            torch.cat([solution.z for solution in solutions]),
            torch.cat([solution.energy for solution in solutions]),
            torch.cat([solution.not_converged for solution in solutions]),
        )

    def check(self, solution, rows):
        """Raise a ValueError if the inference of any row has diverged.

        `rows` are the places of the rows in X.
        """
        diverged = ~solution.energy.isfinite()
        if diverged.any():
            failed = first_of([rows[i] for i in diverged.nonzero()[:, 0]])
            advice = self.solver.advice(solution.z[~diverged], self)
            raise ValueError(f"Inference diverged for rows {failed} of X: {advice}")

    def loss(self, x, rows, weights, draw):
        """Return what training minimises: the data term at inferred codes (Eq. 8).

        The results are the loss of each row, for autograd; a dictionary of figures of
        each row; and the places and the codes of the rows whose energy is higher than
        at the start of inference. They are not multiplied by the `weights` of the rows,
        (n,), on the CPU. `draw(*shape)` returns standard normal values.
        """
        solution = self.infer(x, rows)
        self.check(solution, rows)
        z = solution.z
        active = self.prior.slab_proba(z) > 0.5
        if self.redraw_spike:
            z = self.prior.redraw_spike(z, draw)
        output = forward(self.generator, z)
        if self.memory is not None:
            self.memory.update(rows, z, output.detach(), weights)
        loss = self.likelihood.energy(x, output)
        figures = {
            "loss": loss.detach() + self.prior.energy(z),
            "squared_error": squared_error(x, self.likelihood.mean(output)),
            "active": active,
            "empty": ~active.any(1),
        }
        # A view of z, even an empty one, would keep all codes of the epoch in memory.
        rising = [], z.new_empty(0, z.shape[1])
        if not self.solver.monotone:
            (places,) = solution.not_converged.nonzero(as_tuple=True)
            rising = [int(rows[i]) for i in places], z[places]
        return loss, figures, rising

    def end_epoch(self, means, n_missed):
        """Bring the codes back to their scale, if nothing in the prior fixes it.

        `means` are those of the figures of the epoch, and `n_missed` is the number of
        steps that other processes took when this one had no rows left.
        """
        if self.memory is not None:
            self.memory.share(n_missed)
        if self.data_variance is not None:
            n_active = means["active"].sum().item()
            factor = fix_slopes(
                self.generator, self.n_components, self.data_variance, n_active
            )
            if self.memory is not None:
                self.memory.rescale(factor)
        if self.stiffest is not None:
            self.stiffest.update(self.generator, self.likelihood)

    def log_likelihood(self, x, z):
        """Return Laplace's estimate of log p(x) of each row around the codes `z`."""
        return laplace_log_likelihood(x, z, self)
