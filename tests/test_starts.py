"""Where inference starts, above all under the affine map nearest to a generator."""

import numpy as np
import pytest
import torch
from conftest import LINEAR, short_fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen._inference.memories import _FADING, Chains, CodeMoments
from sklearn_sparsegen._inference.starts import (
    Linear,
    PriorDraw,
    StandardNormal,
    Zeros,
)
from sklearn_sparsegen._model.energy import DataTerm
from sklearn_sparsegen._model.likelihoods import NormalLikelihood
from sklearn_sparsegen._model.priors import PointSpikeSlab, SpikeSlab

pytestmark = short_fits

SIGMA = 0.3


@pytest.fixture
def learned(rng):
    """Return batches of codes and of what a nonlinear generator makes of them."""
    z = torch.tensor(rng.normal(0.5, size=(40, 50, 4)) * [1, 2, 0.5, 3])
    return z, torch.tanh(z @ torch.tensor(rng.normal(size=(4, 9)))) + 1


def linear_generator(z, x_hat):
    linear = CodeMoments().double()
    for batch in zip(z, x_hat, strict=True):
        linear.update(None, *batch, torch.ones(len(batch[0])))
    return linear


def test_posterior_against_conditioning_a_normal(learned, rng):
    """The reference is ridge regression, and then the joint normal of z and x."""
    codes, data = (rows.reshape(2000, -1).numpy() for rows in learned)
    linear = linear_generator(*(rows.reshape(1, 2000, -1) for rows in learned))
    mean, variance = linear.posterior(SIGMA)
    covariance = np.cov(codes.T, bias=True)
    ridge = covariance.diagonal().mean() / 1000
    covariance += ridge * np.eye(4)
    slope = Ridge(alpha=ridge * len(codes)).fit(codes, data).coef_
    among_data = slope @ covariance @ slope.T + SIGMA**2 * np.eye(9)
    gain = covariance @ slope.T @ np.linalg.inv(among_data)
    x = rng.normal(size=(20, 9))
    expected = codes.mean(0) + (x - data.mean(0)) @ gain.T
    assert_allclose(mean(torch.tensor(x)), expected, rtol=1e-9)
    conditional = covariance - gain @ slope @ covariance
    assert_allclose(variance[0], conditional.diagonal(), rtol=1e-9)
    assert variance.shape == (1, 4)


