"""The model joins a prior, a generator, a likelihood, a start and a solver."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from sklearn.utils import gen_batches
from torch import Tensor

from .._model.energy import DataTerm
from .._model.generators import check_derivatives
from .._model.laplace import laplace_log_likelihood
from .._model.likelihoods import squared_error
from .._model.linear_layers import forward, linear_layers, row_multiple
from .._model.protocols import Likelihood, Prior
from .._model.scale import fix_atoms, fix_slopes, slopes_at_zero
from .._utils.random import row_noise
from .._utils.warn import first_of
from .memories import Memory
from .proximal import Refinement, StiffestDirection
from .solvers import Solution, Solver
from .starts import Start

_CPU_ROWS = 512  # enough for fast products, and few enough to stay in the cache


class Step(NamedTuple):
    """What training learns from the rows of a batch.

    `loss` (n,) is what it minimises, for autograd, and `figures` are others of each
    row: "loss", "squared_error" and, for the curves, "active" and "empty". A memory
    takes the codes `z` (n, k) and the generator's `output` (n, D). `rising` (n,) tells
    which rows end inference at a higher energy than they started at, or is None.
    """

    loss: Tensor
    figures: dict[str, Tensor]
    z: Tensor
    output: Tensor
    rising: Tensor | None = None


class CodeModel(Protocol):
    """What `fit` and `transform` need of a model, of whatever kind it is.

    An encoder that cannot `sample` or `score` needs no `prior` or `log_likelihood`.
    """

    generator: torch.nn.Module
    likelihood: Likelihood

    @property
    def solver(self) -> Solver | None:
        """How codes are inferred; None if a network finds them."""

    @property
    def refinement(self) -> Refinement | None:
        """What `transform` does after inference."""

    @property
    def memory(self) -> Memory | None:
        """What training remembers of the codes."""

    @property
    def alpha(self) -> float:
        """The value of the parameter alpha; 1 if there is none or it has no effect."""

    @property
    def codes_depend_on_sigma(self) -> bool:
        """Whether another sigma gives other codes."""

    def begin(self) -> None:
        """Prepare for training, or raise a ValueError if the generator is unfit."""

    def batch_shape(self, batch_size: int) -> tuple[int, int]:
        """Return the rows of a batch of inference, and a multiple to fill it up to."""

    def infer(self, x: Tensor, rows: Any = None) -> Solution:
        """Return the `Solution` for the data x.

        `rows` are the places of the rows of x in the training data, or None.
        """

    def check(self, solution: Solution, rows: Any) -> None:
        """Raise a ValueError if the inference of any row has diverged.

        `rows` are the places of the rows in X.
        """

    def loss(self, x: Tensor, rows: Any, draw: Callable[..., Tensor]) -> Step:
        """Return what training minimises, at the codes that are inferred.

        `draw(*shape)` returns standard normal values.
        """

    def end_step(self) -> None:
        """Do what follows a step of the optimiser."""

    def end_epoch(self, means: dict[str, Tensor], n_missed: int) -> None:
        """Do what follows an epoch of training.

        `means` are those of the figures of the epoch, and `n_missed` is the number of
        steps that other processes took when this one had no rows left.
        """

    def is_flat_at_zero(self) -> bool:
        """Return whether inference from zero cannot leave it."""

    def advice_on_steps(self) -> str:
        """Return advice on steps that are too long at the code zero, or ""."""


@dataclass
class Model:
    """A model whose codes are inferred through the generator.

    `seed` is that of the noise of inference, a tuple of int, `refinement` what
    `transform` does after inference, and `alpha` the value that the prior reaches at
    the end of training. The other options are for training:

    * `memory`: what it updates for a later start;
    * `stiffest`: the `StiffestDirection` that it updates;
    * `coupling`: a function from the data term of a batch to one that couples its rows.
      Without it no row depends on another;
    * `data_variance`: the total variance of the data, by which `end_epoch` fixes the
      scale of the codes.
    """

    generator: torch.nn.Module
    prior: Prior  # a solver's `check` tells what else it must have
    likelihood: Likelihood
    solver: Solver
    start: Start
    n_components: int
    seed: tuple
    refinement: Refinement | None = None
    alpha: float = 1.0
    memory: Memory | None = None
    stiffest: StiffestDirection | None = None
    coupling: Callable | None = None
    data_variance: float | None = None

    codes_depend_on_sigma = True

    def __post_init__(self):
        self.solver.check(self.prior)

    @property
    def redraws_spike(self):
        """Whether the generator learns from codes whose spike is drawn anew.

        A solver that reaches a low energy hides codes in the spike, where the prior
        costs little, behind weights that grow. The posterior calls these entries noise,
        so the generator has to bear them as noise.
        """
        return self.solver.fills_spike and self.prior.smooth

    def begin(self):
        check_derivatives(self.generator, self.n_components)
        if self.stiffest is not None:
            self.stiffest.update(self.generator, self.likelihood)

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
        diverged = ~solution.energy.isfinite()
        if diverged.any():
            failed = first_of([rows[i] for i in diverged.nonzero()[:, 0]])
            advice = self.solver.advice(solution.z[~diverged], self)
            raise ValueError(f"Inference diverged for rows {failed} of X: {advice}")

    def loss(self, x, rows, draw):
        """Return the data term at inferred codes (Eq. 8), as a `Step`."""
        start_loss = None
        if self.start.learns:
            # The map and the generator learn as an autoencoder does.
            z = self.start.codes(x, rows, self.prior, None)
            output = forward(self.generator, z)
            start_loss = self.likelihood.energy(x, output)
            if self.solver.n_steps == 0:
                return self._step(x, z.detach(), output, start_loss)
        solution = self.infer(x, rows)
        self.check(solution, rows)
        z, rising = solution.z, None if self.solver.monotone else solution.not_converged
        active = self.prior.slab_proba(z) > 0.5
        if self.redraws_spike:
            z = self.prior.redraw_spike(z, draw)
        output = forward(self.generator, z)
        loss = self.likelihood.energy(x, output)
        step = self._step(x, z, output, loss, active, rising)
        return step if start_loss is None else step._replace(loss=loss + start_loss)

    def _step(self, x, z, output, loss, active=None, rising=None):
        active = self.prior.slab_proba(z) > 0.5 if active is None else active
        figures = {
            "loss": loss.detach() + self.prior.energy(z),
            "squared_error": squared_error(x, self.likelihood.mean(output)),
            "active": active,
            "empty": ~active.any(1),
        }
        return Step(loss, figures, z, output.detach(), rising)

    def end_step(self):
        """Keep the norms of atoms, if nothing in the prior fixes the codes' scale."""
        if self.data_variance is not None:
            fix_atoms(self.generator)

    def end_epoch(self, means, n_missed):
        """Bring the codes back to their scale, if nothing in the prior fixes it."""
        if self.memory is not None:
            self.memory.share(n_missed)
        factor = next(self.generator.parameters()).new_ones(self.n_components)
        if self.data_variance is not None:
            n_active = means["active"].sum().item()
            factor = fix_slopes(
                self.generator, self.n_components, self.data_variance, n_active
            )
            if self.memory is not None:
                self.memory.rescale(factor)
        if self.start.learns:
            self.start.follow(self.generator, factor)
        if self.stiffest is not None:
            self.stiffest.update(self.generator, self.likelihood)

    def is_flat_at_zero(self):
        return not slopes_at_zero(self.generator, self.n_components).any()

    def advice_on_steps(self):
        return self.solver.advice_at_zero(self)

    def log_likelihood(self, x, z):
        """Return Laplace's estimate of log p(x) of each row around the codes `z`."""
        return laplace_log_likelihood(x, z, self)
