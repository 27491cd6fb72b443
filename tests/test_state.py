"""A call that fails leaves the encoder as it was."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_sparsegen import SparseGeneratorEncoder, baselines

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {
    "n_components": 6,
    "hidden_layer_sizes": (9,),
    "max_iter": 3,
    "random_state": 0,
}
ENCODERS = {
    "main": SparseGeneratorEncoder(**SMALL),
    **{name: getattr(baselines, name)(**SMALL) for name in baselines.__all__},
}
# What makes `fit` fail: before training, at the first step, and after some steps.
FAILURES = {
    "parameter": ({"n_components": -1}, lambda X: X),
    "generator": ({"generator": "convolutional"}, lambda X: X),
    "width": ({}, lambda X: np.full((5, 7), np.inf)),
    "training": ({"learning_rate_init": 1e200}, lambda X: X),
    "interrupt": ({"generator": lambda k, d: Interrupted(k, d)}, lambda X: X),
}


class Interrupted(torch.nn.Module):
    def __init__(self, k, d):
        super().__init__()
        raise KeyboardInterrupt


def same(a, b):
    if isinstance(a, torch.nn.Module):
        return same(a.state_dict(), b.state_dict())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


# A warm start keeps its generator.
CASES = [(failure, False) for failure in FAILURES]
CASES += [(failure, True) for failure in ("parameter", "width", "training")]


@pytest.mark.parametrize(("failure", "warm_start"), CASES)
@pytest.mark.parametrize("name", ENCODERS)
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
@pytest.mark.parametrize("failure", ["width", "training"])
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
