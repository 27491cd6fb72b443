"""A call that fails leaves the encoder as it was."""

import copy
import pickle

import numpy as np
import pytest
import torch
from conftest import ENCODERS, each_encoder, unfinished_fits
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_sparsegen._training.state import TrainingState

pytestmark = unfinished_fits

# What makes `fit` fail: before training, at the first step, and after some steps.
FAILURES = {
    "parameter": ({"n_components": -1}, lambda X: X),
    "generator": ({"generator": "convolutional"}, lambda X: X),
    "data": ({}, lambda X: np.full((5, 7), np.inf)),
    "training": ({"learning_rate_init": 1e200}, lambda X: X),
    "interrupt": ({"generator": lambda k, d: Interrupted(k, d)}, lambda X: X),
}


@pytest.fixture
def digits(digits):
    return digits[:100]


class Interrupted(torch.nn.Module):
    def __init__(self, k, d):
        super().__init__()
        raise KeyboardInterrupt


def same(a, b):
    if isinstance(a, torch.optim.Optimizer):
        return same(a.state_dict(), b.state_dict())
    if isinstance(a, torch.nn.Module):
        return same(a.state_dict(), b.state_dict())
    if isinstance(a, TrainingState):
        return same(a.snapshot(), b.snapshot())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


# A warm start keeps its generator.
CASES = [(failure, False) for failure in FAILURES]
CASES += [(failure, True) for failure in ("parameter", "data", "training")]


@pytest.mark.parametrize(("failure", "warm_start"), CASES)
@each_encoder
def test_fit_that_fails(name, failure, warm_start, digits):
    change, change_data = FAILURES[failure]
    encoder = clone(ENCODERS[name]).set_params(warm_start=warm_start).fit(digits)
    before = copy.deepcopy(encoder.set_params(**change).__dict__)
    with pytest.raises((ValueError, KeyboardInterrupt)):
        encoder.fit(change_data(digits))
    assert same(vars(encoder), before)
    fresh = clone(encoder)
    with pytest.raises((ValueError, KeyboardInterrupt)):
        fresh.fit(change_data(digits))
    assert vars(fresh).keys() == vars(clone(encoder)).keys()
    with pytest.raises(NotFittedError):
        fresh.transform(digits)


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "ABPEncoder"])
@pytest.mark.parametrize("failure", ["data", "training"])
def test_partial_fit_that_fails(name, failure, digits):
    change, change_data = FAILURES[failure]
    encoder, twin = (clone(ENCODERS[name]).partial_fit(digits) for _ in "ab")
    before = copy.deepcopy(encoder.set_params(**change).__dict__)
    with pytest.raises(ValueError, match=r"infinity|diverged"):
        encoder.partial_fit(change_data(digits))
    assert same(vars(encoder), before)
    # What comes next is what would have come without the failure.
    rate = twin.learning_rate_init
    encoder.set_params(learning_rate_init=rate).partial_fit(digits)
    assert same(vars(encoder), vars(twin.partial_fit(digits)))


