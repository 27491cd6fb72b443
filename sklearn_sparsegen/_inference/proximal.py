"""Proximal quasi-Newton steps, and the refinement of codes that takes them again."""

import math
from dataclasses import dataclass

import torch

from .._model.energy import DataTerm, stiffest_direction
from .._utils.warn import first_of
from .solvers import Solution

_MAX_GROWTH = 10.0  # largest factor by which the step size grows after an accepted step
_SHRINKAGE = 0.3  # factor of the step size after a rejected step
_CHECK_EVERY = 5  # steps between two tests for converged rows
_TINY = 1e-30  # keeps 0 / 0 finite


class StiffestDirection(torch.nn.Module):
    """The direction in which a generator's data term curves most at the code zero.

    It is computed once per epoch, because that takes as long as inference of a row.
    Being a module, it moves with others.
    """

    def __init__(self, n_components):
        super().__init__()
        self.register_buffer("direction", torch.zeros(1, n_components))
        self.register_buffer("curvature", torch.zeros(1))
        self.dispersion = 1.0  # of the likelihood of the last update

    def update(self, generator, likelihood):
        """Compute the direction and the curvature anew."""
        origin = torch.zeros_like(self.direction)
        found = stiffest_direction(origin, generator, likelihood)
        self.direction, self.curvature = found
        self.dispersion = likelihood.dispersion

    def under(self, likelihood):
        """Return the direction (1, k) and the curvature along it (1,)."""
        factor = self.dispersion / likelihood.dispersion
        return self.direction, self.curvature * factor

    def get_extra_state(self):
        """Return the number that is no buffer."""
        return self.dispersion

    def set_extra_state(self, state):
        self.dispersion = state


@dataclass(eq=False)
class ProximalQuasiNewton:
    """The solver of proximal quasi-Newton steps.

    Each row takes at most `n_steps` evaluations of the data term's gradient, and stops
    once it has converged; see `proximal_steps`. With `tol=None` it takes all steps, and
    does not count as not converged. `stiffest` is what `StiffestDirection.under`
    returns.
    """

    n_steps: int
    tol: float | None
    stiffest: tuple

    monotone = fills_spike = True

    @staticmethod
    def check(prior):
        """Accept any prior that has a proximal step."""

    def solve(self, term, z, prior, draw=None, support=None):
        tol, n_steps = self.tol or 0.0, self.n_steps
        if n_steps == 0:
            z = z.detach().expand(len(term.x), -1)
            energy = term.value(z) + prior.energy(z)
            return Solution(z, energy, torch.zeros_like(energy, dtype=torch.bool))
        z, energy, violation = proximal_steps(
            term, z, prior, self.stiffest, n_steps=n_steps, tol=tol, support=support
        )
        return Solution(z, energy, (violation > tol) & (self.tol is not None))

    def advice(self, z, model):
        return "the energy is not finite; rescale X, or increase sigma."

    def advice_at_zero(self, model):
        """Return nothing: the steps choose their size."""
        return ""

    def explain(self, z, rows, n_rows, model):
        return (
            f"Inference stopped after {self.n_steps} steps before it reached "
            f"transform_tol={self.tol} for {len(rows)} of {n_rows} rows "
            f"({first_of(rows)}); increase transform_n_steps or "
            "transform_tol, or set transform_tol=None to take all steps without a test."
        )


@dataclass
class Refinement:
    """Set some entries of inferred codes to zero, and infer the others again.

    Entries that are likelier to be in the spike (`threshold="posterior"`), or whose
    absolute value is below a number, stay zero.
    """

    threshold: object
    solver: ProximalQuasiNewton

    def refine(self, x, solution, model):
        """Return a `Solution` with fewer active codes for the data `x`."""
        term, z = DataTerm(x, model.generator, model.likelihood), solution.z
        if self.threshold == "posterior":
            support = model.prior.slab_proba(z) >= 0.5
        else:
            support = z.abs() >= self.threshold
        slab = model.prior.without_spike()
        return self.solver.solve(term, z * support, slab, support=support)