def test_moments_are_of_the_last_batches(learned, rng):
    z, x_hat = learned
    # The batches have several sizes.
    sizes = [(50, 7, 1, 50, 20)[i % 5] for i in range(40)]
    linear = CodeMoments().double()
    rows, weights = [], []
    for i, size in enumerate(sizes):
        own_weights = torch.tensor(rng.uniform(0.1, 3, size=size))
        linear.update(None, z[i, :size], x_hat[i, :size], own_weights)
        rows.append(np.hstack([z[i, :size], x_hat[i, :size]]))
        weights += (_FADING ** (39 - i) * own_weights).tolist()
    rows = np.vstack(rows)
    assert_allclose(linear.mean, np.average(rows, axis=0, weights=weights))
    covariance = np.cov(rows.T, aweights=weights, bias=True)
    assert_allclose(linear.covariance, covariance[:4], rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_codes_that_are_all_the_same(value):
    """The nearest map is constant."""
    z, x_hat = (torch.full((3, 50, d), value).double() for d in (4, 9))
    mean, variance = linear_generator(z, x_hat).float().posterior(SIGMA)
    assert_array_equal(mean(torch.rand(3, 9)), np.full((3, 4), np.float32(value)))
    assert ((variance >= 0) & (variance < 1e-20)).all()


def test_large_means_do_not_drown_the_covariance(learned):
    z, x_hat = learned
    near, far = CodeMoments(), CodeMoments()
    for batch in zip(z.float(), x_hat.float(), strict=True):
        near.update(None, *batch, torch.ones(50))
        far.update(None, batch[0] + 1000, batch[1] - 1000, torch.ones(50))
    assert_allclose(far.covariance, near.covariance, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sigma", [1e-4, 0.3])
def test_more_components_than_the_data_have_dimensions(sigma, rng):
    """With data of rank 3, three components explain all, however small sigma is."""
    loadings = torch.tensor(rng.normal(size=(3, 9))) * 1e4
    z = torch.tensor(rng.normal(size=(1, 500, 40)))
    x_hat = z[:, :, :3] @ loadings
    mean, variance = linear_generator(z, x_hat).posterior(sigma)
    # The ridge shrinks codes by a thousandth.
    assert_allclose(mean(x_hat[0])[:, :3], z[0, :, :3], rtol=0, atol=5e-3)
    assert (variance >= 0).all()
    assert variance[0, :3].max() < 1e-6 < variance[0, 3:].min()


def test_posterior_in_float32_against_float64(learned, rng):
    linear = linear_generator(*learned)
    x = torch.tensor(rng.normal(size=(20, 9)))
    mean, variance = linear.posterior(SIGMA)
    expected = mean(x)
    mean_32, variance_32 = linear.float().posterior(SIGMA)
    assert_allclose(mean_32(x.float()), expected, rtol=0, atol=1e-5)
    assert_allclose(variance_32, variance, rtol=1e-6)


def test_missing_values_are_taken_at_their_mean(learned):
    z, x_hat = learned
    linear = linear_generator(z, x_hat)
    mean, _ = linear.posterior(SIGMA)
    x = x_hat[0].clone()
    x[:, 2] = linear.mean[4 + 2]
    expected = mean(x)
    x[:, 2] = torch.nan
    assert_array_equal(mean(x), expected)


# The other starts ---------------------------------------------------------------------


@pytest.fixture
def normal_draws():
    generator = torch.Generator().manual_seed(0)
    return lambda: torch.randn(5000, 4, generator=generator, dtype=torch.float64)


def test_zeros_are_one_code_for_all_rows(normal_draws):
    codes = Zeros(4).codes(torch.ones(3, 9), None, None, normal_draws)
    assert_array_equal(codes, np.zeros((1, 4)))


def test_standard_normal_start(normal_draws):
    codes = StandardNormal().codes(None, None, SpikeSlab(0.2), normal_draws)
    assert stats.kstest(codes.numpy().ravel(), stats.norm.cdf).pvalue > 0.01


def test_prior_start_follows_the_prior(normal_draws):
    codes = PriorDraw().codes(None, None, SpikeSlab(0.2), normal_draws)

    def cdf(z):
        return 0.2 * stats.norm.cdf(z) + 0.8 * stats.norm.cdf(z, scale=0.1)

    assert stats.kstest(codes.numpy().ravel(), cdf).pvalue > 0.01


def test_chains_keep_the_codes_of_each_row():
    positions = torch.arange(10.0).view(5, 2)
    chains, x = Chains(2, positions), torch.zeros(2, 9)
    chains.positions = positions
    assert_array_equal(chains.codes(x, [4, 1], None, None), [[8, 9], [2, 3]])
    chains.update([4, 1], -torch.ones(2, 2), None, None)
    expected = [[0, 1], [-1, -1], [4, 5], [6, 7], [-1, -1]]
    assert_array_equal(positions, expected)
    assert_array_equal(chains.codes(x, [1, 0], None, None), [[-1, -1], [0, 1]])


@pytest.mark.parametrize("init", ["zeros", "normal", "prior", "linear"])
def test_init_names_the_start(init, digits):
    encoder = SparseGeneratorEncoder(**SMALL | {"max_iter": 2, "decay": 0.4}, init=init)
    encoder.fit(digits)
    starts = {
        "zeros": Zeros,
        "normal": StandardNormal,
        "prior": PriorDraw,
        "linear": Linear,
    }
    assert type(encoder._inference_model().start) is starts[init]


# In the encoder -----------------------------------------------------------------------

SMALL = {
    "n_components": 20,
    "hidden_layer_sizes": (50,),
    "output_activation": "auto",
    "positive_code": False,
    "n_steps": 30,
    "alpha": 0.2,
    "sigma": 0.2,
    "max_iter": 40,
    "batch_size": 50,
    "tol": None,
    "random_state": 0,
}


@pytest.fixture(scope="module", params=[0, 0.1], ids=["point", "normal"])
def fitted(request, digits):
    spike = {"spike_scale": request.param}
    settings = SMALL | {"n_steps": 4} | spike
    return SparseGeneratorEncoder(**settings, init="linear").fit(digits)


def mean_energy(encoder, X):
    z, prior = torch.tensor(encoder.transform(X)), encoder._inference_model().prior
    likelihood = NormalLikelihood(encoder.sigma)
    term = DataTerm(torch.tensor(X), encoder.generator_, likelihood)
    return (term.value(z) + prior.energy(z)).mean().item()


def test_the_first_step_from_the_linear_start_goes_further(fitted, digits):
    linear = mean_energy(fitted.set_params(n_steps=1), digits)
    zeros = mean_energy(fitted.set_params(init="zeros"), digits)
    later = mean_energy(fitted.set_params(n_steps=3), digits)
    fitted.set_params(init="linear", n_steps=4)
    assert linear < zeros
    if fitted.spike_scale == 0:
        assert linear < later


def test_first_epoch_starts_at_zero(digits):
    settings = SMALL | {"max_iter": 1, "n_steps": 4}
    with pytest.warns(ConvergenceWarning, match="alpha_"):
        linear, zeros = (
            SparseGeneratorEncoder(**settings, init=init).fit(digits)
            for init in ("linear", "zeros")
        )
    assert linear.loss_curve_ == zeros.loss_curve_
    assert mean_energy(linear, digits) != mean_energy(zeros, digits)


@pytest.mark.filterwarnings("ignore:fit ended")
def test_moments_are_collected_only_for_the_linear_start(digits):
    """Their number grows with the square of the number of components."""
    settings = SMALL | {"max_iter": 1, "n_steps": 4, "warm_start": True}
    zeros = SparseGeneratorEncoder(**settings, init="zeros").fit(digits)
    assert sum(buffer.numel() for buffer in zeros.code_moments_.buffers()) == 0
    with pytest.raises(ValueError, match=r"init='linear' needs .* trained with it"):
        zeros.set_params(init="linear").transform(digits)
    # Training that goes on collects them from then on, and drops what is out of date.
    assert zeros.fit(digits).code_moments_.n_rows > 0
    assert zeros.transform(digits).any()
    assert zeros.set_params(init="zeros").fit(digits).code_moments_.n_rows == 0


def test_start_is_thresholded_by_what_the_map_leaves_open(fitted, digits):
    """A code starts at zero if it gains less, under the map, than it costs."""
    mean, variance = fitted.code_moments_.posterior(fitted.sigma)
    x, prior = torch.tensor(digits), PointSpikeSlab(alpha=0.2)
    start = fitted._inference_model().start.codes(x, None, prior, None)
    z = mean(x)
    cost = np.log(0.8 / 0.2)
    # The minimiser of (u - z)^2 / (2 v) + u^2 / 2 + cost is compared with u = 0.
    u = z / (1 + variance)
    gain = (z**2 - (u - z) ** 2) / (2 * variance) - u**2 / 2
    assert_array_equal(start != 0, gain > cost)
    assert_allclose(start, torch.where(gain > cost, u, 0), rtol=1e-12)
    assert 0.05 < (start != 0).double().mean() < 0.5


@pytest.mark.parametrize("solver", ["gradient", "langevin"])
def test_other_solvers_start_there_too(solver, digits):
    settings = SMALL | {"solver": solver, "n_steps": 5, "spike_scale": 0.1}
    settings |= {"sigma": 0.3, "step_size": 0.05}
    encoder = SparseGeneratorEncoder(**LINEAR | settings).fit(digits)
    linear = mean_energy(encoder, digits)
    assert linear < mean_energy(encoder.set_params(init="zeros"), digits)


def test_rows_alone(fitted, digits, check_rows_are_alone):
    check_rows_are_alone(fitted, digits)


def test_missing_values_are_filled_in(fitted, digits, rng):
    X = digits.copy()
    hidden = rng.uniform(size=X.shape) < 0.2
    X[hidden] = np.nan
    filled = fitted.inverse_transform(fitted.transform(X))
    spread = digits - digits.mean(0)
    assert np.square(filled - digits)[hidden].mean() < (
        0.7 * np.square(spread)[hidden].mean()
    )
