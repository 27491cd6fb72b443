"""The likelihood, against independent references in float64."""

import numpy as np
import pytest
import torch
from conftest import linear_map, short_fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder
from sklearn_sparsegen._model.likelihoods import NormalLikelihood

pytestmark = short_fits

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
    assert_allclose(curvature[~x.isnan()], second[~x.isnan()], rtol=1e-12)
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


class Bernoulli:
    """Pixels in [0, 1] with the generator's output as log odds: another likelihood."""

    dispersion = 1.0

    def mean(self, output):
        return output.sigmoid()

    def energy(self, x, output):
        terms = torch.nn.functional.softplus(output) - x * output
        return torch.where(x.isnan(), 0, terms).sum(1)

    def scaled_gradient(self, x, output, missing=None):
        gradient = output.sigmoid() - x
        return gradient if missing is None else gradient.masked_fill(missing, 0)

    def energy_and_scaled_gradient(self, x, output, missing=None):
        return self.energy(x, output), self.scaled_gradient(x, output, missing)

    def scaled_curvature(self, output):
        return output.sigmoid() * (-output).sigmoid()

    def constant(self, n_features):
        return 0.0


class BernoulliEncoder(SparseGeneratorEncoder):
    def _likelihood(self):
        return Bernoulli()


@pytest.mark.parametrize("solver", ["gradient", "proximal"])
def test_another_likelihood_is_one_class(digits, solver):
    """Inference finds the maximum, and the estimate is Laplace's with its curvature."""
    encoder = BernoulliEncoder(
        3,
        hidden_layer_sizes=(),
        alpha=1.0,
        spike_scale=0.1,
        positive_code=False,
        solver=solver,
        init="zeros",
        n_steps=500,
        transform_n_steps=None,
        step_size=0.3,
        max_iter=3,
        tol=None,
        random_state=0,
    ).fit(digits)
    X = np.where(
        np.random.default_rng(0).uniform(size=(9, 64)) < 0.1, np.nan, digits[:9]
    )
    Z, (weight, bias) = encoder.transform(X), linear_map(encoder.generator_)
    probability = special.expit(Z @ weight.T + bias)
    residual = np.where(np.isnan(X), 0, probability - X)
    assert_allclose(residual @ weight + Z, 0, atol=1e-6)
    log_joint = np.nansum(
        X * np.log(probability) + (1 - X) * np.log(1 - probability), axis=1
    ) + stats.norm.logpdf(Z).sum(1)
    for row, score in enumerate(encoder.score_samples(X)):
        seen = ~np.isnan(X[row])
        curvature = (probability * (1 - probability))[row, seen]
        hessian = weight[seen].T @ (curvature[:, None] * weight[seen]) + np.eye(3)
        expected = log_joint[row] + 1.5 * np.log(2 * np.pi)
        expected -= np.linalg.slogdet(hessian)[1] / 2
        assert_allclose(score, expected, rtol=1e-8)
    assert_allclose(encoder.inverse_transform(Z), probability, rtol=1e-12)


def test_advice_on_the_step_size_names_another_likelihood(digits):
    settings = PAPER_SETTINGS | {"alpha": 1.0, "max_iter": 1, "tol": None}
    settings |= {"output_activation": "identity", "random_state": 0}
    encoder = BernoulliEncoder(3, **settings)
    with pytest.warns(ConvergenceWarning, match="step_size=8.0 is too long for .*Bern"):
        encoder.fit(digits).set_params(step_size=8.0, n_steps=1).transform(digits)
