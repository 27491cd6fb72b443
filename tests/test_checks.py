"""Warnings and errors on the scale of data, and on results that are of no use."""

import re
import warnings

import numpy as np
import pytest
import torch
from conftest import LINEAR
from sklearn.preprocessing import StandardScaler

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder
from sklearn_sparsegen._data.rows import Rows
from sklearn_sparsegen._training.checks import check_result
from sklearn_sparsegen.baselines import (
    ShortRunEncoder,
    TopKEncoder,
    VAEEncoder,
    VarianceSparseEncoder,
    VSCEncoder,
)

SMALL = {
    "n_components": 30,
    "hidden_layer_sizes": (50,),
    "max_iter": 15,
    "decay": 0.1,
    "batch_size": 50,
    "learning_rate_init": 0.01,
    "tol": None,
    "random_state": 0,
}


def messages_of(function, *args):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args)
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(("factor", "offset"), [(1, 0), (1e-6, 0), (1e4, 3e5)])
def test_good_results_give_no_warning(digits, factor, offset):
    encoder = SparseGeneratorEncoder(**SMALL)
    assert messages_of(encoder.fit, digits * factor + offset) == []
    codes = encoder.transform(digits * factor + offset)
    assert (codes != 0).any(1).mean() > 0.95
    assert (codes != 0).mean() < 0.9


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"sigma": 2.0}, r"\d+% of the training rows have no active code"),
        ({"alpha": 0.0}, r"\d+% of the training rows have no active code"),
        ({"sigma": 1e-4, "positive_code": False}, r"\d+% of all codes are active"),
        ({"learning_rate_init": 3.0}, "worse than their mean"),
    ],
)
def test_results_of_no_use_give_a_warning(digits, change, match):
    encoder = SparseGeneratorEncoder(**SMALL | change)
    told = messages_of(encoder.fit, digits)
    (message,) = (message for message in told if re.search(match, message))
    # The message names a parameter and a value to try, which is another one.
    advice = re.findall(r"(increase|reduce) (\w+) \(try ([\d.e+-]+)\)", message)
    assert advice
    for verb, name, value in advice:
        now = encoder.get_params()[name]
        now = encoder.sigma_ if now == "auto" else now
        assert float(value) > now if verb == "increase" else float(value) < now


def test_the_advice_on_sigma_leads_to_active_codes(digits):
    encoder = SparseGeneratorEncoder(**SMALL | {"sigma": 1.0})
    for _ in range(6):
        told = [m for m in messages_of(encoder.fit, digits) if "no active" in m]
        if not told:
            break
        sigma = float(re.search(r"sigma \(try ([\d.e+-]+)\)", told[0])[1])
        encoder.set_params(sigma=sigma)
    assert not told
    assert encoder.sigma_ < 1


@pytest.mark.parametrize(
    ("encoder", "advice"),
    [
        (VSCEncoder(5, alpha=0.001, sigma=9.0), r"\(try 0\.\d+\) or increase alpha"),
        (VarianceSparseEncoder(5, sigma=9.0), r"reduce sigma \(try 0\.\d+\)\.$"),
    ],
)
def test_the_advice_names_parameters_that_there_are(digits, encoder, advice):
    encoder.set_params(max_iter=12, batch_size=50, tol=None)
    told = messages_of(encoder.fit, digits)
    (message,) = (message for message in told if "no active code" in message)
    assert re.search(advice, message)


def test_the_advice_where_sigma_has_no_effect(digits):
    encoder = TopKEncoder(5, max_iter=1, tol=None, learning_rate_init=0.03)
    messages_of(encoder.fit, digits)
    figures = {"active": torch.tensor([0.1] * 5), "empty": 0.6, "squared_error": 0.0}
    told = check_result(encoder, Rows(digits), figures, [])
    assert told == [
        "60% of the training rows have no active code; reduce learning_rate_init "
        "(try 0.01)."
    ]


