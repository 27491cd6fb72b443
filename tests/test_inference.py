"""Inference and the likelihood estimate, against independent references in float64."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats

from sklearn_sparsegen._inference.solvers import GradientSteps, stable_step_size
from sklearn_sparsegen._model.energy import DataTerm
from sklearn_sparsegen._model.generators import build_generator, mlp_generator
from sklearn_sparsegen._model.laplace import laplace_log_likelihood
from sklearn_sparsegen._model.likelihoods import NormalLikelihood
from sklearn_sparsegen._model.priors import SpikeSlab


def make_problem(sizes, *, alpha=0.1, n=7, k=4, d=12, sigma=0.3, seed=0, **kwargs):
    """Return a generator, a prior and data drawn from the model."""
    generator = build_generator(
        lambda k, d: mlp_generator(k, d, sizes, **kwargs), k, d, seed
    ).double()
    with torch.no_grad():  # so that the data move the codes
        generator[-2].weight *= 2
    prior = SpikeSlab(alpha)
    noise = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*(shape or (n, k)), generator=noise, dtype=torch.float64)

    z = prior.sample(draw)
    with torch.no_grad():
        x = generator(z) + sigma * draw(n, d)
    return x, z, generator, prior, draw


def paper_algorithm(x, z, generator, alpha, sigma, n_steps, s, noise=None):
    """Return codes by Eq. 6 and 7 of the paper, corrected, and plain autograd."""
    s1, s2 = 1.0, 0.1
    r1 = (1 - alpha) * s1 / (alpha * s2)
    r2 = (s2**2 - s1**2) / (s1**2 * s2**2)
    for step in range(n_steps):
        z = z.detach().clone().requires_grad_()
        squared_error = ((x - generator(z)) ** 2).sum()
        (squared_error / (2 * sigma**2)).backward()
        with torch.no_grad():
            prior_gradient = -z / s1**2 + r1 * r2 * z / (torch.exp(-r2 * z**2 / 2) + r1)
            z = z - s**2 / 2 * (z.grad - prior_gradient)
            if noise is not None:
                z = z + s * noise[step]
    return z


def infer(x, z, generator, prior, sigma, *, draw=None, **kwargs):
    term = DataTerm(x, generator, NormalLikelihood(sigma))
    return GradientSteps(**kwargs).solve(term, z, prior, draw).z


def model_of(generator, prior, sigma):
    """What the likelihood estimate and the advice on step sizes need of a model."""
    likelihood = NormalLikelihood(sigma)
    return SimpleNamespace(generator=generator, prior=prior, likelihood=likelihood)


def energy_of(x, z, generator, prior, sigma):
    with torch.no_grad():
        data_term = (x - generator(z)).square().sum(1) / (2 * sigma**2)
        return data_term - prior.log_prob(z).sum(1)


@pytest.mark.parametrize("alpha", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("sizes", [(), (9,), (9, 8)], ids="{}".format)
@pytest.mark.parametrize("start", ["zeros", "normal"])
def test_codes_equal_the_paper_algorithm(sizes, alpha, start):
    x, z, generator, prior, draw = make_problem(sizes, alpha=alpha)
    z0 = torch.zeros_like(z) if start == "zeros" else draw()
    expected = paper_algorithm(x, z0, generator, alpha, 0.3, 30, 0.1)
    codes = infer(x, z0, generator, prior, 0.3, n_steps=30, step_size=0.1)
    assert_allclose(codes, expected, atol=1e-8, rtol=0)
    assert (codes - z0).abs().max() > 0.01


@pytest.mark.parametrize("sizes", [(), (9,), (9, 8)], ids="{}".format)
def test_langevin_equals_the_paper_algorithm(sizes):
    x, z, generator, prior, draw = make_problem(sizes)
    noise = [draw() for _ in range(30)]
    expected = paper_algorithm(
        x, torch.zeros_like(z), generator, 0.1, 0.3, 30, 0.1, noise
    )
    stream = iter(noise)
    codes = infer(
        x,
        torch.zeros_like(z),
        generator,
        prior,
        0.3,
        n_steps=30,
        step_size=0.1,
        langevin=True,
        draw=lambda: next(stream),
    )
    assert_allclose(codes, expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("langevin", [True, False])
def test_codes_are_reflected_with_noise_and_projected_without(langevin):
    """The bound of a prior reflects a step with noise, and stops one without."""
    x, z, generator, _, draw = make_problem((), alpha=1.0)
    prior = SpikeSlab(1.0, nonnegative=True)
    z, noise = z.abs(), draw()
    weight, offset = generator[0].weight.detach(), generator[0].bias.detach()
    gradient = (z @ weight.T + offset - x) @ weight / 0.3**2 + z
    step = z - 0.4**2 / 2 * gradient + 0.4 * noise * langevin
    assert (step < -0.01).any(1).sum() > 4
    codes = infer(
        x,
        z,
        generator,
        prior,
        0.3,
        n_steps=1,
        step_size=0.4,
        langevin=langevin,
        draw=lambda: noise,
    )
    expected = step.abs() if langevin else step.clamp_min(0)
    assert_allclose(codes, expected, rtol=0, atol=1e-12 * step.abs().max())


def test_langevin_samples_the_posterior():
    """A linear generator under a normal prior has a normal posterior."""
    n, sigma = 4000, 0.5
    x, _, generator, prior, draw = make_problem(
        (), alpha=1.0, n=n, k=2, d=3, sigma=sigma
    )
    x = x[:1].expand(n, -1)
    codes = infer(
        x,
        torch.zeros(n, 2, dtype=torch.float64),
        generator,
        prior,
        sigma,
        n_steps=400,
        step_size=0.15,
        langevin=True,
        draw=draw,
    )
    weight = generator[0].weight.detach()
    precision = weight.T @ weight / sigma**2 + torch.eye(2)
    mean = torch.linalg.solve(
        precision, weight.T @ (x[0] - generator[0].bias.detach()) / sigma**2
    )
    covariance = precision.inverse()
    # The bias of the chain is of the order of step_size^2.
    assert_allclose(codes.mean(0), mean, atol=0.06)
    assert_allclose(np.cov(codes.T), covariance, atol=0.06)


@pytest.mark.parametrize("activation", ["identity", "relu", "sigmoid", "tanh"])
def test_data_gradient_against_finite_differences(activation):
    x, z, generator, _, _ = make_problem((6,), activation=activation)
    gradient = DataTerm(x, generator, NormalLikelihood(0.3)).gradient(z)
    step = 1e-6
    with torch.no_grad():
        for j in range(z.shape[1]):
            shift = torch.zeros_like(z)
            shift[:, j] = step
            above, below = (
                DataTerm(x, generator, NormalLikelihood(0.3)).value(z + sign * shift)
                for sign in (1, -1)
            )
            assert_allclose(gradient[:, j], (above - below) / (2 * step), atol=1e-6)


def test_energy_against_scipy():
    x, z, generator, prior, _ = make_problem((6,))
    x_hat = generator(z).detach().numpy()
    log_likelihood = stats.norm.logpdf(x, x_hat, 0.3).sum(1)
    constant = -x.shape[1] * math.log(2 * math.pi * 0.3**2) / 2
    prior_terms = 0.1 * stats.norm.pdf(z) + 0.9 * stats.norm.pdf(z, scale=0.1)
    expected = -(log_likelihood - constant) - np.log(prior_terms).sum(1)
    energy = energy_of(x, z, generator, prior, 0.3).detach()
    assert_allclose(energy, expected, rtol=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 0.05])
def test_stable_step_size_is_where_a_linear_generator_turns_unstable(alpha):
    sigma = 0.05
    x, z, generator, prior, _ = make_problem((), alpha=alpha, sigma=sigma)
    start = torch.zeros_like(z)
    stable = stable_step_size(start, model_of(generator, prior, sigma))
    # The reference is the largest eigenvalue of the Hessian at zero.
    weight = generator[0].weight.detach().numpy()
    curvature = np.linalg.eigvalsh(weight.T @ weight).max() / sigma**2
    curvature += prior.weight(torch.zeros(1, dtype=torch.float64)).item()
    assert_allclose(stable, 2 / math.sqrt(curvature), rtol=1e-3)
    energies = [
        energy_of(
            x,
            infer(x, start, generator, prior, sigma, n_steps=200, step_size=s),
            generator,
            prior,
            sigma,
        )
        for s in (0.95 * stable, 1.1 * stable)
    ]
    before = energy_of(x, start, generator, prior, sigma)
    assert (energies[0] < before).all()
    if alpha == 1:
        assert (energies[1] > before).all()


def test_stable_step_size_is_that_of_the_stiffest_row():
    _, z, generator, prior, _ = make_problem((9,), activation="tanh")
    model = model_of(generator, prior, 0.3)
    rows = [stable_step_size(z[[row]], model) for row in range(7)]
    assert max(rows) > 1.1 * min(rows)
    assert_allclose(stable_step_size(z, model), min(rows), rtol=1e-9)


def test_rows_whose_energy_rose_have_not_converged():
    x, z, generator, prior, draw = make_problem((), alpha=1.0)
    start = torch.zeros_like(z)
    term = DataTerm(x, generator, NormalLikelihood(0.3))
    stable = stable_step_size(start, model_of(generator, prior, 0.3))
    for step_size, rises in (0.5 * stable, False), (1.1 * stable, True):
        solution = GradientSteps(200, step_size).solve(term, start, prior)
        energy = energy_of(x, solution.z, generator, prior, 0.3)
        assert_allclose(solution.energy, energy, rtol=1e-9)
        assert_array_equal(solution.not_converged, np.full(7, rises))
    # With noise the energy may rise, so that it is not tested.
    noisy = GradientSteps(200, 1.1 * stable, langevin=True)
    assert not noisy.solve(term, start, prior, draw).not_converged.any()


def test_a_stable_step_is_advised_only_if_it_is_shorter():
    _, z, generator, prior, _ = make_problem((9,), activation="tanh")
    model = model_of(generator, prior, 0.3)
    stable = stable_step_size(torch.cat([z, torch.zeros_like(z[:1])]), model)
    assert "a step_size below" in GradientSteps(3, 1.1 * stable).advice(z, model)
    advice = GradientSteps(3, 0.9 * stable).advice(z, model)
    assert "too long" in advice
    assert "a step_size below" not in advice


def test_rows_whose_energy_rose_are_named():
    _, z, generator, prior, _ = make_problem((), alpha=1.0)
    model = model_of(generator, prior, 0.3)
    message = GradientSteps(9, 0.1).explain(z, [3, 8, 11, 12, 20, 31], 50, model)
    assert "energy of 6 of 50 rows (3, 8, 11, 12, 20, ...) is higher" in message


@pytest.mark.parametrize("weight", [math.nan, math.inf, 1e200])
def test_no_step_size_is_advised_where_there_is_none(weight):
    _, z, generator, prior, _ = make_problem((), alpha=1.0)
    torch.nn.init.constant_(generator[0].weight, weight)
    advice = GradientSteps(9, 0.1).advice(z, model_of(generator, prior, 0.3))
    assert "slope of the generator is not finite" in advice


# The likelihood estimate ----------------------------------------------------------


@pytest.mark.parametrize("slab_scale", [1.0, 2.0])
@pytest.mark.parametrize("n_steps", [1, 30])
def test_laplace_is_exact_for_a_linear_generator(slab_scale, n_steps):
    x, z, generator, _, _ = make_problem((), alpha=1.0, k=3, d=8)
    prior = SpikeSlab(1.0, slab_scale=slab_scale)
    # The estimate is exact whether or not inference has converged.
    codes = infer(
        x, torch.zeros_like(z), generator, prior, 0.3, n_steps=n_steps, step_size=0.1
    )
    estimate = laplace_log_likelihood(x, codes, model_of(generator, prior, 0.3))
    weight = generator[0].weight.detach().numpy()
    covariance = slab_scale**2 * weight @ weight.T + 0.3**2 * np.eye(8)
    exact = stats.multivariate_normal(generator[0].bias.detach(), covariance)
    assert_allclose(estimate, exact.logpdf(x), atol=1e-6, rtol=0)


def log_joint(x, z, generator, alpha, sigma):
    """Return log p(x, z) of one row of data and many codes, by scipy."""
    x_hat = generator(torch.from_numpy(z)).detach().numpy()
    prior = alpha * stats.norm.pdf(z) + (1 - alpha) * stats.norm.pdf(z, scale=0.1)
    return stats.norm.logpdf(x, x_hat, sigma).sum(1) + np.log(prior).sum(1)


def sharp_problem(k, sigma):
    """Codes in the slab, observed so sharply that their posterior is normal.

    What Laplace's estimate leaves out here is of the order of sigma.
    """
    x, z, generator, prior, draw = make_problem(
        (6,), alpha=0.3, n=5, k=k, d=30, sigma=sigma, activation="tanh"
    )
    z = draw(5, k).sign() * (0.8 + draw(5, k).abs() / 4)
    with torch.no_grad():
        x = generator(z) + sigma * draw(5, 30)
    codes = infer(x, z, generator, prior, sigma, n_steps=10_000, step_size=sigma / 4)
    estimate = laplace_log_likelihood(x, codes, model_of(generator, prior, sigma))
    return x.numpy(), codes.numpy(), generator, prior, estimate.numpy()


def test_laplace_against_quadrature():
    sigma = 0.005
    x, codes, generator, _, estimate = sharp_problem(1, sigma)
    for row in range(5):

        def density(z, row=row):
            z = np.array([[z]])
            return np.exp(
                log_joint(x[row], z, generator, 0.3, sigma)[0] - estimate[row]
            )

        centre = codes[row, 0]
        ratio = integrate.quad(
            density, centre - 1, centre + 1, points=[centre], limit=200
        )
        assert_allclose(np.log(ratio[0]), 0, atol=0.005)


def test_laplace_against_importance_sampling(rng):
    sigma = 0.005
    x, codes, generator, prior, estimate = sharp_problem(2, sigma)
    for row in range(5):
        z = torch.from_numpy(codes[row : row + 1])
        jacobian = torch.autograd.functional.jacobian(generator, z)[0, :, 0]
        hessian = jacobian.T @ jacobian / sigma**2 + torch.diag(prior.weight(z)[0])
        # With wide tails no weight is large.
        proposal = stats.multivariate_t(codes[row], hessian.inverse().numpy(), df=8)
        draws = proposal.rvs(20_000, random_state=rng)
        log_weights = log_joint(x[row], draws, generator, 0.3, sigma)
        log_weights -= proposal.logpdf(draws)
        weights = np.exp(log_weights - estimate[row])
        # Three standard errors of the reference, plus the error of the approximation.
        error = 3 * weights.std() / weights.mean() / math.sqrt(len(weights))
        assert_allclose(np.log(weights.mean()), 0, atol=0.005 + error)
