"""Inference: the codes of given data under a generator and a prior.

Pure functions of tensors. Shapes: data x (n, D), codes z (n, k). The energy of a row is

    E(z) = |x - G(z)|^2 / (2 sigma^2) - log p(z),

which is -log p(x, z) of Eq. 3 up to a constant. No row enters the energy of another, so
a row's code depends on that row alone.
"""

import functools
import math

import torch

from ._data_term import make_residual
from ._priors import LimitedSlab

_GROW = 10.0  # of a row's step size in a move that is made, at most
_SHRINK = 0.3  # the same in one that is not
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
def proximal_steps(term, z, prior, *, n_steps, tol, stiffest, support=None):
    """Minimise the energy of each row from the codes `z` by quasi-Newton steps.

    The data term's Hessian is modelled by 1 / eta plus what the last move has shown of
    it (the BFGS formula with a memory of one), and the prior by its proximal step:
    `prior.prox(z - eta * gradient, eta)`, corrected for the last move. Every row has a
    step size `eta`, a memory and an end of its own. A move that would raise a row's
    energy is not made: the next is a shorter proximal step without a correction.
    Entries that a point mass holds at zero are not corrected.

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
        below `tol * max(1, |energy|)`: about twice the energy that one more proximal
        step would save, in nats, at the step size that the row has come to. Negative:
        never.

    stiffest : tuple of tensors of shape (1, k) and (1,)
        A direction and the data term's curvature along it, which the model of the
        Hessian begins with. Any will do; those of the largest curvature save steps.

    support : bool tensor of shape (n, k), default=None
        Entries that may move; the others must start at zero. None: all.

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
    if support is not None:
        gradient = gradient * support
    direction, curvature = stiffest
    # long, as the model knows the stiffest direction
    eta = (5 / curvature.clamp_min(1e-6)).expand(n)
    dot = torch.linalg.vecdot if term.separable else _dot_of_all_rows
    move = direction.expand(n, k)
    bend = curvature[:, None] * move
    secant = move, bend, dot(move, move), dot(move, bend)
    violation = torch.full_like(eta, math.inf)
    done = torch.zeros_like(eta, dtype=torch.bool)
    step = functools.partial(_quasi_newton_step, prior, dot)
    trial, proximal = step(z, gradient, eta, secant, support)
    for i in range(1, n_steps):
        value, trial_gradient = term.value_and_grad(trial)
        if support is not None:
            trial_gradient *= support
        trial_energy = value + prior.energy(trial)
        accepted = _is_lower(trial_energy, energy, term) > done
        energy = torch.where(accepted, trial_energy, energy)
        last = z, gradient
        z = _choose(accepted, trial, z)
        gradient = _choose(accepted, trial_gradient, gradient)
        # zero where the move was not made: then there is nothing to correct
        move, bend = z - last[0], gradient - last[1]
        square, product = dot(move, move), dot(move, bend)
        # the data term's mean curvature along the move; as it was, without a move
        curvature = (product + _TINY / eta) / (square + _TINY)
        lowest = 1 / (_GROW * eta)
        # the model is to curve upwards
        product = product.masked_fill(curvature < lowest, 0)
        eta = curvature.maximum(lowest).reciprocal_()
        eta = torch.where(accepted, eta, _SHRINK * eta).clamp_min_(_TINY)
        secant = move, bend, square, product
        trial, proximal = step(z, gradient, eta, secant, support)

        if i % _LEAVE_EVERY == 0:
            new_violation = _violation(z - proximal, eta, energy)
            violation = torch.where(done, violation, new_violation)
            if term.separable:
                done |= violation <= tol
            # moving the others together costs a copy, and asking a GPU costs a wait
            if z.is_cpu and done.any():
                for whole, part in zip(result, (z, energy, violation), strict=True):
                    whole[rows] = part
                n_left = len(done) - int(done.sum())
                if n_left == 0:
                    return result
                n_left += -n_left % term.full_rows
                if n_left >= len(done):
                    continue
                # those that are not done, and as many others as fill full_rows
                left = done.int().argsort(stable=True)[:n_left]
                term.keep(left)
                state = rows, z, energy, gradient, eta, violation, done, proximal, trial
                state = [part[left] for part in state]
                rows, z, energy, gradient, eta, violation, done, proximal, trial = state
                support = None if support is None else support[left]
    violation = torch.where(done, violation, _violation(z - proximal, eta, energy))
    # the last step is still to be taken, where it helps
    last_energy = term.value(trial) + prior.energy(trial)
    accepted = _is_lower(last_energy, energy, term) > done
    z = _choose(accepted, trial, z)
    energy = torch.where(accepted, last_energy, energy)
    for whole, part in zip(result, (z, energy, violation), strict=True):
        whole[rows] = part
    return result


def prune(term, z, n_active, slab_scale, *, stiffest, support=None):
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
            prior.prox(z, 0.0, z)[0],
            prior,
            n_steps=_PRUNE_STEPS,
            tol=-1.0,
            stiffest=stiffest,
            support=support,
        )
        count = max(n_active, int(_KEEP * count))
    return z


def _is_lower(new, old, term):
    """Whether the energy of each row is lower, or of all where they go together.

    By more than rounding, which other batches round otherwise.
    """
    if not term.separable:
        new, old = (energy.sum().expand_as(energy) for energy in (new, old))
    rounding = 4 * torch.finfo(old.dtype).eps * old.abs()
    return new < old - rounding.nan_to_num_(posinf=0.0)


def _dot_of_all_rows(a, b):
    """Inner product of all rows together, of shape (n,) as that of each."""
    return torch.linalg.vecdot(a.flatten(), b.flatten()).expand(len(a))


def _choose(accepted, new, old):
    """Return the rows of `new` that are accepted, and of `old`; `new` is used up."""
    if new.is_cpu:  # few are not; asking a GPU which would be a wait
        new[~accepted] = old[~accepted]
        return new
    return torch.where(accepted[:, None], new, old)


def _quasi_newton_step(prior, dot, z, gradient, eta, secant, support):
    """Return where a step from `z` leads, and the proximal step in it.

    The model of the data term's Hessian is I / eta, updated by BFGS with a move s and
    the difference y of the gradient along it. `secant` is s, y, s's and s'y, the last
    0 where the update is to be left out; `dot` takes such products. With
    C = eta * slope, the inverse of I / eta plus the prior's curvature, and
    p = z - prox, the minimiser of the model is, by Woodbury's formula,
    prox + C [s y] K^-1 [s'p y'p]', where

        K = [ s'C s - eta s's   s'C y       ]
            [ s'C y             y'C y + s'y ].
    """
    move, bend, square, product = secant
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
    # a <= 0 < c, but for rounding
    scale = torch.where((product > 0) & (determinant < 0), 1 / determinant, 0)
    trial = proximal.addcmul(((c * p - b * q) * scale)[:, None], scaled_move)
    trial.addcmul_(((a * q - b * p) * scale)[:, None], scaled_bend)
    if prior.nonnegative:
        trial.clamp_min_(0)
    return trial, proximal


def _violation(back, eta, energy):
    """Return |z - prox|^2 / eta of each row, as a share of the energy."""
    return torch.linalg.vecdot(back, back) / eta / energy.abs().clamp_min(1)


def stiffest_direction(z, generator, sigma):
    """Return the direction of the data term's largest curvature at the codes `z`.

    The eigenvector of J'J / sigma^2 of each row, shape (n, k), and its eigenvalue,
    shape (n,), J being the generator's Jacobian. By power iteration: from below.
    """
    # An irregular direction: columns of J may well cancel under a regular one.
    direction = torch.arange(z.shape[1]).to(z).cos().expand_as(z)
    z, x_hat, u, pulled = _linearise(generator, z)
    for _ in range(10):
        direction = torch.nn.functional.normalize(direction, eps=_TINY)
        (tangent,) = torch.autograd.grad(pulled, u, direction, retain_graph=True)
        (direction,) = torch.autograd.grad(x_hat, z, tangent, retain_graph=True)
    curvature = direction.norm(dim=1) / sigma**2
    return torch.nn.functional.normalize(direction, eps=_TINY), curvature


@torch.enable_grad()
def _linearise(generator, z):
    """Return z, G(z), u and J'u with their graphs.

    J'u is linear in u, so that gradients through it multiply by J: forward-mode
    derivatives, which would too, fail where threads use them at once.
    """
    z = z.detach().requires_grad_()
    x_hat = generator(z)
    u = torch.zeros_like(x_hat, requires_grad=True)
    (pulled,) = torch.autograd.grad(x_hat, z, u, create_graph=True)
    return z, x_hat, u, pulled


def stable_step_size(z, generator, prior, sigma):
    """Largest step size at which gradient steps from the codes `z` do not overshoot.

    A step s^2/2 is stable below 2/L, L being the curvature of the energy: that of the
    data term, plus that of -log p, which is largest at 0, where it equals the prior's
    weight.
    """
    _, curvature = stiffest_direction(z, generator, sigma)
    stiffest = prior.weight(torch.zeros(1, dtype=z.dtype)).item()
    return 2 / math.sqrt(curvature.max().item() + stiffest)


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
    _, x_hat, u, pulled = _linearise(generator, z)
    basis = torch.eye(z.shape[1]).to(z)[:, None].expand(-1, *z.shape)
    (columns,) = torch.autograd.grad(pulled, u, basis, is_grads_batched=True)
    jacobian = columns.permute(1, 2, 0)  # (n, D, k)
    support = prior.support(z)
    observed = ~x.isnan()
    jacobian *= observed[:, :, None] & support[:, None]
    residual = make_residual(x, x_hat.detach()) / sigma
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
