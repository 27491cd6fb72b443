"""The scale of data and of codes: sigma from the data, and equal slopes."""

import functools

import numpy as np
import pytest
import torch
from conftest import LINEAR, short_fits
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder, baselines
from sklearn_sparsegen._data.rows import Rows
from sklearn_sparsegen._inference.memories import CodeMoments
from sklearn_sparsegen._model.energy import Autograd, jacobian
from sklearn_sparsegen._model.generators import (
    Rescale,
    build_generator,
    convolutional_generator,
    mlp_generator,
)
from sklearn_sparsegen._model.linear_layers import LinearLayers, forward, linear_layers
from sklearn_sparsegen._model.scale import fix_slopes, slopes_at_zero

pytestmark = short_fits

SMALL = {
    "n_components": 12,
    "hidden_layer_sizes": (30,),
    "alpha": 0.2,
    "decay": 0.2,
    "max_iter": 6,
    "learning_rate_init": 0.005,
    "tol": None,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def fitted(digits):
    return SparseGeneratorEncoder(**SMALL).fit(digits)


# Data -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [3, 1000])
def test_moments_in_pieces(n_rows, monkeypatch, rng):
    X = rng.normal(5, 3, size=(40, 7))
    X[rng.uniform(size=X.shape) < 0.3] = np.nan
    X[:, 6] = np.nan
    monkeypatch.setattr("sklearn_sparsegen._data.rows._PIECE_BYTES", 8 * 7 * n_rows)
    mean, variance, observed = Rows(X).moments()
    assert_allclose(mean[:6], np.nanmean(X[:, :6], axis=0))
    assert_allclose(variance[:6], np.nanvar(X[:, :6], axis=0))
    assert_array_equal((mean[6], variance[6]), (0, 0))
    assert_allclose(observed, (~np.isnan(X)).mean(0))


@pytest.mark.filterwarnings("ignore:fit ended after . epochs, but")
def test_sigma_is_a_share_of_the_total_variance(fitted, digits):
    total = digits.var(0).sum()
    assert_allclose(fitted.sigma_, np.sqrt(total / 2400))
    assert clone(fitted).set_params(sigma=0.2).fit(digits).sigma_ == 0.2
    for name in baselines.__all__:
        encoder = getattr(baselines, name)(
            3, hidden_layer_sizes=(9,), max_iter=1, tol=None
        )
        ratio = 100 if name in ("ShortRunEncoder", "ABPEncoder") else 600
        assert_allclose(encoder.fit(digits).sigma_, np.sqrt(total / ratio))


def test_sigma_in_a_stream(digits):
    """The first part decides, until sigma is set."""
    encoder = SparseGeneratorEncoder(**SMALL).partial_fit(digits[:100])
    sigma = encoder.sigma_
    assert_allclose(sigma, np.sqrt(digits[:100].var(0).sum() / 2400))
    assert encoder.partial_fit(10 * digits[100:]).sigma_ == sigma
    assert encoder.set_params(sigma=0.3).partial_fit(digits).sigma_ == 0.3
    assert encoder.set_params(sigma="auto").partial_fit(digits).sigma_ == sigma


@pytest.mark.filterwarnings("ignore:fit ended after . epochs, but")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SparseGeneratorEncoder", {}),
        *((name, {}) for name in baselines.__all__),
        ("VSCEncoder", {"n_pseudo_inputs": 7}),
    ],
)
def test_unit_and_offset_change_nothing(name, settings, digits):
    """Powers of two scale without rounding; other factors change the last digits."""
    cls = getattr(baselines, name, SparseGeneratorEncoder)
    encoder = cls(5, hidden_layer_sizes=(9,), max_iter=2, tol=None, random_state=0)
    encoder.set_params(**settings)
    codes = encoder.fit_transform(digits)
    expected = [encoder.inverse_transform(codes)]
    if hasattr(encoder, "sample"):
        expected.append(encoder.sample(5))
    for factor, offset, tolerance in ((1024, 0, 0), (3e4, 0, 1e-7), (0.1, 2e3, 1e-3)):
        X = factor * digits + offset
        scaled = clone(encoder).fit(X)
        if name in ("ShortRunEncoder", "ABPEncoder"):
            # The noise of inference is drawn from the values of the row.
            loss = encoder.loss_curve_[-1]
            assert_allclose(scaled.loss_curve_[-1], loss, rtol=0.1)
            continue
        scale = max(1, np.abs(codes).max())
        assert_allclose(scaled.transform(X), codes, atol=tolerance * scale, rtol=0)
        if hasattr(encoder, "score"):
            # The density of factor * x is that of x, divided by factor in each feature.
            score = encoder.score(digits) - 64 * np.log(factor)
            # Importance sampling draws its noise from the values of the row.
            tolerance = 0.01 if name in ("VAEEncoder", "VSCEncoder") else tolerance
            assert_allclose(scaled.score(X), score, rtol=max(tolerance, 1e-12))
        given = [scaled.inverse_transform(codes)]
        if hasattr(encoder, "sample"):
            given.append(scaled.sample(5))
        given = [(values - offset) / factor for values in given]
        assert_allclose(np.concatenate(given), np.concatenate(expected), atol=1e-3)


