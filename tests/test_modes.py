"""Results do not depend on what the caller has set for all of PyTorch."""

import contextlib
import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import small_encoders, special_encoders, unfinished_fits
from numpy.testing import assert_array_equal
from sklearn.base import clone
from torch.utils._python_dispatch import TorchDispatchMode

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen._data.arrays import empty_tensor
from sklearn_sparsegen._utils.precision import cholesky, double

pytestmark = [
    *unfinished_fits,
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
SETTINGS = {"max_iter": 2, "batch_size": 30}
ENCODERS = small_encoders(**SETTINGS) | special_encoders(**SETTINGS)
ENCODERS["convolutional"].set_params(threshold=0.1)


def results(encoder, X):
    codes = encoder.transform(X)
    yield codes
    yield encoder.inverse_transform(codes)
    if hasattr(encoder, "sample"):
        yield encoder.sample(3)
    if hasattr(encoder, "score_samples"):
        yield encoder.score_samples(X)
    if hasattr(encoder, "slab_proba"):
        yield encoder.slab_proba(codes)
    if hasattr(encoder, "partial_fit"):
        yield clone(encoder).partial_fit(X).transform(X)


@pytest.fixture(scope="module")
def without_modes(digits):
    """Return a function that fits an encoder once, outside of all modes."""

    @functools.cache
    def fit(name):
        X = digits[:60].astype(np.float32)
        encoder = clone(ENCODERS[name]).fit(X)
        return encoder, X, list(results(encoder, X))

    return fit


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ENCODERS)
def test_results_do_not_depend_on_modes(name, mode, without_modes):
    encoder, X, expected = without_modes(name)
    with MODES[mode]():
        fitted = clone(ENCODERS[name]).fit(X)
        found = [list(results(e, X)) for e in (encoder, fitted)]
    for other in found:
        for a, b in zip(other, expected, strict=True):
            assert_array_equal(a, b)


class Recorder(TorchDispatchMode):
    """Context that collects the names of operations that give float64 tensors."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        results = result if isinstance(result, tuple | list) else [result]
        if any(getattr(value, "dtype", None) is torch.float64 for value in results):
            self.names.add(str(func))
        return result


@pytest.mark.parametrize("name", ENCODERS)
def test_float64_is_used_in_one_place(name, digits, monkeypatch):
    """Apple's GPUs do not have it, and `double` moves what needs it to the CPU."""
    X = digits[:60].astype(np.float32)
    encoder = clone(ENCODERS[name]).fit(X)
    with Recorder() as recorder:
        list(results(encoder, X))
    assert recorder.names
    modules = ["_training.epoch", "_training.fit", "_inference.memories"]
    modules += ["_data.arrays", "_model.laplace", "baselines._variational"]
    for module in modules:
        path = f"sklearn_sparsegen.{module}.double"
        monkeypatch.setattr(path, lambda tensor: tensor.float())
    # The weights of rows are float64, and always on the CPU.
    like = torch.empty(0)
    monkeypatch.setattr(
        "sklearn_sparsegen._data.rows.empty_tensor", lambda *arguments: like
    )
    encoder = clone(encoder).set_params(warm_start=True).fit(X)
    with Recorder() as recorder:
        codes = encoder.fit(X).transform(X)
        encoder.inverse_transform(codes)
        if hasattr(encoder, "sample"):
            encoder.sample(3)
        if hasattr(encoder, "score_samples"):
            encoder.score_samples(X)
    assert recorder.names == set()


def test_double_is_on_the_cpu_where_the_device_has_no_such_type():
    on_gpu = SimpleNamespace(device=torch.device("mps"), cpu=lambda: torch.ones(2))
    assert double(on_gpu).dtype is torch.float64
    with pytest.raises(ValueError, match="device='mps' has no float64"):
        empty_tensor("float64", "mps")


@pytest.mark.parametrize(
    ("error", "expected", "match"),
    [
        ("DefaultCPUAllocator: can't allocate memory", MemoryError, "n_components"),
        ("CUDA out of memory. Tried", MemoryError, "batch_size"),
        ("Storage size calculation overflowed", MemoryError, "hidden_layer_sizes"),
        ("another error", RuntimeError, "^another error$"),
        ("[enforce fail] not enough memory: you tried", MemoryError, "PyTorch says"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED", MemoryError, "PyTorch says"),
    ],
)
def test_errors_of_pytorch(error, expected, match, digits, monkeypatch):
    error = RuntimeError(error)
    encoder = clone(ENCODERS["main"]).fit(digits)

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("sklearn_sparsegen._inference.model.Model.infer", fail)
    for method in ("fit", "transform", "score_samples", "partial_fit"):
        with pytest.raises(expected, match=match):
            getattr(encoder, method)(digits)


def test_matrices_that_are_not_finite():
    with pytest.raises(ValueError, match="reduce learning_rate_init, rescale X"):
        cholesky(torch.full((2, 2), torch.nan))


def test_sizes_beyond_any_memory(digits):
    encoder = SparseGeneratorEncoder(2**30, hidden_layer_sizes=(2**30,))
    with pytest.raises(MemoryError, match="reduce n_components"):
        encoder.fit(digits)


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