def test_other_data_are_compared_with_their_own_mean(digits):
    encoder = SparseGeneratorEncoder(**SMALL, warm_start=True).fit(digits)
    told = messages_of(encoder.fit, 10 * digits)
    assert not any("worse than" in message for message in told)
    # Data without any spread have nothing to be compared with.
    encoder = SparseGeneratorEncoder(**SMALL | {"sigma": 0.1})
    assert not any("worse" in m for m in messages_of(encoder.fit, np.ones((9, 4))))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_values_that_are_not_observed_do_not_vary(shift):
    """Reconstructions are compared with the mean where values are observed."""
    # The variances are 1 and 4, and the second feature is observed in half of the rows.
    X = np.array([[-1, -2], [1, 2], [-1, np.nan], [1, np.nan]])

    def constant(n_components, n_features):
        layer = torch.nn.Linear(n_components, n_features)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.constant_(layer.bias, shift)
        return torch.nn.Sequential(layer)

    settings = SMALL | {"max_iter": 1, "decay": 1.0, "learning_rate_init": 1e-300}
    encoder = SparseGeneratorEncoder(**settings, generator=constant)
    told = messages_of(encoder.fit, X)
    # The squared error is 3, as around the mean, and more with any shift.
    assert any("worse than their mean" in message for message in told) == (shift > 0)


def test_a_constant_feature_has_no_offset(digits):
    for constant in 1e5, 0.1:
        X = digits.astype(np.float32)
        X[:, 0] = constant
        assert messages_of(SparseGeneratorEncoder(**SMALL).fit, X) == []
    X = digits.copy()
    X[:, :40] = 0.1
    assert messages_of(SparseGeneratorEncoder(**SMALL).fit, X) == []


def test_features_that_are_never_observed(digits):
    X = digits.copy()
    X[::2, 3] = np.nan
    assert messages_of(SparseGeneratorEncoder(**SMALL).fit, X) == []
    X[:, [3, 7]] = np.nan
    (message,) = messages_of(SparseGeneratorEncoder(**SMALL).fit, X)
    assert "No value of the features 3, 7 of X is observed" in message


def test_the_offset_of_a_negligible_feature(digits):
    X = np.tile(digits.astype(np.float32), (60, 1))
    X[:, 0] = 1.0
    X[0, 0] = 0.99
    encoder = SparseGeneratorEncoder(**SMALL)
    assert not any("subtract" in m for m in messages_of(encoder.partial_fit, X))


def test_components_far_above_what_is_used(rng):
    X = np.abs(rng.normal(size=(300, 1))) * rng.normal(size=8)
    encoder = SparseGeneratorEncoder(**SMALL | {"n_components": 200})
    encoder.set_params(n_nonzero_coefs=1, batch_size=15, learning_rate_init=0.005)
    encoder.set_params(max_iter=30, decay=0.05)
    (message,) = messages_of(encoder.fit, X)
    n_used = (encoder.component_frequency_ > 0).sum()
    assert message.startswith(
        f"Only {n_used} of n_components=200 components were active"
    )
    assert 0 < n_used < 20


def test_a_loss_that_grew_is_told(digits):
    encoder = VAEEncoder(5, max_iter=1, tol=None, learning_rate_init=0.03)
    messages_of(encoder.fit, digits)
    figures, data = {"squared_error": 0.0}, Rows(digits)
    told = check_result(encoder, data, figures, [62.0, 60.0, 72.0])
    assert told == [
        "The loss grew from 62 to 72 while no schedule changed it; reduce "
        "learning_rate_init (try 0.01)."
    ]
    # No better for five epochs is not the same as converged.
    told = check_result(encoder, data, figures, [99.0, 60.0, *[72, 71, 73, 75, 72]])
    assert told[0].startswith("The loss grew from 60 to 71 while")
    assert check_result(encoder, data, figures, [62.0, 62.1]) == []
    noisy = [62.0, 60.0, *[60.9, 60.2, 60.8, 61.0, 60.7]]
    assert check_result(encoder, data, figures, noisy) == []
    assert check_result(encoder, data, figures, []) == []


def test_training_that_got_worse_is_told(digits):
    encoder = ShortRunEncoder(10, learning_rate_init=1.0, max_iter=15, random_state=0)
    told = " ".join(messages_of(encoder.fit, digits))
    assert re.search(
        r"(loss grew|worse than their mean).* learning_rate_init \(try", told
    )