@torch.no_grad()
def proximal_steps(term, z, prior, stiffest, *, n_steps, tol, support=None):
    """Minimise the energy of each row by proximal quasi-Newton steps from `z`.

    The data term's Hessian is modelled by 1 / eta, corrected by what the last step has
    shown of it (the BFGS formula with a memory of one step). At first the memory is
    `stiffest`, a direction and the data term's curvature along it; those of the largest
    curvature save steps. The prior enters by its proximal step
    `prior.prox(z - eta * gradient, eta)`, corrected for the memory. Each row has an
    `eta` and a memory of its own. A step that would raise its energy is rejected, and
    the next one is a shorter proximal step without correction. Entries that a point
    mass holds at zero are not corrected. If the term is not separable, all rows accept
    or reject a step together, and none stops before the others.

    A row has converged once its violation of stationarity, `|z - prox|^2 / eta`, is at
    most `tol * max(1, |energy|)`. The violation is about twice the energy, in nats,
    that one more proximal step would save at the step size that the row has reached.

    Entries outside `support`, a bool tensor of shape (n, k), must start at zero and
    stay there. The term is modified: converged rows are removed. Returns the codes,
    their energy and the violation divided by `max(1, |energy|)`.
    """
    value, gradient = term.value_and_gradient(z)
    n, k = gradient.shape
    z = z.expand(n, k)
    result = z.clone(), value.new_empty(n), value.new_empty(n)
    rows = torch.arange(n, device=z.device)
    energy = value + prior.energy(z)
    if support is not None:
        gradient = gradient * support
    direction, curvature = stiffest
    # The first step can be long, because the model knows the stiffest direction.
    eta = (5 / curvature.clamp_min(1e-6)).expand(n)
    dot = torch.linalg.vecdot if term.separable else _dot_of_all_rows
    move = direction.expand(n, k)
    bend = curvature[:, None] * move
    memory = move, bend, dot(move, move), dot(move, bend)
    violation = torch.full_like(eta, math.inf)
    done = torch.zeros_like(eta, dtype=torch.bool)
    trial, proximal = _quasi_newton_step(prior, dot, z, gradient, eta, memory, support)
    for i in range(1, n_steps):
        value, trial_gradient = term.value_and_gradient(trial)
        if support is not None:
            trial_gradient *= support
        trial_energy = value + prior.energy(trial)
        accepted = _is_lower(trial_energy, energy, term) > done
        energy = torch.where(accepted, trial_energy, energy)
        last = z, gradient
        z = _choose(accepted, trial, z)
        gradient = _choose(accepted, trial_gradient, gradient)
        # Both are zero after a rejected step, so that the next one has no correction.
        move, bend = z - last[0], gradient - last[1]
        square, product = dot(move, move), dot(move, bend)
        # The data term's mean curvature along the step; 1 / eta after a rejected step.
        curvature = (product + _TINY / eta) / (square + _TINY)
        lowest = 1 / (_MAX_GROWTH * eta)
        # A model that curves too little, or downwards, gets no correction.
        product = product.masked_fill(curvature < lowest, 0)
        eta = curvature.maximum(lowest).reciprocal_()
        eta = torch.where(accepted, eta, _SHRINKAGE * eta).clamp_min_(_TINY)
        memory = move, bend, square, product
        trial, proximal = _quasi_newton_step(
            prior, dot, z, gradient, eta, memory, support
        )

        if i % _CHECK_EVERY == 0:
            new_violation = _violation(z - proximal, eta, energy)
            violation = torch.where(done, violation, new_violation)
            if term.separable:
                done |= violation <= tol
            # Converged rows leave. Moving the others together costs a copy; on a GPU
            # the test would force a synchronisation.
            if z.is_cpu and done.any():
                for whole, part in zip(result, (z, energy, violation), strict=True):
                    whole[rows] = part
                n_left = len(done) - int(done.sum())
                if n_left == 0:
                    return result
                n_left += -n_left % term.row_multiple
                if n_left >= len(done):
                    continue
                # Converged rows fill the batch up, so that rounding stays the same.
                left = done.int().argsort(stable=True)[:n_left]
                term.keep(left)
                state = rows, z, energy, gradient, eta, violation, done, proximal, trial
                state = [part[left] for part in state]
                rows, z, energy, gradient, eta, violation, done, proximal, trial = state
                support = None if support is None else support[left]
    violation = torch.where(done, violation, _violation(z - proximal, eta, energy))
    # The last step has been computed, but not yet accepted or rejected.
    last_energy = term.value(trial) + prior.energy(trial)
    accepted = _is_lower(last_energy, energy, term) > done
    z = _choose(accepted, trial, z)
    energy = torch.where(accepted, last_energy, energy)
    for whole, part in zip(result, (z, energy, violation), strict=True):
        whole[rows] = part
    return result


