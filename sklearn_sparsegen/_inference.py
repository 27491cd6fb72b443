"""Inference: the codes of given data under a generator and a prior.

Pure functions of tensors. Shapes: data x (n, D), codes z (n, k). The energy of a row is

    E(z) = |x - G(z)|^2 / (2 sigma^2) - log p(z),

which is -log p(x, z) of Eq. 3 up to a constant. No row enters the energy of another, so
a row's code depends on that row alone.
"""

import math

import torch

from ._data_term import make_residual
from ._priors import LimitedSlab

_GROW = 1.3  # of a row's step size in a move that is made, at most
_SHRINK = 0.2, 0.5  # the same in one that is not: at most, and at least
_LEAVE_EVERY = 5  # steps; then the rows that are done leave
_TINY = 1e-30  # keeps 0 / 0 finite
_KEEP = 0.85  # of the active codes, from one stage of pruning to the next
_PRUNE_STEPS = 10  # of a stage


@torch.no_grad()
def gradient_steps(term, z, prior, *, n_steps, step_size, draw=None):
    """Follow the posterior from the codes `z` for `n_steps` steps (Eq. 6, 7).

    One step moves by `step_size**2 / 2` times the gradient of the log posterior. With
    `draw`, a function that returns fresh standard normal noise, each step adds
    `step_size` times it: Langevin dynamics.
    """
    eta = step_size**2 / 2
    # the first step, from what may be one code for all rows, makes z and the buffer
    gradient = term.grad(z)
    weight = prior.weight(z)
    z = torch.addcmul(z, z, weight, value=-eta).sub(gradient, alpha=eta)
    weight = torch.empty_like(z)
    for step in range(n_steps):
        if step:
            gradient = term.grad(z)
            torch.addcmul(z, z, prior.weight(z, out=weight), value=-eta, out=z)
            z.sub_(gradient, alpha=eta)
        if draw is not None:
            z.add_(draw(), alpha=step_size)
    return z


