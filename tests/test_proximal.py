"""Proximal inference and the data term, against independent references in float64."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, stats
from torch import nn

from sklearn_sparsegen._inference.proximal import (
    _is_lower,
    _quasi_newton_step,
    _violation,
    proximal_steps,
)
from sklearn_sparsegen._inference.solvers import GradientSteps
from sklearn_sparsegen._model.energy import Autograd, DataTerm, stiffest_direction
from sklearn_sparsegen._model.generators import build_generator, mlp_generator
from sklearn_sparsegen._model.laplace import laplace_log_likelihood
from sklearn_sparsegen._model.likelihoods import NormalLikelihood
from sklearn_sparsegen._model.linear_layers import LinearLayers, forward
from sklearn_sparsegen._model.priors import Exponential, PointSpikeSlab, SpikeSlab

SIGMA = 0.3


def make_problem(sizes=(9,), *, n=7, k=5, d=12, seed=0, gain=2.0, **kwargs):
    """Return a generator, and data that it makes of random codes."""
    generator = build_generator(
        lambda k, d: mlp_generator(k, d, sizes, **kwargs), k, d, seed
    ).double()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        generator[-2].weight *= gain
        z = torch.randn(n, k, generator=rng, dtype=torch.float64)
        noise = torch.randn(n, d, generator=rng, dtype=torch.float64)
        return generator, generator(z) + SIGMA * noise


def solve(x, generator, prior, *, z=None, sigma=SIGMA, n_steps=30, tol=-1.0, **kwargs):
    k = generator[0].in_features
    return proximal_steps(
        DataTerm(x, generator, NormalLikelihood(sigma)),
        x.new_zeros(1, k) if z is None else z,
        prior,
        n_steps=n_steps,
        tol=tol,
        stiffest=stiffest_direction(
            x.new_zeros(1, k), generator, NormalLikelihood(sigma)
        ),
        **kwargs,
    )


def energy_of(x, z, generator, prior, sigma=SIGMA):
    """Return the energy by its definition."""
    with torch.no_grad():
        error = (x - generator(z)).square().sum(1)
    return error / (2 * sigma**2) + prior.energy(z)


# The data term ----------------------------------------------------------------------


class Opaque(nn.Module):
    """A module whose structure the fast path cannot see."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, z):
        return self.module(z)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("sizes", [(), (6,), (6, 8)], ids="{}".format)
@pytest.mark.parametrize("output_activation", ["identity", "sigmoid"])
@pytest.mark.parametrize("activation", ["identity", "relu", "sigmoid", "tanh"])
def test_data_term_against_torch_func(activation, output_activation, sizes, shared):
    generator, x = make_problem(
        sizes, activation=activation, output_activation=output_activation
    )
    z = torch.randn(
        1 if shared else 7,
        5,
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(1),
    )

    def reference(z, x):
        return (x - generator(z)).square().sum() / (2 * SIGMA**2)

    rows = z.expand(7, 5)
    values = torch.stack([reference(*row) for row in zip(rows, x, strict=True)])
    gradients = torch.func.vmap(torch.func.grad(reference))(rows, x)
    scale = gradients.abs().max().item()
    by_hand = DataTerm(x, generator, NormalLikelihood(SIGMA))
    assert isinstance(by_hand._generator, LinearLayers)
    by_autograd = DataTerm(x, Opaque(generator), NormalLikelihood(SIGMA))
    assert isinstance(by_autograd._generator, Autograd)
    for term in (by_hand, by_autograd):
        value, gradient = term.value_and_gradient(z)
        assert_allclose(value, values.detach(), rtol=1e-12)
        assert_allclose(gradient, gradients.detach(), atol=1e-12 * scale)
        assert_allclose(term.gradient(z), gradients.detach(), atol=1e-12 * scale)
        assert_allclose(term.value(z), values.detach(), rtol=1e-12)
        keep = torch.arange(7) % 2 == 0
        term.keep(keep)
        value, gradient = term.value_and_gradient(z if shared else z[keep])
        assert_allclose(value, values.detach()[keep], rtol=1e-12)
        assert_allclose(gradient, gradients.detach()[keep], atol=1e-12 * scale)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("sizes", [(), (60,), (60, 80)], ids="{}".format)