def test_curves_survive_a_warm_fit_that_fails(digits):
    encoder = clone(ENCODERS["main"]).set_params(warm_start=True, early_stopping=True)
    curve = encoder.fit(digits).validation_loss_curve_
    encoder.set_params(early_stopping=False, learning_rate_init=1e200)
    with pytest.raises(ValueError, match="diverged"):
        encoder.fit(digits)
    for other in (encoder, copy.copy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert other.validation_loss_curve_ == curve


def test_an_interrupt_leaves_whole_epochs(digits, monkeypatch):
    """Wherever it comes, attributes, pickles and copies are those of one epoch."""
    publish, calls = TrainingState.publish, []

    def interrupted(state, *args):
        calls.append(state.epoch)
        if calls[-1] == 2 and calls.count(2) == 1:
            raise KeyboardInterrupt
        publish(state, *args)

    monkeypatch.setattr(TrainingState, "publish", interrupted)
    # What an epoch of a learned start does depends on how many there are.
    encoder = clone(ENCODERS["linear"])
    with pytest.raises(KeyboardInterrupt):
        encoder.fit(digits)
    assert encoder.n_iter_ == len(encoder.loss_curve_) == encoder._state.epoch == 1
    other = pickle.loads(pickle.dumps(encoder))
    assert other.n_iter_ == 1
    assert_array_equal(other.transform(digits), encoder.transform(digits))
    whole = clone(encoder).set_params(max_iter=1).fit(digits)
    assert_array_equal(whole.transform(digits), encoder.transform(digits))


def test_fitted_attributes_are_shown_and_not_read(digits):
    """So a copy, which has them from the state, has the same codes."""
    encoder = clone(ENCODERS["main"]).fit(digits)
    codes = encoder.transform(digits)
    encoder.sigma_, encoder.alpha_ = 5 * encoder.sigma_, 0.9
    for other in (encoder, copy.copy(encoder)):
        assert_array_equal(other.transform(digits), codes)


def test_a_refit_shows_no_curve_of_before(digits):
    encoder = clone(ENCODERS["main"]).set_params(early_stopping=True).fit(digits)
    encoder.set_params(early_stopping=False).fit(digits)
    assert not hasattr(encoder, "validation_loss_curve_")
    assert len(encoder.alpha_curve_) == len(encoder.loss_curve_) == 3


def test_files_of_development_versions_are_refused(digits):
    encoder = clone(ENCODERS["main"]).fit(digits)
    state = encoder.__getstate__()
    state["generator_"] = state.pop("_state")["objects"]["generator_"]
    with pytest.raises(ValueError, match="saved by a development version"):
        clone(encoder).__setstate__(state)


# What cannot change where training continues ------------------------------------------

FIXED = {
    "n_components": 4,
    "hidden_layer_sizes": (5,),
    "activation": "tanh",
    "output_activation": "sigmoid",
    "generator": "convolutional",
    "image_shape": (4, 4),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("name", FIXED)
def test_what_acts_at_the_start_cannot_change_unseen(name, method, digits):
    encoder = clone(ENCODERS["main"]).set_params(warm_start=True).fit(digits)
    encoder.set_params(**{name: FIXED[name]})
    with pytest.raises(ValueError, match=f"{name}=.* cannot take effect"):
        getattr(encoder, method)(digits)
    encoder.set_params(warm_start=False)
    if name != "generator":  # it needs the shape of the images, too
        encoder.fit(digits)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_the_device_is_checked_where_training_goes_on(method, digits):
    encoder = clone(ENCODERS["main"]).set_params(warm_start=True).fit(digits)
    codes = encoder.transform(digits)
    with pytest.raises(ValueError, match="device='nowhere' is not available"):
        getattr(encoder.set_params(device="nowhere"), method)(digits)
    assert_array_equal(encoder.transform(digits), codes)


def test_the_same_values_in_another_form_are_no_change(digits):
    encoder = clone(ENCODERS["main"]).set_params(generator=a_generator).fit(digits)
    encoder = pickle.loads(pickle.dumps(encoder)).set_params(warm_start=True)
    encoder.set_params(hidden_layer_sizes=np.array([9]), n_components=np.int64(6))
    encoder.fit(digits)


def a_generator(k, d):
    return torch.nn.Sequential(torch.nn.Linear(k, d))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
@each_encoder
def test_integers_of_numpy(name, kind, digits):
    """A small type must not overflow where sizes are added."""
    plain = clone(ENCODERS[name]).set_params(n_components=60, batch_size=100)
    numbers = {
        key: kind(value)
        for key, value in plain.get_params().items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
    given = clone(plain).set_params(hidden_layer_sizes=(kind(9),), **numbers)
    X = np.tile(digits, (3, 1))  # more rows than an np.uint8 holds
    assert_array_equal(given.fit(X).transform(X), plain.fit(X).transform(X))


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "main"])
def test_small_numbers_of_numpy(name, digits):
    """They must not make the arithmetic less precise than that of the same number."""
    numbers = {
        key: np.float32(value)
        for key, value in ENCODERS[name].get_params().items()
        if isinstance(value, float)
    }
    assert "learning_rate_init" in numbers
    given = clone(ENCODERS[name]).set_params(**numbers)
    plain = clone(given).set_params(**{k: float(v) for k, v in numbers.items()})
    for encoder in (given, plain):
        encoder.fit(digits)
    assert_array_equal(given.transform(digits), plain.transform(digits))
    if hasattr(plain, "score_samples"):
        assert_array_equal(given.score_samples(digits), plain.score_samples(digits))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"spike_scale": 0.1, "step_size": 0.02, "solver": "gradient", "init": "zeros"},
        {"threshold": 0.1, "transform_tol": 0.1, "sigma": 0.3},
    ],
)
@pytest.mark.filterwarnings("ignore:Inference (stopped|did not)")
def test_small_numbers_of_numpy_in_the_main_encoder(changes, digits, monkeypatch):
    monkeypatch.setitem(
        ENCODERS, "changed", clone(ENCODERS["main"]).set_params(**changes)
    )
    test_small_numbers_of_numpy("changed", digits)


NUMBERS = ["n_components", "n_steps", "max_iter", "batch_size", "sigma", "alpha"]


@pytest.mark.parametrize("name", [*NUMBERS, "step_size", "decay", "learning_rate_init"])
def test_true_is_no_number(name, digits):
    with pytest.raises(ValueError, match=f"'{name}' parameter .* Got True"):
        clone(ENCODERS["main"]).set_params(**{name: True}).fit(digits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("sigma", value) for value in (1e-300, 1e200)),
        *(("slab_scale", value) for value in (1e-20, 1e20)),
        *(("spike_scale", value) for value in (1e-20, 1e20)),
        *(("step_size", value) for value in (1e-20, 1e20)),
        *((name, 1e300) for name in ("decay", "threshold", "transform_tol")),
    ],
)
def test_numbers_outside_the_range_of_floats(name, value, dtype, digits):
    encoder = clone(ENCODERS["main"]).set_params(**{name: value})
    with pytest.raises(ValueError, match=f"{name}(=|' parameter)"):
        encoder.fit(digits.astype(dtype))
