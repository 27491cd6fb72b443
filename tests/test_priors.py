import dataclasses
import math
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, optimize, stats
from scipy.special import logsumexp

from sklearn_sparsegen._model.priors import PointSpikeSlab, SpikeSlab

ALPHAS = [0.0, 1e-6, 0.01, 0.5, 0.967, 1 - 1e-9, 1.0]
SCALES = [(1.0, 0.1), (1.0, 1e-3), (2.0, math.sqrt(0.1)), (1.0, 0.999)]


def parts(z, alpha, slab_scale, spike_scale):
    """Return the log weight plus the log density of slab and spike, by scipy."""
    with np.errstate(divide="ignore"):
        weights = np.log(alpha), np.log1p(-alpha)
    return np.stack(
        [
            w + stats.norm.logpdf(z, scale=s)
            for w, s in zip(weights, (slab_scale, spike_scale), strict=True)
        ]
    )


@pytest.mark.parametrize(("alpha", "scales"), list(product(ALPHAS, SCALES)))
def test_against_scipy(alpha, scales, rng):
    z = np.concatenate(
        [[0.0], rng.normal(size=300), rng.normal(size=300) * 1e-2, [1e4]]
    )
    prior, z_tensor = SpikeSlab(alpha, *scales), torch.from_numpy(z)
    slab, spike = parts(z, alpha, *scales)
    log_p = logsumexp([slab, spike], axis=0)
    # The tolerance is relative to the terms of the sum, which may cancel.
    assert_allclose(
        prior.log_prob(z_tensor), log_p, rtol=1e-10, atol=1e-13, err_msg="log density"
    )
    # The energy of a code is the sum over its entries.
    codes = z_tensor[:600].view(-1, 3)
    energy = -log_p[:600].reshape(-1, 3).sum(1)
    assert_allclose(prior.energy(codes), energy, rtol=1e-10, atol=1e-12)
    slab_proba = np.exp(slab - log_p)
    assert_allclose(prior.slab_proba(z_tensor), slab_proba, rtol=1e-10, atol=1e-300)
    weight = slab_proba / scales[0] ** 2 + np.exp(spike - log_p) / scales[1] ** 2
    assert_allclose(prior.weight(z_tensor), weight, rtol=1e-10)


@pytest.mark.parametrize(("alpha", "scales"), list(product(ALPHAS, SCALES)))
def test_gradient_is_the_derivative(alpha, scales):
    # The grid includes the point of equal odds, where the slope changes most.
    z = torch.linspace(-1.5, 1.5, 401, dtype=torch.float64)
    prior, step = SpikeSlab(alpha, *scales), 1e-5 * scales[1]
    slope = (prior.log_prob(z + step) - prior.log_prob(z - step)) / (2 * step)
    gradient = -z * prior.weight(z)
    assert_allclose(gradient, slope, atol=1e-7 * gradient.abs().max().item())


@pytest.mark.parametrize("alpha", [0.01, 0.5])
def test_density_integrates_to_one(alpha):
    prior = SpikeSlab(alpha)

    def density(z):
        return prior.log_prob(torch.tensor(z, dtype=torch.float64)).exp().item()

    total = integrate.quad(density, -12, 12, points=[-0.4, 0, 0.4], limit=200)[0]
    assert_allclose(total, 1, rtol=1e-9)


@given(
    z=st.floats(-1e4, 1e4, width=32),
    alpha=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)),
    spike_scale=st.floats(1e-3, 0.99),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_finite_and_within_bounds(z, alpha, spike_scale, dtype):
    prior = SpikeSlab(alpha, spike_scale=spike_scale)
    z = torch.tensor([z], dtype=dtype)
    for value in (
        prior.log_prob(z),
        prior.weight(z),
        prior.slab_proba(z),
    ):
        assert value.dtype == dtype
        assert value.isfinite().all()
    rounding = 1 + 4 * torch.finfo(dtype).eps
    assert 1 / rounding <= prior.weight(z).item() <= spike_scale**-2 * rounding
    assert 0 <= prior.slab_proba(z).item() <= 1


@given(
    z=st.floats(-3, 3),
    other=st.floats(-3, 3),
    alpha=st.floats(0, 1),
    spike_scale=st.floats(0.01, 0.99),
)
def test_weight_majorises(z, other, alpha, spike_scale):
    """-log p lies below its quadratic approximation in z^2 from any point."""
    prior = SpikeSlab(alpha, spike_scale=spike_scale)
    z, other = (torch.tensor(v, dtype=torch.float64) for v in (z, other))
    bound = -prior.log_prob(z) + prior.weight(z) * (other**2 - z**2) / 2
    assert -prior.log_prob(other) <= bound + 1e-9 * (1 + bound.abs())


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
def test_samples_follow_the_density(alpha):
    generator = torch.Generator().manual_seed(0)
    z = SpikeSlab(alpha).sample(
        lambda: torch.randn(20_000, generator=generator, dtype=torch.float64)
    )

    def cdf(z):
        return alpha * stats.norm.cdf(z) + (1 - alpha) * stats.norm.cdf(z, scale=0.1)

    assert stats.kstest(z.numpy(), cdf).pvalue > 0.01


