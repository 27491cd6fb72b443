import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, stats
from scipy.special import logsumexp

from sklearn_sparsegen._priors import SpikeSlab

ALPHAS = [0.0, 1e-6, 0.01, 0.5, 0.967, 1 - 1e-9, 1.0]
SCALES = [(1.0, 0.1), (1.0, 1e-3), (2.0, math.sqrt(0.1)), (1.0, 0.999)]


def parts(z, alpha, slab_scale, spike_scale):
    """Log weight plus log density of slab and spike, by scipy."""
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
    # relative to the terms of the sum, which may cancel
    assert_allclose(
        prior.log_prob(z_tensor), log_p, rtol=1e-10, atol=1e-13, err_msg="log density"
    )
    slab_proba = np.exp(slab - log_p)
    assert_allclose(prior.slab_proba(z_tensor), slab_proba, rtol=1e-10, atol=1e-300)
    weight = slab_proba / scales[0] ** 2 + np.exp(spike - log_p) / scales[1] ** 2
    assert_allclose(prior.weight(z_tensor), weight, rtol=1e-10)
    assert_allclose(prior.grad(z_tensor), -z * weight, rtol=1e-10)


@pytest.mark.parametrize(("alpha", "scales"), list(product(ALPHAS, SCALES)))
def test_gradient_is_the_derivative(alpha, scales):
    # around the crossing of spike and slab too, where the slope changes most
    z = torch.linspace(-1.5, 1.5, 401, dtype=torch.float64)
    prior, step = SpikeSlab(alpha, *scales), 1e-5 * scales[1]
    slope = (prior.log_prob(z + step) - prior.log_prob(z - step)) / (2 * step)
    scale = prior.grad(z).abs().max().item()
    assert_allclose(prior.grad(z), slope, atol=1e-7 * scale)


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
        prior.grad(z),
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