@pytest.mark.parametrize("step_size", [0.5, 1.0, 3.0, 10.0])
def test_steps_that_are_far_too_long_are_told(step_size, digits):
    encoder = SparseGeneratorEncoder(
        **SMALL | {"max_iter": 25}, solver="gradient", spike_scale=0.1
    )
    encoder.set_params(step_size=step_size)
    try:
        told = " ".join(messages_of(encoder.fit, digits))
    except ValueError as error:
        told = str(error)
    assert re.search(rf"step_size={step_size} is too long .* below [\d.e-]+ is", told)


def test_features_of_very_different_variances(digits):
    X = digits[:, 17:23].copy()
    X[:, :2] *= 1e4
    encoder = SparseGeneratorEncoder(**SMALL)
    assert "StandardScaler" in messages_of(encoder.fit, X)[0]
    told = messages_of(encoder.fit, StandardScaler().fit_transform(X))
    assert not any("StandardScaler" in message for message in told)


def test_an_offset_that_the_type_cannot_hold(digits):
    encoder = SparseGeneratorEncoder(**SMALL | {"max_iter": 1, "decay": 1.0})
    far = digits + 1e6
    told = messages_of(encoder.fit, far.astype(np.float32))
    assert any("subtract the mean" in message for message in told)
    assert not any("subtract" in message for message in messages_of(encoder.fit, far))


@pytest.mark.parametrize("factor", [1e25, 1e-25])
def test_data_outside_the_range_of_the_type(digits, factor):
    X = (digits * factor).astype(np.float32)
    with pytest.raises(ValueError, match=r"outside the range of float32; rescale X"):
        SparseGeneratorEncoder(**SMALL).fit(X)
    assert messages_of(SparseGeneratorEncoder(**SMALL).fit, digits * factor) == []


@pytest.mark.parametrize("X", [np.full((150, 3), 0.1), np.ones((1, 3))])
def test_data_that_do_not_vary(X, digits):
    with pytest.raises(ValueError, match=r"do not vary.*a number for sigma"):
        SparseGeneratorEncoder(**SMALL).fit(X)
    encoder = SparseGeneratorEncoder(**SMALL | {"sigma": 0.3}).partial_fit(X)
    with pytest.raises(ValueError, match=r"do not vary.*a number for sigma"):
        encoder.set_params(sigma="auto").partial_fit(X)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_sigmoid_that_cannot_reach_the_data_is_told_each_time(digits, method):
    settings = SMALL | {"output_activation": "sigmoid", "warm_start": True}
    encoder = SparseGeneratorEncoder(**settings)
    assert messages_of(encoder.fit, digits) == []
    for _ in range(2):
        told = messages_of(getattr(encoder, method), 2 * digits)
        assert any("output_activation='sigmoid' cannot reach" in m for m in told)
    # A generator of one's own is not told what the output of another one would be.
    own = torch.nn.Sequential(torch.nn.Linear(30, 64))
    encoder = SparseGeneratorEncoder(**settings, generator=own)
    assert not any("sigmoid" in m for m in messages_of(encoder.fit, 2 * digits))


@pytest.mark.parametrize("init", ["zeros", "linear", "normal"])
def test_a_generator_without_a_slope_at_zero(digits, init):
    def without_bias(n_components, n_features):
        return torch.nn.Sequential(
            torch.nn.Linear(n_components, 20, bias=False),
            torch.nn.ReLU(),
            torch.nn.Linear(20, n_features),
        )

    settings = PAPER_SETTINGS | SMALL | {"max_iter": 1, "decay": 1.0}
    encoder = SparseGeneratorEncoder(**settings | {"init": init, "sigma": 1.0})
    messages = messages_of(encoder.set_params(generator=without_bias).fit, digits)
    told = any("does not change with the codes at z = 0" in m for m in messages)
    assert told == (init != "normal")


def test_a_generator_may_start_without_a_slope(digits):
    """It gets one by training, because its hidden units are not zero at z = 0."""

    def flat(n_components, n_features):
        last = torch.nn.Linear(20, n_features)
        torch.nn.init.zeros_(last.weight)
        return torch.nn.Sequential(
            torch.nn.Linear(n_components, 20), torch.nn.Tanh(), last
        )

    encoder = SparseGeneratorEncoder(**LINEAR | SMALL, generator=flat)
    assert not any("z = 0" in m for m in messages_of(encoder.fit, digits))
    assert (encoder.transform(digits) != 0).any(1).all()