@pytest.mark.parametrize("output_activation", ["identity", "sigmoid"])
def test_the_output_starts_at_the_mean(output_activation, digits, rng):
    encoder = SparseGeneratorEncoder(
        **SMALL | {"max_iter": 5, "learning_rate_init": 1e-300},
        output_activation=output_activation,
    ).fit(digits)
    # Without the random biases of its layers, the generator gives the mean.
    for name, parameter in encoder.generator_.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    mean = digits.mean(0)
    if output_activation == "sigmoid":
        assert mean.min() == 0
        mean = mean.clip(0.01, 0.99)
    assert_allclose(encoder.inverse_transform(np.zeros((1, 12)))[0], mean, rtol=1e-12)


def test_the_papers_sigmoid_does_not_start_at_the_mean(digits):
    """Under a normal spike nearly all codes would then stay in the spike."""
    encoder = SparseGeneratorEncoder(**PAPER_SETTINGS | SMALL).fit(digits)
    kinds = [type(module) for module in encoder.generator_]
    assert kinds == [torch.nn.Linear, torch.nn.ReLU, torch.nn.Linear, torch.nn.Sigmoid]


@pytest.mark.parametrize("output_activation", ["identity", "sigmoid"])
@pytest.mark.parametrize("sizes", [(), (9,)])
def test_fast_path_with_a_rescaled_output(sizes, output_activation, rng):
    rescale = Rescale(rng.normal(size=6), 3.0)
    network = build_generator(
        lambda k, d: mlp_generator(k, d, sizes, "tanh", output_activation, rescale),
        4,
        6,
        seed=0,
    ).double()
    layers = linear_layers(network)
    z, gradient = (torch.from_numpy(rng.normal(size=(5, n))) for n in (4, 6))
    output, pullback = LinearLayers(layers, 0.3).output_and_pullback(z, 5)
    expected, reference = Autograd(network, 0.3).output_and_pullback(z, 5)
    assert_allclose(output, expected, rtol=1e-12)
    assert_allclose(pullback(gradient.clone()), reference(gradient), rtol=1e-10)
    assert_allclose(forward(network, z).detach(), network(z).detach(), rtol=1e-12)
    # A second one, or one before the first layer, is no layer of the fast path.
    assert linear_layers(torch.nn.Sequential(*network, rescale)) is None
    assert linear_layers(torch.nn.Sequential(rescale, *network)) is None


# Codes ----------------------------------------------------------------------------


@pytest.mark.parametrize("convolutional", [False, True])
def test_slopes_and_how_they_are_made_equal(convolutional, rng, monkeypatch):
    monkeypatch.setattr("sklearn_sparsegen._model.scale._JACOBIAN_ROWS", 5)
    # The small part of the mean variance does not scale with each component.
    monkeypatch.setattr("sklearn_sparsegen._inference.memories._RIDGE", 1e-14)
    images = functools.partial(
        convolutional_generator, image_shape=(4, 4), channels=(3, 2)
    )
    factory = images if convolutional else mlp_generator
    generator = build_generator(factory, 6, 16, seed=0).double()
    zero, columns = torch.zeros(1, 6, dtype=torch.float64), torch.arange(6)[None]
    _, J = jacobian(generator, zero, columns)
    slopes = slopes_at_zero(generator, 6)
    assert_allclose(slopes, J[0].norm(dim=0), rtol=1e-12)

    z = torch.from_numpy(rng.normal(size=(50, 6)))
    moments = CodeMoments().double()
    moments.update(None, z, generator(z).detach(), torch.ones(50))
    x = torch.from_numpy(rng.normal(size=(3, 16)))
    (mean, variance), output = moments.posterior(0.3), generator(z).detach()
    mean = mean(x)
    factor = fix_slopes(generator, 6, data_variance=8.0, n_active=2.0)
    moments.rescale(factor)
    assert_allclose(slopes_at_zero(generator, 6), np.full(6, 2.0), rtol=1e-12)
    assert_allclose(factor, slopes / 2, rtol=1e-12)
    assert_allclose(generator(z * factor).detach(), output, rtol=1e-10)
    # The linear start gives the same codes, on the new scale.
    rescaled_mean, rescaled_variance = moments.posterior(0.3)
    assert_allclose(rescaled_mean(x), mean * factor, rtol=1e-6, atol=1e-8)
    assert_allclose(rescaled_variance, variance * factor**2, rtol=1e-6)