def test_data_term_in_float32_against_float64(sizes, shared):
    """On a CPU float32 goes through another library than float64."""
    generator, x = make_problem(sizes, n=50, k=20, d=90, output_activation="sigmoid")
    rng = torch.Generator().manual_seed(1)
    z = torch.randn(1 if shared else 50, 20, dtype=torch.float64, generator=rng)
    value, gradient = DataTerm(
        x, generator, NormalLikelihood(SIGMA)
    ).value_and_gradient(z)
    term = DataTerm(x.float(), generator.float(), NormalLikelihood(SIGMA))
    assert isinstance(term._generator, LinearLayers)
    value_32, gradient_32 = term.value_and_gradient(z.float())
    assert value_32.dtype == gradient_32.dtype == torch.float32
    assert_allclose(value_32, value, rtol=1e-5)
    assert_allclose(gradient_32, gradient, atol=1e-5 * gradient.abs().max().item())


def test_no_product_meets_denormal_numbers():
    """A saturated pixel that should be 0 would slow products tenfold on some CPUs."""
    generator, x = make_problem(n=50, output_activation="sigmoid")
    for bias in (-50.0, 50.0):
        with torch.no_grad():
            generator[-2].bias.fill_(bias)
        x_32 = x.float().clamp(0, 1).round()
        term = DataTerm(x_32, generator.float(), NormalLikelihood(SIGMA))
        output = term._generator.output(torch.zeros(50, 5))
        # This is the chain rule through the sigmoid.
        pulled = (output - x_32) * output * (1 - output)
        # The factor leaves room for products with weights.
        smallest = 1e6 * torch.finfo(torch.float32).tiny
        assert ((pulled == 0) | (pulled.abs() > smallest)).all()