def test_redrawing_the_spike_replaces_inactive_entries_alone():
    alpha, scales = 0.2, (1.0, 0.1)
    prior = SpikeSlab(alpha, *scales)
    z = torch.linspace(-2, 2, 40_001, dtype=torch.float64)[None]
    generator = torch.Generator().manual_seed(0)
    redrawn = prior.redraw_spike(
        z, lambda *shape: torch.randn(shape, generator=generator, dtype=z.dtype)
    )
    slab, spike = parts(z.numpy(), alpha, *scales)
    inactive = spike > slab
    assert 0.1 < inactive.mean() < 0.9
    assert_array_equal(redrawn[~inactive], z[~inactive])
    drawn = redrawn[inactive].numpy()
    assert stats.kstest(drawn, stats.norm(scale=scales[1]).cdf).pvalue > 0.01


@given(
    v=st.floats(-3, 3),
    z=st.floats(-3, 3),
    step=st.floats(1e-3, 10),
    alpha=st.floats(0, 1),
    spike_scale=st.floats(0.01, 0.99),
)
def test_proximal_step_minimises_its_majoriser(v, z, step, alpha, spike_scale):
    prior = SpikeSlab(alpha, spike_scale=spike_scale)
    v, z = (torch.tensor(value, dtype=torch.float64) for value in (v, z))
    u, slope = prior.prox(v, step, z)

    def objective(u):
        return (u - v) ** 2 / (2 * step) - prior.log_prob(u)

    assert objective(u) <= objective(z) + 1e-9 * (1 + objective(z).abs())
    for _ in range(2):
        weight = prior.weight(z).item()
        best = optimize.minimize_scalar(
            lambda u, weight=weight: (
                (u - v.item()) ** 2 / (2 * step) + weight * u**2 / 2
            ),
            bracket=(-4, 4),
        )
        z = torch.tensor(best.x, dtype=torch.float64)
    assert_allclose(u, best.x, atol=1e-6)
    assert_allclose(slope, 1 / (1 + step * weight), rtol=1e-6)


# The point mass --------------------------------------------------------------------


@given(
    v=st.floats(-3, 3),
    step=st.floats(1e-3, 10),
    alpha=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(1e-6, 1)),
    slab_scale=st.floats(0.1, 3),
)
def test_hard_threshold_is_the_proximal_step(v, step, alpha, slab_scale):
    """By definition it is the better one of zero and the best value that is not."""
    prior = PointSpikeSlab(alpha, slab_scale)
    cost = (
        math.inf
        if alpha == 0
        else max(0, math.log1p(-alpha) - math.log(alpha))
        if (alpha < 1)
        else 0
    )

    def objective(u):
        active = cost if u else 0
        return (u - v) ** 2 / (2 * step) + active + u**2 / (2 * slab_scale**2)

    best = optimize.minimize_scalar(
        lambda u: (u - v) ** 2 / (2 * step) + u**2 / (2 * slab_scale**2),
        bracket=(-4, 4),
    )
    v_tensor = torch.tensor(v, dtype=torch.float64)
    u, slope = prior.prox(v_tensor, step, None)
    assert_allclose(slope * v_tensor, u)
    assert (slope > 0) == (u != 0) or v == 0
    assert math.copysign(1, u) == 1 or u < 0  # -0.0 is excluded
    lowest = min(objective(0.0), best.fun + cost)
    assert_allclose(objective(u.item()), lowest, rtol=1e-9, atol=1e-12)
    energy = prior.energy(u[None]).item()
    assert_allclose(energy, objective(u.item()) - (u.item() - v) ** 2 / (2 * step))