@torch.no_grad()
def proximal_steps(term, z, prior, *, n_steps, tol, first_step, support=None):
    """Minimise the energy of each row from the codes `z` by accelerated proximal steps.

    A step from z is `prior.prox(z - eta * gradient, eta)`, followed by a move on along
    the difference from the last step's result: Nesterov's momentum. Every row has a
    step size `eta`, a momentum and an end of its own. A move that would raise a row's
    energy is not made: the next goes without momentum. Each move, made or not, shows
    the data term's curvature along it, and `eta` follows that. Entries that are exactly
    zero gain no momentum, so that it leaves a point mass alone.

    Parameters
    ----------
    term : data term
        Of the rows; used up. If it is not `separable`, moves are made or not by all
        rows together, and none is done before the others.

    z : tensor of shape (n, k) or (1, k)
        Where to start.

    prior : prior
        With `energy` and `prox`.

    n_steps : int
        Number of evaluations of the data term's gradient.

    tol : float
        A row is done once its violation of stationarity, `|z - prox|^2 / eta`, is
        below `tol * max(1, |energy|)`: about twice the energy that one more step would
        save, in nats. Negative: never.

    first_step : float
        The step size to begin with. Any will do; a good one saves steps.

    support : bool tensor of shape (n, k), default=None
        Entries that may move from where they start; None: all.

    Returns
    -------
    z : tensor of shape (n, k)
        Codes, of no higher energy than those at the start.

    energy : tensor of shape (n,)
        Their energy.

    violation : tensor of shape (n,)
        Violation of stationarity, as a share of `max(1, |energy|)`.
    """
    value, gradient = term.value_and_grad(z)
    n, k = gradient.shape
    z = z.expand(n, k)
    result = z.clone(), value.new_empty(n), value.new_empty(n)
    rows = torch.arange(n, device=z.device)
    energy = value + prior.energy(z)
    gradient = gradient.clone() if support is None else gradient * support
    eta = energy.new_full((n,), first_step)
    age = torch.ones_like(eta)  # of the momentum, in steps
    violation = torch.full_like(eta, math.inf)
    done = torch.zeros_like(eta, dtype=torch.bool)
    trial = proximal = _prox(prior, z, gradient, eta)
    for step in range(1, n_steps):
        move = trial - z
        value, trial_gradient = term.value_and_grad(trial)
        if support is not None:
            trial_gradient *= support
        # one over the data term's mean curvature along the move (Barzilai and Borwein)
        bend = torch.linalg.vecdot(trial_gradient - gradient, move).clamp_min_(_TINY)
        stable = torch.linalg.vecdot(move, move).div_(bend)
        trial_energy = value + prior.energy(trial)
        accepted = _no_higher(trial_energy, energy, term) > done
        low, high = (
            torch.where(accepted, *factors).mul_(eta)
            for factors in ((1.0, _SHRINK[0]), (_GROW, _SHRINK[1]))
        )
        eta = stable.clamp_(low, high)
        energy = torch.where(accepted, trial_energy, energy)
        z = torch.where(accepted[:, None], trial, z)
        gradient = torch.where(accepted[:, None], trial_gradient, gradient)

        last, proximal = proximal, _prox(prior, z, gradient, eta)
        # what is exactly zero stays so
        ahead = (proximal - last).masked_fill_(proximal == 0, 0)
        uphill = torch.linalg.vecdot(z - proximal, ahead) > 0
        # the momentum points uphill, or led there: restart
        age.masked_fill_(uphill | ~accepted, 0)
        trial = torch.addcmul(proximal, (age / (age + 1))[:, None], ahead)
        if prior.nonnegative:
            trial.clamp_min_(0)
        age += 1

        if step % _LEAVE_EVERY == 0:
            new_violation = _violation(z - proximal, eta, energy)
            violation = torch.where(done, violation, new_violation)
            if term.separable:
                done |= violation <= tol
            # moving the others together costs a copy, and asking a GPU costs a wait
            if z.is_cpu and done.any():
                for whole, part in zip(result, (z, energy, violation), strict=True):
                    whole[rows[done]] = part[done]
                left = ~done
                if not left.any():
                    return result
                term.keep(left)
                state = rows, z, energy, gradient, eta, age, violation, done
                state = [part[left] for part in (*state, proximal, trial)]
                rows, z, energy, gradient, eta, age, violation, done = state[:8]
                proximal, trial = state[8:]
                support = None if support is None else support[left]
    violation = torch.where(done, violation, _violation(z - proximal, eta, energy))
    # the last step is still to be taken, where it helps
    last_energy = term.value(proximal) + prior.energy(proximal)
    accepted = _no_higher(last_energy, energy, term) > done
    z = torch.where(accepted[:, None], proximal, z)
    energy = torch.where(accepted, last_energy, energy)
    for whole, part in zip(result, (z, energy, violation), strict=True):
        whole[rows] = part
    return result


def prune(term, z, n_active, slab_scale, *, first_step, support=None):
    """Lower the number of active codes of each row to `n_active`, a share at a time.

    Between the cuts, proximal steps that keep so many go on, so that the components
    left take over from those that went: the support is found from above, as by
    backward elimination. Parameters are as for `proximal_steps`; `term` is not used up.
    """
    count = z.shape[1]
    while count > n_active:
        prior = LimitedSlab(count, slab_scale)
        z, _, _ = proximal_steps(
            term,
            prior.prox(z, 0.0, z),
            prior,
            n_steps=_PRUNE_STEPS,
            tol=-1.0,
            first_step=first_step,
            support=support,
        )
        count = max(n_active, int(_KEEP * count))
    return z


def _no_higher(new, old, term):
    """Whether the energy of each row is no higher, or of all where they go together."""
    if term.separable:
        return new <= old
    return (new.sum() <= old.sum()).expand_as(new)


def _prox(prior, z, gradient, eta):
    """Proximal step of length `eta` (n,) from `z`."""
    eta = eta[:, None]
    return prior.prox(torch.addcmul(z, eta, gradient, value=-1), eta, z)