def test_slopes_are_equal_after_each_epoch(fitted, digits):
    def slopes(encoder):
        slopes = slopes_at_zero(encoder.generator_, 12)
        return slopes / np.sqrt(digits.var(0).sum())

    # Where there is a dictionary, its atoms have one norm instead.
    atoms = np.linalg.norm(fitted.components_, axis=1) / np.sqrt(digits.var(0).sum())
    assert_allclose(atoms, fitted.n_active_curve_[-1] ** -0.5, rtol=1e-6)
    fitted = SparseGeneratorEncoder(**LINEAR | SMALL).fit(digits)
    assert_allclose(slopes(fitted), fitted.n_active_curve_[-1] ** -0.5, rtol=1e-6)
    limited = clone(fitted).set_params(n_nonzero_coefs=3).fit(digits)
    assert limited.n_active_curve_[-1] > 2.5
    assert_allclose(slopes(limited), limited.n_active_curve_[-1] ** -0.5, rtol=1e-6)
    # A normal spike fixes the scale itself, and a user's module stays as it is.
    for change in (
        {"spike_scale": 0.1},
        {"generator": lambda k, d: torch.nn.Sequential(torch.nn.Linear(k, d))},
    ):
        other = clone(fitted).set_params(**change).fit(digits)
        assert slopes(other).std() > 0.01 * slopes(other).mean()


def test_slopes_are_those_of_values_that_are_observed(digits, rng):
    """They make up the variance of a row where it is observed."""
    X = np.where(
        rng.uniform(size=digits.shape) < np.linspace(0, 0.9, 64), np.nan, digits
    )
    variance = np.nansum((X - np.nanmean(X, axis=0)) ** 2) / len(X)
    assert variance < 0.6 * np.nanvar(X, axis=0).sum()
    encoder = SparseGeneratorEncoder(**SMALL).fit(X)
    norms = np.linalg.norm(encoder.components_, axis=1)
    expected = np.sqrt(variance / encoder.n_active_curve_[-1])
    assert_allclose(norms, np.full(12, expected), rtol=1e-12)


def test_codes_have_a_natural_scale(digits):
    encoder = SparseGeneratorEncoder(**SMALL | {"max_iter": 40}).fit(digits)
    codes = encoder.transform(digits)
    assert 0.4 < np.sqrt(np.mean(codes[codes != 0] ** 2)) < 2.5


def test_the_linear_start_follows_the_scale(digits):
    encoder = SparseGeneratorEncoder(**LINEAR | SMALL).fit(digits)
    model, x = encoder._training_model(), torch.tensor(digits)
    mean, _ = encoder.code_moments_.posterior(encoder.sigma_)
    weight, before = encoder.generator_[0].weight.clone(), mean(x)
    means = {"active": torch.tensor([3 * encoder.n_active_curve_[-1]])}
    model.end_epoch(means, n_missed=0)
    factor = (weight / encoder.generator_[0].weight)[0].detach()
    assert_allclose(factor, np.sqrt(3), rtol=1e-6)
    mean, _ = encoder.code_moments_.posterior(encoder.sigma_)
    assert_allclose(mean(x), before * factor, rtol=1e-6, atol=1e-8)


