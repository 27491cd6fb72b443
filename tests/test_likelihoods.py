"""The likelihood, against independent references in float64."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from sklearn_sparsegen._likelihoods import NormalLikelihood

SIGMA = 0.3


@pytest.fixture
def problem(rng):
    """Data with missing values, and a generator's output."""
    x, output = torch.from_numpy(rng.standard_normal((2, 6, 9)))
    x[torch.from_numpy(rng.uniform(size=(6, 9)) < 0.3)] = torch.nan
    return x, output


def test_energy_and_constant_against_scipy(problem):
    x, output = problem
    likelihood = NormalLikelihood(SIGMA)
    expected = np.nansum(-stats.norm.logpdf(x, output, SIGMA), axis=1)
    n_observed = (~x.isnan()).sum(1)
    assert 0 < n_observed.min() < n_observed.max() < 9
    constant = likelihood.constant(n_observed.double())
    assert_allclose(likelihood.energy(x, output) + constant, expected, rtol=1e-12)
    energy, _ = likelihood.energy_and_scaled_gradient(x, output, x.isnan())
    assert_allclose(energy, likelihood.energy(x, output), rtol=1e-12)


def test_derivatives_against_autograd(problem):
    x, output = problem
    likelihood = NormalLikelihood(SIGMA)
    output.requires_grad_()
    energy = likelihood.energy(x, output).sum()
    (expected,) = torch.autograd.grad(energy, output, create_graph=True)
    (curvature,) = torch.autograd.grad(expected.sum(), output)
    output, expected = output.detach(), expected.detach()
    scaled = likelihood.scaled_gradient(x, output, x.isnan())
    assert_allclose(scaled / likelihood.dispersion, expected, rtol=1e-12)
    _, again = likelihood.energy_and_scaled_gradient(x, output, x.isnan())
    assert_array_equal(again, scaled)
    second = likelihood.scaled_curvature(output) / likelihood.dispersion
    assert_allclose(curvature[~x.isnan()], second, rtol=1e-12)
    # Where every feature is observed, nothing needs to be masked.
    complete = torch.ones_like(output)
    assert_array_equal(
        likelihood.scaled_gradient(complete, output),
        likelihood.scaled_gradient(complete, output, complete.isnan()),
    )


def test_samples_and_mean():
    likelihood, output = NormalLikelihood(SIGMA), torch.full((5000, 2), 3.0).double()
    generator = torch.Generator().manual_seed(0)
    x = likelihood.sample(
        output, lambda *shape: torch.randn(shape, generator=generator).double()
    )
    noise = (x - likelihood.mean(output)).numpy().ravel()
    assert_array_equal(likelihood.mean(output), output)
    assert stats.kstest(noise, stats.norm(scale=SIGMA).cdf).pvalue > 0.01