def _violation(back, eta, energy):
    """Return |z - prox|^2 / eta of each row, as a share of the energy."""
    return torch.linalg.vecdot(back, back) / eta / energy.abs().clamp_min(1)


def data_curvature(z, generator, sigma):
    """Return the largest eigenvalue of J'J / sigma^2 over the codes `z`.

    J is the generator's Jacobian. By power iteration: from below.
    """
    # An irregular direction: columns of J may well cancel under a regular one.
    direction = torch.arange(z.shape[1]).to(z).cos().expand_as(z)
    for _ in range(20):
        direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-30)
        # not torch.func's, whose forward mode fails when threads share it
        _, tangent = torch.autograd.functional.jvp(generator, z, direction)
        _, direction = torch.autograd.functional.vjp(generator, z, tangent)
    return direction.norm(dim=1).max().item() / sigma**2


def stable_step_size(z, generator, prior, sigma):
    """Largest step size at which gradient steps from the codes `z` do not overshoot.

    A step s^2/2 is stable below 2/L, L being the curvature of the energy: that of the
    data term, plus that of -log p, which is largest at 0, where it equals the prior's
    weight.
    """
    stiffest = prior.weight(torch.zeros(1, dtype=z.dtype)).item()
    return 2 / math.sqrt(data_curvature(z, generator, sigma) + stiffest)


def first_step(generator, n_components, sigma):
    """Return a step size for proximal steps to begin with, one for all rows.

    From the curvature at zero; longer than is stable there, because it falls as codes
    grow, and a step that is too long is not taken.
    """
    origin = next(generator.parameters()).new_zeros(1, n_components)
    return 2.5 / max(data_curvature(origin, generator, sigma), 1.0)


@torch.no_grad()
def laplace_log_likelihood(x, z, generator, prior, sigma):
    r"""Laplace's estimate of log p(x) of each row, in nats, around the codes `z`.

    .. math:: \log p(x, z) + \frac{k}{2} \log 2\pi - \frac{1}{2} \log\det H
              + \frac{1}{2} g^\top H^{-1} g

    with g the gradient of log p(x, z) and H = J'J / sigma^2 + diag(w(z)), w the prior's
    weight and J the generator's Jacobian: H is positive definite wherever z is, and the
    last term allows for codes that have not arrived at the maximum. Exact for a linear
    generator and a normal prior. Entries that the prior gives a mass and no density are
    left out of k, g and H: their mass is in log p(x, z). Features that are NaN in x are
    left out of D and J: p is that of the others. Holds J, of n D k entries, in memory.
    """
    # (n, D, k); a generator takes batches, so each row goes through as a batch of one
    jacobian = torch.func.vmap(torch.func.jacfwd(lambda row: generator(row[None])[0]))(
        z
    )
    support = prior.support(z)
    observed = ~x.isnan()
    jacobian *= observed[:, :, None] & support[:, None]
    residual = make_residual(x, generator(z)) / sigma
    gradient = -(jacobian.mT @ residual[:, :, None] / sigma).squeeze(2)
    gradient -= z * prior.weight(z)
    # float64 from here: the determinant of 800 components outruns float32
    hessian = (jacobian.mT @ jacobian).double() / sigma**2
    # off the support a 1, whose logarithm is 0
    hessian.diagonal(dim1=1, dim2=2).add_(torch.where(support, prior.weight(z), 1))
    factor = torch.linalg.cholesky(hessian)
    half_log_det = factor.diagonal(dim1=1, dim2=2).log().sum(1)
    whitened = torch.linalg.solve_triangular(
        factor, gradient.double()[:, :, None], upper=False
    )
    log_joint = (
        prior.log_prob(z.double()).sum(1)
        - residual.double().square().sum(1) / 2
        - observed.double().sum(1) * math.log(2 * math.pi * sigma**2) / 2
    )
    return (
        log_joint
        + support.double().sum(1) * math.log(2 * math.pi) / 2
        - half_log_det
        + whitened.square().sum((1, 2)) / 2
    )