def test_how_often_each_component_is_active(digits):
    settings = SMALL | {"learning_rate_init": 1e-300, "init": "zeros"}
    settings |= {"transform_n_steps": None}
    settings |= {"alpha_init": 0.2, "spike_scale": 0.05, "max_iter": 1, "sigma": 0.05}
    encoder = SparseGeneratorEncoder(**settings).fit(digits)
    active = encoder.slab_proba(encoder.transform(digits)) > 0.5
    assert 0.05 < active.mean() < 0.95
    assert_allclose(encoder.component_frequency_, active.mean(0))
    assert_allclose(encoder.n_active_curve_[-1], active.sum(1).mean())


# Steps of training and of use ---------------------------------------------------------


def test_training_and_use_take_steps_of_their_own(fitted, digits):
    labels = digits.sum(1) > np.median(digits.sum(1))
    settings = {"transform_n_steps": 50, "transform_tol": 1e-1}
    encoder = SparseGeneratorEncoder(**SMALL, **settings)
    pipeline = make_pipeline(encoder, LogisticRegression()).fit(digits, labels)
    for a, b in zip(
        encoder.generator_.parameters(), fitted.generator_.parameters(), strict=True
    ):
        assert torch.equal(a, b)
    codes = pipeline[0].transform(digits)
    few = clone(fitted).set_params(transform_n_steps=None).fit(digits).transform(digits)
    assert not np.allclose(codes, few)
    # None takes as many steps as training does, without a test for convergence.
    assert_array_equal(
        clone(fitted).set_params(transform_n_steps=2).fit(digits).transform(digits), few
    )
    score = encoder.score(digits)
    assert score != fitted.score(digits)
    assert score == encoder.set_params(n_steps=1).score(digits)


@pytest.mark.parametrize("solver", ["gradient", "langevin", "proximal"])
def test_positive_codes(solver, digits):
    settings = SMALL | {"solver": solver, "spike_scale": 0.1, "n_steps": 20}
    settings |= {"step_size": 0.02, "sigma": 0.2}
    encoder = SparseGeneratorEncoder(**settings).fit(digits)
    codes = encoder.transform(digits)
    assert codes.min() >= 0
    assert codes.max() > 0.1
    assert encoder.sample(5).shape == (5, 64)
    signed = clone(encoder).set_params(positive_code=False).fit(digits)
    assert signed.transform(digits).min() < 0


@pytest.mark.parametrize("init", ["zeros", "normal", "prior", "linear", "learned"])
@pytest.mark.parametrize("n_steps", [1, 2])
def test_every_start_keeps_to_the_prior(init, n_steps, fitted, digits):
    encoder = clone(fitted).set_params(n_nonzero_coefs=2, spike_scale=0.1)
    if init == "linear":
        encoder.set_params(init=init)  # what it needs is made in training
    encoder.fit(digits).set_params(init=init, transform_n_steps=n_steps)
    codes = encoder.transform(digits)
    assert codes.min() >= 0
    assert (codes != 0).sum(1).max() <= 2
    encoder.set_params(n_nonzero_coefs=None, spike_scale=0.0)
    assert encoder.transform(digits).min() >= 0


def test_a_generator_of_ones_own_stays_so(digits):
    def own(n_components, n_features):
        return torch.nn.Sequential(torch.nn.Linear(n_components, n_features))

    encoder = SparseGeneratorEncoder(**SMALL, generator=own).partial_fit(digits)
    weight = encoder.generator_[0].weight
    encoder.set_params(generator=None)
    with pytest.raises(ValueError, match="generator=None cannot take effect"):
        encoder.partial_fit(digits)
    assert torch.equal(encoder.generator_[0].weight, weight)


def test_the_score_is_that_of_the_codes_of_transform(fitted, digits):
    encoder = clone(fitted).fit(digits)
    scores = {}
    for name, change in {
        "all": {},
        "threshold": {"threshold": 0.5},
        "one": {"n_nonzero_coefs": 1},
        "two": {"n_nonzero_coefs": 2},
    }.items():
        encoder.set_params(threshold=None, n_nonzero_coefs=None).set_params(**change)
        scores[name] = encoder.score(digits)
        model, x = encoder._inference_model(), torch.tensor(digits)
        z = torch.from_numpy(encoder.transform(digits))
        assert_allclose(scores[name], model.log_likelihood(x, z).mean(), rtol=1e-6)
    assert len(set(scores.values())) == 4
    assert scores["two"] > scores["one"]
