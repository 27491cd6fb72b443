"""Results do not depend on what the caller has set for all of PyTorch."""

import contextlib

import numpy as np
import pytest
import torch
from conftest import short_fits
from numpy.testing import assert_array_equal
from sklearn.base import clone

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder, baselines

pytestmark = [
    short_fits,
    pytest.mark.filterwarnings("ignore:fit ended"),
    pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled"),
]


@contextlib.contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


MODES = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default dtype": default_dtype,
    "default device": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "anomaly detection": torch.autograd.detect_anomaly,
    "deterministic": deterministic,
}
SMALL = {
    "n_components": 6,
    "hidden_layer_sizes": (9,),
    "max_iter": 2,
    "random_state": 0,
}
IMAGES = {"generator": "convolutional", "image_shape": (8, 8)}
ENCODERS = {
    "main": SparseGeneratorEncoder(**SMALL),
    "paper's": SparseGeneratorEncoder(**PAPER_SETTINGS | SMALL, step_size=0.02),
    "images": SparseGeneratorEncoder(**SMALL, **IMAGES, threshold=0.1),
    **{name: getattr(baselines, name)(**SMALL) for name in baselines.__all__},
    "pseudo-inputs": baselines.VSCEncoder(**SMALL, n_pseudo_inputs=5),
}


def results(encoder, X):
    codes = encoder.transform(X)
    yield codes
    yield encoder.inverse_transform(codes)
    yield encoder.sample(3)
    if hasattr(encoder, "score_samples"):
        yield encoder.score_samples(X)
    if hasattr(encoder, "slab_proba"):
        yield encoder.slab_proba(codes)
    if hasattr(encoder, "partial_fit"):
        yield clone(encoder).partial_fit(X).transform(X)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ENCODERS)
def test_results_do_not_depend_on_modes(name, mode, digits):
    X = digits[:60].astype(np.float32)
    encoder = clone(ENCODERS[name]).fit(X)
    expected = list(results(encoder, X))
    with MODES[mode]():
        fitted = clone(ENCODERS[name]).fit(X)
        found = [list(results(e, X)) for e in (encoder, fitted)]
    for other in found:
        for a, b in zip(other, expected, strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize("mode", MODES)
def test_modes_of_the_caller_are_back_afterwards(mode, digits):
    def state():
        return (
            torch.is_autocast_enabled("cpu"),
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.is_inference_mode_enabled(),
            torch.is_grad_enabled(),
            torch.is_anomaly_enabled(),
        )

    encoder = clone(ENCODERS["main"])
    with MODES[mode]():
        before = state()
        encoder.fit(digits).transform(digits)
        with pytest.raises(ValueError, match="features"):
            encoder.transform(digits[:, :3])
        assert state() == before