@pytest.mark.parametrize("slab_scale", [1.0, 2.0])
def test_point_mass_is_the_limit_of_narrow_spikes(slab_scale):
    z = torch.tensor([0.0, 0.5, -2.0], dtype=torch.float64)
    exact = PointSpikeSlab(0.1, slab_scale)
    narrow = SpikeSlab(0.1, slab_scale, 1e-5)
    assert_allclose(exact.log_prob(z)[1:], narrow.log_prob(z)[1:], rtol=1e-12)
    assert_allclose(exact.log_prob(z)[0], math.log(0.9))
    assert_allclose(exact.slab_proba(z), narrow.slab_proba(z), atol=1e-4)
    assert_allclose(exact.weight(z)[1:], narrow.weight(z)[1:])
    # The energy is -log p, up to a constant of active entries.
    shift = math.log(slab_scale * math.sqrt(2 * math.pi)) - math.log(0.9)
    expected = torch.where(z == 0, 0.0, -exact.log_prob(z) - shift)
    assert_allclose(exact.energy(z[:, None]), expected, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
def test_samples_of_the_point_mass(alpha):
    generator = torch.Generator().manual_seed(0)
    z = PointSpikeSlab(alpha, 2.0).sample(
        lambda: torch.randn(20_000, generator=generator, dtype=torch.float64)
    )
    active = z[z != 0].numpy()
    assert abs(len(active) / 20_000 - alpha) <= 4 * math.sqrt(alpha * (1 - alpha) / 2e4)
    if len(active):
        assert stats.kstest(active, stats.norm(scale=2).cdf).pvalue > 0.01


def test_point_mass_without_a_spike_is_a_normal_distribution():
    z = torch.tensor([0.0, 0.5, -2.0], dtype=torch.float64)
    prior = PointSpikeSlab(1.0, 2.0)
    assert_allclose(prior.log_prob(z), stats.norm.logpdf(z, scale=2), rtol=1e-12)
    assert prior.support(z).all()
    assert_array_equal(prior.slab_proba(z), np.ones(3))


# A limit on the number of active entries -----------------------------------------


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("n_active", [1, 2, 4])
def test_limited_step_takes_the_best_support(n_active, nonnegative, rng):
    step, slab_scale = 0.3, 0.7
    prior = PointSpikeSlab(1.0, slab_scale, nonnegative, n_active)
    v = rng.normal(size=(20, 4))
    u, slope = (part.numpy() for part in prior.prox(torch.from_numpy(v), step, None))
    n_possible = (v > 0).sum(1) if nonnegative else np.full(20, 4)
    assert_array_equal((u != 0).sum(1), np.minimum(n_possible, n_active))
    assert_allclose(slope, np.where(u != 0, 1 / (1 + step / slab_scale**2), 0))
    if nonnegative:
        assert (u >= 0).all()

    def objective(u, v):
        return ((u - v) ** 2 / (2 * step) + u**2 / (2 * slab_scale**2)).sum()

    for row, start in zip(u, v, strict=True):
        candidates = []
        for support in combinations(range(4), n_active):
            best = np.zeros(4)
            index = list(support)
            best[index] = start[index] / (1 + step / slab_scale**2)
            best = np.maximum(best, 0) if nonnegative else best
            candidates.append(objective(best, start))
        assert_allclose(objective(row, start), min(candidates), rtol=1e-12)
    assert_allclose(
        prior.energy(torch.from_numpy(u)),
        (u**2).sum(1) / (2 * slab_scale**2),
        rtol=1e-12,
    )


def test_a_limit_that_allows_all_entries_is_none(rng):
    z = torch.from_numpy(rng.normal(size=(20, 4)))
    same, alone = PointSpikeSlab(1.0, n_active=4), PointSpikeSlab(1.0)
    for method in ("log_prob", "energy", "support", "slab_proba"):
        assert_array_equal(getattr(same, method)(z), getattr(alone, method)(z))
    assert_array_equal(same.prox(z, 0.3, z)[0], alone.prox(z, 0.3, z)[0])


@pytest.mark.parametrize("nonnegative", [False, True])
def test_limited_probabilities_are_those_of_bernoulli_variables(nonnegative):
    """Of k entries, active with probability m / k, on condition of at most m."""
    k, m = 5, 2
    prior = PointSpikeSlab(1.0, 2.0, nonnegative, m)
    slab = stats.halfnorm(scale=2) if nonnegative else stats.norm(scale=2)
    at_most = stats.binom.cdf(m, k, m / k)
    total = 0.0
    for n in range(m + 1):
        for support in combinations(range(k), n):
            z = np.zeros(k)
            z[list(support)] = 0.7
            mass = (m / k) ** n * (1 - m / k) ** (k - n) / at_most
            total += mass
            expected = np.log(mass) + n * slab.logpdf(0.7)
            log_prob = prior.log_prob(torch.from_numpy(z)).sum()
            assert_allclose(log_prob, expected, rtol=1e-12)
    assert_allclose(total, 1)


def test_limited_samples():
    k, m, n = 6, 2, 20_000
    generator = torch.Generator().manual_seed(0)
    z = PointSpikeSlab(1.0, 2.0, n_active=m).sample(
        lambda: torch.randn(n, k, generator=generator, dtype=torch.float64)
    )
    counts = np.bincount((z != 0).sum(1), minlength=k + 1)
    share = stats.binom.pmf(np.arange(m + 1), k, m / k)
    expected = n * share / share.sum()
    assert counts[m + 1 :].sum() == 0
    assert stats.chisquare(counts[: m + 1], expected).pvalue > 0.001
    per_entry = (z != 0).sum(0).numpy()
    assert stats.chisquare(per_entry).pvalue > 0.001
    assert stats.kstest(z[z != 0].numpy(), stats.norm(scale=2).cdf).pvalue > 0.001


# Non-negative codes ---------------------------------------------------------------

HALF = {
    "normal spike": SpikeSlab(0.3, 1.5, 0.2, nonnegative=True),
    "no slab": SpikeSlab(0.0, 1.5, 0.2, nonnegative=True),
    "point mass": PointSpikeSlab(0.3, 1.5, nonnegative=True),
    "no spike": PointSpikeSlab(1.0, 1.5, nonnegative=True),
}


@pytest.mark.parametrize("name", HALF)
def test_half_normal_densities(name):
    """They are twice the densities on both sides, where these have one."""
    prior, z = HALF[name], torch.linspace(0, 3, 50, dtype=torch.float64)[1:]
    whole = dataclasses.replace(prior, nonnegative=False)
    log_prob = prior.log_prob(z)
    assert_allclose(log_prob, whole.log_prob(z) + math.log(2), rtol=1e-12)
    assert_allclose(prior.slab_proba(z), whole.slab_proba(z), rtol=1e-12)
    if prior.smooth:
        assert_allclose(prior.energy(z[:, None]), -log_prob, rtol=1e-12)

    def density(z):
        return prior.log_prob(torch.tensor([z], dtype=torch.float64)).exp().item()

    mass = 0.0 if name != "point mass" else density(0.0)
    total = integrate.quad(density, 1e-12, 20, points=[0.2, 1], limit=200)[0]
    assert_allclose(mass + total, 1, rtol=1e-9)


@pytest.mark.parametrize("name", HALF)
def test_half_normal_samples(name):
    prior, n = HALF[name], 20_000
    generator = torch.Generator().manual_seed(0)
    z = prior.sample(lambda: torch.randn(n, generator=generator, dtype=torch.float64))
    assert (z >= 0).all()
    alpha = prior.alpha
    if prior.smooth:
        slab, spike = stats.halfnorm(scale=1.5), stats.halfnorm(scale=0.2)

        def cdf(z):
            return alpha * slab.cdf(z) + (1 - alpha) * spike.cdf(z)

        assert stats.kstest(z.numpy(), cdf).pvalue > 0.001
    else:
        active = z[z != 0].numpy()
        assert abs(len(active) / n - alpha) <= 4 * math.sqrt(alpha * (1 - alpha) / n)
        assert stats.kstest(active, stats.halfnorm(scale=1.5).cdf).pvalue > 0.001


@given(
    v=st.floats(-3, 3),
    step=st.floats(1e-3, 10),
    name=st.sampled_from(["point mass", "no spike"]),
)
def test_half_normal_step_is_the_best_that_is_not_negative(v, step, name):
    prior, tensor = HALF[name], torch.tensor([v], dtype=torch.float64)
    u, slope = prior.prox(tensor, step, None)
    cost = math.log(0.7 / 0.3) if name == "point mass" else 0.0

    def objective(u):
        return (u - v) ** 2 / (2 * step) + cost * (u > 0) + u**2 / (2 * 1.5**2)

    best = max(0.0, v / (1 + step / 1.5**2))
    assert_allclose(objective(u.item()), min(objective(0.0), objective(best)))
    assert_allclose(slope * tensor, u)


@given(v=st.floats(-3, 3), z=st.floats(0, 3), step=st.floats(1e-3, 10))
def test_half_normal_step_of_a_normal_spike(v, z, step):
    prior = HALF["normal spike"]
    whole = dataclasses.replace(prior, nonnegative=False)
    v, z = (torch.tensor([value], dtype=torch.float64) for value in (v, z))
    (u, slope), (both, _) = (p.prox(v, step, z) for p in (prior, whole))
    assert_array_equal(u, both.clamp_min(0))
    assert_allclose(slope * v, u)


def test_spike_is_redrawn_non_negative():
    z = torch.zeros(1, 20_000, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    drawn = HALF["normal spike"].redraw_spike(
        z, lambda *shape: torch.randn(shape, generator=generator, dtype=z.dtype)
    )
    assert stats.kstest(drawn[0].numpy(), stats.halfnorm(scale=0.2).cdf).pvalue > 0.001