def _is_lower(new, old, term):
    """Return whether the energy of each row is lower, or the sum of all rows' energy.

    It must be lower by more than rounding, which differs from batch to batch.
    """
    if not term.separable:
        new, old = (energy.sum().expand_as(energy) for energy in (new, old))
    rounding = 4 * torch.finfo(old.dtype).eps * old.abs()
    return new < old - rounding.nan_to_num_(posinf=0.0)


def _dot_of_all_rows(a, b):
    """Return the inner product of all rows together, repeated for each row."""
    return torch.linalg.vecdot(a.flatten(), b.flatten()).expand(len(a))


def _choose(accepted, new, old):
    """Return the rows of `new` that are accepted, else of `old`; `new` is modified."""
    if new.is_cpu:  # few rows are rejected; on a GPU the index would synchronise
        new[~accepted] = old[~accepted]
        return new
    return torch.where(accepted[:, None], new, old)


def _quasi_newton_step(prior, dot, z, gradient, eta, memory, support):
    """Return where a step from `z` leads, and the proximal step that it corrects.

    The model of the data term's Hessian is I / eta, updated by BFGS with a step s and
    the change y of the gradient along it. `memory` is s, y, s's and s'y, of which the
    last is 0 where the update is to be left out, and `dot` computes such products. With
    C = eta * slope, the inverse of I / eta plus the prior's curvature, and
    p = z - prox, the minimiser of the model is, by Woodbury's formula,
    prox + C [s y] K^-1 [s'p y'p]', where

        K = [ s'C s - eta s's   s'C y       ]
            [ s'C y             y'C y + s'y ].
    """
    move, bend, square, product = memory
    step = eta[:, None]
    proximal, slope = prior.prox(torch.addcmul(z, step, gradient, value=-1), step, z)
    inverse = slope.mul_(step)
    if support is not None:
        inverse *= support
    back = z - proximal
    p, q = dot(move, back), dot(bend, back)
    scaled_move, scaled_bend = inverse * move, inverse * bend
    a = dot(move, scaled_move) - eta * square
    b = dot(move, scaled_bend)
    c = dot(bend, scaled_bend) + product
    determinant = a * c - b * b
    # In exact arithmetic a <= 0 < c, so that the determinant is negative.
    scale = torch.where((product > 0) & (determinant < 0), 1 / determinant, 0)
    trial = proximal.addcmul(((c * p - b * q) * scale)[:, None], scaled_move)
    trial.addcmul_(((a * q - b * p) * scale)[:, None], scaled_bend)
    if prior.nonnegative:
        trial.clamp_min_(0)
    return trial, proximal


def _violation(back, eta, energy):
    """Return |z - prox|^2 / eta of each row, divided by max(1, |energy|)."""
    return torch.linalg.vecdot(back, back) / eta / energy.abs().clamp_min(1)