@pytest.mark.parametrize(
    "layers",
    [
        [nn.ReLU(), nn.Linear(5, 12)],
        [nn.Linear(5, 12), nn.ReLU(), nn.Sigmoid()],
        [nn.Linear(5, 12), nn.Softplus()],
        [nn.Linear(5, 12), nn.Dropout()],
        [nn.utils.spectral_norm(nn.Linear(5, 12))],  # it acts by a hook
    ],
    ids=str,
)
def test_other_sequences_go_through_autograd(layers):
    x = torch.zeros(3, 12, dtype=torch.float64)
    generator = nn.Sequential(*layers).double().eval()
    term = DataTerm(x, generator, NormalLikelihood(SIGMA))
    assert isinstance(term._generator, Autograd)
    z = torch.full((3, 5), 0.5, dtype=torch.float64)
    expected = torch.func.grad(lambda z: generator(z).square().sum() / (2 * SIGMA**2))(
        z
    )
    assert_allclose(term.gradient(z), expected.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("frozen", [False, True])
def test_forward_has_autograds_gradients(dtype, frozen):
    """Outputs and gradients are those of the plain module, with frozen layers too."""
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(40, 20, dtype=dtype, generator=rng)
    network = mlp_generator(20, 50, (30, 40), "tanh", "sigmoid").to(dtype)
    network[2].requires_grad_(not frozen)
    results = []
    for function in (network, lambda z: forward(network, z)):
        z_in = z.clone().requires_grad_()
        output = function(z_in)
        wanted = [z_in, *(p for p in network.parameters() if p.requires_grad)]
        results.append([output, *torch.autograd.grad(output.square().sum(), wanted)])
    rtol = 1e-12 if dtype == torch.float64 else 1e-4
    for ours, plain in zip(*results, strict=True):
        scale = plain.abs().max().item()
        assert_allclose(ours.detach(), plain.detach(), atol=rtol * scale, rtol=0)


def test_hooks_of_the_whole_are_heeded():
    generator, x = make_problem()
    generator.register_forward_hook(lambda module, inputs, output: 3 * output)
    term = DataTerm(x, generator, NormalLikelihood(SIGMA))
    assert isinstance(term._generator, Autograd)


def test_layers_without_bias():
    generator = nn.Sequential(nn.Linear(5, 12, bias=False), nn.Tanh()).double()
    x, z = torch.ones(3, 12).double(), torch.full((3, 5), 0.5).double()
    by_hand = DataTerm(x, generator, NormalLikelihood(SIGMA))
    by_autograd = DataTerm(x, Opaque(generator), NormalLikelihood(SIGMA))
    assert_allclose(by_hand.gradient(z), by_autograd.gradient(z), rtol=1e-12)


# Proximal steps ----------------------------------------------------------------------


PRIORS = {
    "normal": SpikeSlab(1.0),
    "narrow spike": SpikeSlab(0.1, spike_scale=0.05),
    "wide spike": SpikeSlab(0.1, spike_scale=0.3),
    "point mass": PointSpikeSlab(0.1),
    "at most 2": PointSpikeSlab(1.0, n_active=2),
    "non-negative point mass": PointSpikeSlab(0.1, nonnegative=True),
    "at most 2, non-negative": PointSpikeSlab(1.0, nonnegative=True, n_active=2),
    "non-negative, spike": SpikeSlab(0.1, spike_scale=0.1, nonnegative=True),
    "exponential": Exponential(3.0),
}


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(PRIORS)),
    sigma=st.floats(0.005, 3),
    gain=st.floats(0.01, 30),
    sizes=st.sampled_from([(), (9,), (6, 8)]),
    activation=st.sampled_from(["relu", "tanh", "sigmoid"]),
    curvature=st.floats(1e-3, 1e6),
    n_steps=st.integers(1, 25),
    seed=st.integers(0, 1000),
)
def test_energy_never_rises(
    name, sigma, gain, sizes, activation, curvature, n_steps, seed
):
    prior = PRIORS[name]
    generator, x = make_problem(sizes, gain=gain, seed=seed, activation=activation)
    z = torch.randn(
        7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    stiffest = z[:1] / z[0].norm(), z.new_full((1,), curvature)  # any will do
    z, _ = prior.prox(z, 0.0, z)
    for start in (torch.zeros_like(z), z):
        energy = energy_of(x, start, generator, prior, sigma)
        for _ in range(3):
            start, reported, violation = proximal_steps(
                DataTerm(x, generator, NormalLikelihood(sigma)),
                start,
                prior,
                n_steps=n_steps,
                tol=-1.0,
                stiffest=stiffest,
            )
            after = energy_of(x, start, generator, prior, sigma)
            assert (after <= energy + 1e-9 * energy.abs()).all()
            assert_allclose(reported, after, rtol=1e-9, atol=1e-9)
            assert (violation >= 0).all()
            assert not prior.nonnegative or (start >= 0).all()
            energy = after


@pytest.mark.parametrize("sizes", [(), (9,)], ids="{}".format)
def test_stiffest_direction_is_an_eigenvector(sizes):
    generator, _ = make_problem(sizes, activation="tanh")
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(4, 5, generator=rng, dtype=torch.float64)
    direction, curvature = stiffest_direction(z, generator, NormalLikelihood(SIGMA))
    for row in range(4):
        jacobian = torch.autograd.functional.jacobian(generator, z[row])
        values, vectors = torch.linalg.eigh(jacobian.T @ jacobian / SIGMA**2)
        assert values[-2] < 0.8 * values[-1]  # so that ten iterations are enough
        assert_allclose(curvature[row], values[-1], rtol=1e-3)
        assert abs(direction[row] @ vectors[:, -1]) > 0.999


@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("name", sorted(PRIORS))
def test_step_minimises_the_model(name, limited):
    """The reference has the BFGS formula and the majoriser as matrices."""
    prior, k = PRIORS[name], 5
    rng = torch.Generator().manual_seed(0)
    z, gradient, move, bend, start = torch.randn(
        5, 30, k, generator=rng, dtype=torch.float64
    )
    z, _ = prior.prox(z, 0.0, z)
    square, product = (move * move).sum(1), (move * bend).sum(1)
    assert 0 < (product > 0).sum() < 30
    eta = torch.rand(30, generator=rng, dtype=torch.float64) + 0.1
    support = torch.ones(30, k, dtype=torch.bool)
    if limited:
        support = start > 0
        z, gradient = z * support, gradient * support
        move, bend = move * support, bend * support
        square, product = (move * move).sum(1), (move * bend).sum(1)
    trial, proximal = _quasi_newton_step(
        prior,
        torch.linalg.vecdot,
        z,
        gradient,
        eta,
        (move, bend, square, product),
        support if limited else None,
    )
    for row in range(30):
        step, s, y = eta[row].item(), move[row], bend[row]
        u, slope = prior.prox(z[row : row + 1] - step * gradient[row], step, z[[row]])
        assert_allclose(proximal[row], u[0], atol=1e-14)
        if product[row] <= 0:
            assert_allclose(trial[row], u[0], atol=1e-14)
            continue
        B = torch.eye(k, dtype=torch.float64) / step
        B += torch.outer(y, y) / (y @ s) - torch.outer(s, s) / (step * (s @ s))
        # Where the proximal step is flat, the prior holds the entry.
        free = (slope[0] > 0) & support[row]
        curvature = (1 / slope[0, free] - 1) / step
        # The proximal step inverts 1/step + curvature. Its result has zero gradient in
        # the model without the update.
        H = B[free][:, free] + torch.diag(curvature)
        held = z[row] - u[0]
        held[free] = 0
        from_prox = (1 / step + curvature) * (z[row] - u[0])[free]
        update = (B - torch.eye(k, dtype=torch.float64) / step) @ held
        d = torch.linalg.solve(H, from_prox - update[free])
        expected = u[0].clone()
        expected[free] = z[row][free] - d
        if prior.nonnegative:
            expected.clamp_min_(0)
        assert_allclose(trial[row], expected, atol=1e-9)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize("name", ["normal", "narrow spike", "wide spike", "point mass"])
def test_converged_codes_are_stationary(name, activation):
    prior = PRIORS[name]
    generator, x = make_problem(activation=activation, n=40, gain=4.0)
    z, _, violation = solve(x, generator, prior, n_steps=20_000, tol=1e-14)
    assert (violation <= 1e-14).all()
    z = z.requires_grad_()
    error = (x - generator(z)).square().sum()
    (gradient,) = torch.autograd.grad(error / (2 * SIGMA**2), z)
    z = z.detach()
    total = gradient + z * prior.weight(z)
    if name != "point mass":
        assert_allclose(total, torch.zeros_like(z), atol=1e-4)
        return
    active = z != 0
    assert 0.1 < active.double().mean() < 0.9
    assert_allclose(total[active], torch.zeros_like(total[active]), atol=1e-4)
    # No active code would lower the energy by becoming zero alone.
    for j in range(z.shape[1]):
        without = z.clone()
        without[:, j] = 0
        saved = energy_of(x, z, generator, prior) - energy_of(
            x, without, generator, prior
        )
        local = z[:, j].abs() < 0.05  # a proximal step is a local search
        assert (saved[local] <= 1e-9).all()


@pytest.mark.parametrize("name", ["normal", "wide spike"])
@pytest.mark.parametrize("activation", ["tanh", "identity"])
def test_energy_no_higher_than_scipys(name, activation):
    prior = PRIORS[name]
    generator, x = make_problem(activation=activation, n=20, k=3)
    start = torch.full((20, 3), 0.3, dtype=torch.float64)
    _, energy, _ = solve(x, generator, prior, z=start, n_steps=5000, tol=1e-13)

    def objective(z, row):
        z = torch.from_numpy(z).requires_grad_()
        error = (x[row] - generator(z)).square().sum() / (2 * SIGMA**2)
        total = error - prior.log_prob(z).sum()
        (gradient,) = torch.autograd.grad(total, z)
        return total.item(), gradient.numpy()

    reference = [
        optimize.minimize(
            objective, start[row].numpy(), args=(row,), jac=True, method="L-BFGS-B"
        ).fun
        for row in range(20)
    ]
    # With several minima either may find the better one; most rows have one.
    excess = energy.numpy() - np.array(reference)
    assert (excess <= 1e-5).mean() >= 0.9
    assert excess.mean() <= 1e-5


@pytest.mark.parametrize("tol", [-1.0, 1e-3])
@pytest.mark.parametrize("name", sorted(PRIORS))
def test_rows_do_not_depend_on_their_batch(name, tol):
    """Rounding differs between batches, and the steps amplify it in the codes.

    The energies agree to 1e-10. At a minimum the energy is flat, so that codes agree to
    the square root of that.
    """
    prior = PRIORS[name]
    generator, x = make_problem(n=23)
    parts = [
        solve(p, generator, prior, n_steps=40, tol=tol) for p in x.split([1, 2, 20])
    ]
    apart = [torch.cat(part) for part in zip(*parts, strict=True)]
    order = torch.arange(23).flip(0)
    flipped = solve(x[order], generator, prior, n_steps=40, tol=tol)
    codes, energy, _ = solve(x, generator, prior, n_steps=40, tol=tol)
    for other_codes, other_energy in (
        apart[:2],
        (flipped[0][order], flipped[1][order]),
    ):
        assert_allclose(other_energy, energy, rtol=1e-10)
        assert_allclose(other_codes, codes, rtol=0, atol=1e-5)


@pytest.mark.parametrize("curvature", [1e-4, 1e6])
def test_steps_find_their_length(curvature):
    """However far the first curvature is off, few steps reach the ridge regression."""
    generator, x = make_problem(())
    direction = torch.ones(1, 5, dtype=torch.float64) / math.sqrt(5)
    _, energy, _ = proximal_steps(
        DataTerm(x, generator, NormalLikelihood(SIGMA)),
        x.new_zeros(1, 5),
        SpikeSlab(1.0),
        n_steps=60,
        tol=-1.0,
        stiffest=(direction, x.new_full((1,), curvature)),
    )
    weight, bias = (p.detach() for p in generator.parameters())
    hessian = weight.T @ weight + SIGMA**2 * torch.eye(5)
    ridge = torch.linalg.solve(hessian, weight.T @ (x - bias).T).T
    lowest = energy_of(x, ridge, generator, SpikeSlab(1.0))
    assert_allclose(energy, lowest, rtol=1e-6)


def test_energy_is_lower_by_more_than_rounding():
    """Otherwise rounding, which depends on the batch, would decide on a step."""
    old = torch.tensor([1.0, -1.0, 1e6, math.inf]).double()
    eps = torch.finfo(old.dtype).eps
    for n_units, expected in (0, False), (2, False), (100, True):
        lower = old - n_units * eps * old.abs()
        rows = _is_lower(lower, old, SimpleNamespace(separable=True))
        assert_array_equal(rows[:3], [expected] * 3)
    finite = torch.zeros_like(old)
    assert _is_lower(finite, old, SimpleNamespace(separable=True))[3]


def test_violation_is_relative_to_energies_above_one():
    back = torch.tensor([[3.0, 4.0]]).expand(3, 2)
    eta, energy = torch.tensor([1.0, 5.0, 5.0]), torch.tensor([0.2, 10.0, -10.0])
    assert_allclose(_violation(back, eta, energy), [25, 0.5, 0.5])


def test_rows_leave_when_they_are_done():
    generator, x = make_problem((), n=50)
    lowest = solve(x, generator, PRIORS["normal"], n_steps=5000, tol=1e-14)[1]
    excess = []
    for tol in (1e-2, 1e-4, 1e-6):
        z, energy, violation = solve(
            x, generator, PRIORS["normal"], n_steps=5000, tol=tol
        )
        assert (violation <= tol).all()
        assert_allclose(energy, energy_of(x, z, generator, PRIORS["normal"]))
        excess.append((energy - lowest).max().item())
    assert 0 < excess[2] < excess[1] < excess[0]
    _, _, violation = solve(x, generator, PRIORS["normal"], n_steps=3, tol=1e-8)
    assert (violation > 1e-8).any()


def test_steps_stay_on_the_support():
    generator, x = make_problem(())
    support = torch.rand(7, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    z, _, _ = solve(
        x, generator, SpikeSlab(1.0), n_steps=3000, tol=1e-14, support=support
    )
    assert_array_equal(z != 0, support)
    # The reference is ridge regression on the columns of the support.
    weight, bias = (p.detach() for p in generator.parameters())
    for row in range(7):
        used = weight[:, support[row]]
        expected = torch.linalg.solve(
            used.T @ used + SIGMA**2 * torch.eye(used.shape[1]),
            used.T @ (x[row] - bias),
        )
        assert_allclose(z[row, support[row]], expected, atol=1e-6)


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("name", sorted(PRIORS))
def test_no_step_waits_for_the_device(name, limited, by_hand):
    """Tensors without data pass through, so no step reads a value."""
    generator = make_problem()[0].to("meta")
    if not by_hand:
        generator = Opaque(generator)
    x, support = torch.empty(7, 12).double().to("meta"), None
    if limited:
        support = torch.ones(7, 5, dtype=torch.bool, device="meta")
    start = x.new_zeros(1, 5)
    term = DataTerm(x, generator, NormalLikelihood(SIGMA))
    z, energy, violation = proximal_steps(
        term,
        start,
        PRIORS[name],
        n_steps=12,
        tol=1e-3,
        stiffest=(start, start[:, 0]),
        support=support,
    )
    assert (z.shape, energy.shape, violation.shape) == ((7, 5), (7,), (7,))
    if isinstance(PRIORS[name], SpikeSlab):
        solution = GradientSteps(3, 0.1).solve(term, start, PRIORS[name])
        assert solution.z.shape == (7, 5)


@pytest.mark.parametrize("slab_scale", [1.0, 2.0])
def test_laplace_on_the_support_is_exact_for_a_linear_generator(slab_scale):
    generator, x = make_problem(())
    prior = PointSpikeSlab(0.2, slab_scale)
    z, _, _ = solve(x, generator, prior)
    assert 0 < (z != 0).double().mean() < 1
    model = SimpleNamespace(
        generator=generator, prior=prior, likelihood=NormalLikelihood(SIGMA)
    )
    estimate = laplace_log_likelihood(x, z, model)
    weight, bias = (p.detach().numpy() for p in generator.parameters())
    for row in range(7):
        active = (z[row] != 0).numpy()
        used = weight[:, active] * slab_scale
        exact = stats.multivariate_normal.logpdf(
            x[row], bias, used @ used.T + SIGMA**2 * np.eye(12)
        )
        exact += active.sum() * math.log(0.2) + (~active).sum() * math.log(0.8)
        assert_allclose(estimate[row], exact, atol=1e-8)
