"""Inference: the codes of given data under a generator and a prior.

Pure functions of tensors. Shapes: data x (n, D), codes z (n, k). The energy of a row is

    E(z) = |x - G(z)|^2 / (2 sigma^2) - log p(z),

which is -log p(x, z) of Eq. 3 up to a constant. No row enters the energy of another, so
a row's code depends on that row alone.
"""

import math

import torch


def data_term(x, z, generator, sigma):
    """Return |x - G(z)|^2 / (2 sigma^2) of each row, the energy's data term."""
    return (x - generator(z)).square().sum(1) / (2 * sigma**2)


def energy(x, z, generator, prior, sigma):
    """Return the energy of each row, shape (n,)."""
    return data_term(x, z, generator, sigma) - prior.log_prob(z).sum(1)


def data_gradient(x, z, generator, sigma):
    """Return the gradient of the data term with respect to z, shape (n, k)."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        x_hat = generator(z)
        residual = (x_hat.detach() - x) / sigma**2
        (gradient,) = torch.autograd.grad(x_hat, z, residual)
    return gradient


@torch.no_grad()
def infer(x, z, generator, prior, sigma, *, n_steps, step_size, draw=None):
    """Follow the posterior from the codes `z` for `n_steps` steps (Eq. 6, 7).

    One step moves by `step_size**2 / 2` times the gradient of the log posterior. With
    `draw`, a function that returns fresh standard normal noise, each step adds
    `step_size` times it: Langevin dynamics.
    """
    eta = step_size**2 / 2
    for _ in range(n_steps):
        gradient = data_gradient(x, z, generator, sigma) - prior.grad(z)
        z = z - eta * gradient
        if draw is not None:
            z += step_size * draw()
    return z


@torch.no_grad()
def stable_step_size(z, generator, prior, sigma):
    """Largest step size at which gradient steps from the codes `z` do not overshoot.

    A step s^2/2 is stable below 2/L, L being the curvature of the energy: the largest
    eigenvalue of J'J / sigma^2, J the generator's Jacobian (found by power iteration),
    plus that of -log p, which is largest at 0, where it equals the prior's weight.
    """
    direction = torch.ones_like(z)
    for _ in range(20):
        direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-30)
        _, tangent = torch.func.jvp(generator, (z,), (direction,))
        _, pull_back = torch.func.vjp(generator, z)
        (direction,) = pull_back(tangent)
    gain = direction.norm(dim=1).max().item() / sigma**2
    return 2 / math.sqrt(gain + prior.weight(torch.zeros(1, dtype=z.dtype)).item())


@torch.no_grad()
def laplace_log_likelihood(x, z, generator, prior, sigma):
    r"""Laplace's estimate of log p(x) of each row, in nats, around the codes `z`.

    .. math:: \log p(x, z) + \frac{k}{2} \log 2\pi - \frac{1}{2} \log\det H
              + \frac{1}{2} g^\top H^{-1} g

    with g the gradient of log p(x, z) and H = J'J / sigma^2 + diag(w(z)), w the prior's
    weight and J the generator's Jacobian: H is positive definite wherever z is, and the
    last term allows for codes that have not arrived at the maximum. Exact for a linear
    generator and a normal prior. Holds J, of n D k entries, in memory.
    """
    # (n, D, k); a generator takes batches, so each row goes through as a batch of one
    jacobian = torch.func.vmap(torch.func.jacfwd(lambda row: generator(row[None])[0]))(
        z
    )
    residual = (x - generator(z)) / sigma
    gradient = (jacobian.mT @ residual[:, :, None] / sigma).squeeze(2) + prior.grad(z)
    # float64 from here: the determinant of 800 components outruns float32
    hessian = (jacobian.mT @ jacobian).double() / sigma**2
    hessian.diagonal(dim1=1, dim2=2).add_(prior.weight(z))
    factor = torch.linalg.cholesky(hessian)
    half_log_det = factor.diagonal(dim1=1, dim2=2).log().sum(1)
    whitened = torch.linalg.solve_triangular(
        factor, gradient.double()[:, :, None], upper=False
    )
    log_joint = (
        prior.log_prob(z.double()).sum(1)
        - residual.double().square().sum(1) / 2
        - x.shape[1] * math.log(2 * math.pi * sigma**2) / 2
    )
    return (
        log_joint
        + z.shape[1] * math.log(2 * math.pi) / 2
        - half_log_det
        + whitened.square().sum((1, 2)) / 2
    )
