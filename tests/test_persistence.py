"""Fitted encoders that are copied, saved and loaded: pickle, skops and exports."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import skops.io
import torch
from conftest import (
    SMALL,
    assert_same_results,
    needs_cuda,
    small_encoders,
    special_encoders,
    unfinished_fits,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from torch import nn

import sklearn_sparsegen
from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder

pytestmark = unfinished_fits

ENCODERS = small_encoders() | special_encoders()
each_encoder = pytest.mark.parametrize("name", ENCODERS)


@pytest.fixture
def digits(digits):
    return digits[:100]


def by_skops(encoder):
    data = skops.io.dumps(encoder)
    types = skops.io.get_untrusted_types(data=data)
    own = f"{type(encoder).__module__}.{type(encoder).__name__}"
    assert set(types) <= {own, f"{__name__}.normalised"}
    return skops.io.loads(data, trusted=types)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda encoder: pickle.loads(pickle.dumps(encoder)),
    "skops": by_skops,
}
each_copy = pytest.mark.parametrize("copied", COPIES)


@pytest.fixture(scope="module")
def fit_once():
    """A function that fits an encoder by its name, once for all tests of a module."""
    fitted = {}

    def fit(name, X):
        key = name, X.dtype
        if key not in fitted:
            fitted[key] = clone(ENCODERS[name]).fit(X)
        return fitted[key]

    return fit


@each_copy
@each_encoder
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_copy_is_the_same_encoder(name, copied, dtype, digits, fit_once):
    X = digits.astype(dtype)
    encoder = fit_once(name, X)
    other = COPIES[copied](encoder)
    assert_same_results(encoder, other, X)
    assert other._state.networks.keys() == encoder._state.networks.keys()
    # Neither changes with the other.
    codes = encoder.transform(X)
    other.set_params(warm_start=True, learning_rate_init=0.1).fit(X)
    assert_array_equal(encoder.transform(X), codes)


@each_copy
def test_parameters_set_after_fit_do_not_change_the_networks(copied, digits):
    encoder = clone(ENCODERS["paper"]).fit(digits)
    codes = encoder.transform(digits)
    encoder.set_params(n_components=3, hidden_layer_sizes=(4, 4), spike_scale=0.2)
    encoder.set_params(activation="tanh", output_activation="sigmoid", init="linear")
    other = COPIES[copied](encoder)
    assert other.n_components == 3
    other.set_params(spike_scale=0.1, init="zeros")
    assert_array_equal(other.transform(digits), codes)


@each_copy
@pytest.mark.parametrize("goes_on", ["fit", "partial_fit"])
@each_encoder
def test_training_goes_on_in_a_copy(name, goes_on, copied, digits):
    encoder = clone(ENCODERS[name])
    if goes_on == "partial_fit":
        if not hasattr(encoder, "partial_fit"):
            pytest.skip("the chains of ABPEncoder belong to the rows of all data")
        encoder.partial_fit(digits)
    else:
        encoder.set_params(warm_start=True).fit(digits)
    other = COPIES[copied](encoder)
    for e in (encoder, other):
        getattr(e, goes_on)(digits)
    assert_same_results(encoder, other, digits)


def test_partial_fit_goes_on_with_the_optimiser_of_fit(digits):
    encoder = clone(ENCODERS["main"]).fit(digits)
    steps = [float(s["step"]) for s in encoder._state.optimizer.state.values()]
    encoder.partial_fit(digits)
    after = [float(s["step"]) for s in encoder._state.optimizer.state.values()]
    per_epoch = steps[0] / 3
    assert after == [step + per_epoch for step in steps]


def test_a_pickle_holds_no_optimiser_that_is_not_needed(digits):
    encoder = SparseGeneratorEncoder(**SMALL | {"hidden_layer_sizes": (300,)})
    size = len(pickle.dumps(encoder.fit(digits)))
    assert len(pickle.dumps(encoder.set_params(warm_start=True))) > 2.5 * size


def test_moments_that_are_not_used_take_no_memory(digits):
    sizes = [
        len(pickle.dumps(clone(ENCODERS["linear"]).set_params(**params).fit(digits)))
        for params in ({"init": "zeros"}, {"n_components": 60, "init": "zeros"})
    ]
    weights = 8 * 54 * 10  # of 54 components more in a layer of 9 units
    assert sizes[1] - sizes[0] < 2 * weights


# Generators of one's own --------------------------------------------------------------


def normalised(k, d):
    """Return a generator whose weights are normalised by a parametrisation."""
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(k, 9))
    last = nn.utils.parametrizations.orthogonal(nn.Linear(9, d, bias=False))
    return nn.Sequential(layer, nn.Tanh(), last)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
def with_hooks(k, d):
    return nn.Sequential(nn.utils.weight_norm(nn.Linear(k, d)))


@each_copy
@pytest.mark.parametrize("solver", ["proximal", "gradient"])
def test_parametrised_generator(copied, solver, digits):
    settings = {} if solver == "proximal" else PAPER_SETTINGS | {"step_size": 0.02}
    encoder = SparseGeneratorEncoder(**settings | SMALL | {"generator": normalised})
    encoder.fit(digits)
    assert_same_results(encoder, COPIES[copied](encoder), digits)
    assert_array_equal(
        clone(encoder).fit(digits).transform(digits), encoder.transform(digits)
    )


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
@pytest.mark.parametrize("copied", ["copy", "deepcopy", "pickle"])
def test_generator_whose_hooks_compute_its_weights(copied, digits):
    encoder = SparseGeneratorEncoder(**SMALL, generator=with_hooks).fit(digits)
    assert_same_results(encoder, COPIES[copied](encoder), digits)


@pytest.mark.parametrize("copied", ["copy", "deepcopy", "pickle"])
def test_generator_that_is_a_module(copied, digits):
    module = nn.Sequential(nn.Linear(6, 64), nn.Identity())
    weight = module[0].weight.clone()
    encoder = SparseGeneratorEncoder(**SMALL, generator=module).fit(digits)
    assert_same_results(encoder, COPIES[copied](encoder), digits)
    assert_array_equal(module[0].weight.detach(), weight.detach())


class Changing:
    """A factory that gives another module in each call."""

    n_calls = 0

    def __call__(self, k, d):
        Changing.n_calls += 1
        return nn.Sequential(
            nn.Linear(k, Changing.n_calls), nn.Linear(Changing.n_calls, d)
        )


def test_factory_that_changes_is_named(digits):
    encoder = SparseGeneratorEncoder(**SMALL, generator=Changing()).fit(digits)
    with pytest.raises(ValueError, match=r"saved generator_ does not fit .*factory"):
        copy.copy(encoder)


# Versions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "saved", "warns"),
    [
        ("0.1.0", "0.1.7", False),
        ("0.2.0", "0.1.0", True),
        ("1.0.0", "0.9.0", True),
        ("1.2.0", "1.7.3", False),
        ("2.0.0", "1.7.3", True),
    ],
)
def test_another_major_version_warns(ours, saved, warns, digits, monkeypatch):
    encoder = clone(ENCODERS["main"]).fit(digits)
    monkeypatch.setattr("sklearn_sparsegen._training.state.__version__", saved)
    data = pickle.dumps(encoder)
    monkeypatch.setattr("sklearn_sparsegen._training.state.__version__", ours)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = pickle.loads(data)
    assert [w.category for w in caught] == [InconsistentVersionWarning] * warns
    assert_same_results(encoder, loaded, digits)


def test_the_version_is_in_the_state():
    state = SparseGeneratorEncoder().__getstate__()
    assert state["_sparsegen_version"] == sklearn_sparsegen.__version__


# GPUs ---------------------------------------------------------------------------------


@needs_cuda
@each_copy
@each_encoder
def test_an_encoder_moves_between_devices(name, copied, digits):
    encoder = clone(ENCODERS[name]).set_params(device="cuda").fit(digits)
    other = COPIES[copied](encoder)
    assert next(other.generator_.parameters()).is_cuda
    codes = encoder.transform(digits)
    # Convolutions on a GPU add in no fixed order.
    assert_allclose(other.transform(digits), codes, rtol=1e-9, atol=1e-12)
    # As on a machine without the GPU.
    on_cpu = COPIES[copied](encoder.set_params(device="cpu"))
    assert not any(
        tensor.is_cuda
        for network in filter(None, on_cpu._state.networks.values())
        for tensor in network.state_dict().values()
        if isinstance(tensor, torch.Tensor)
    )
    assert_allclose(on_cpu.transform(digits), codes, atol=1e-5)
    # Training goes on where `device` says.
    on_cpu.set_params(warm_start=True, max_iter=1).fit(digits)
    on_cpu.set_params(device="cuda").fit(digits)
    assert next(on_cpu.generator_.parameters()).is_cuda


# Exports of the generator -------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
# torch 2.9 warns of its own code
@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")
def test_export_to_onnx_and_torch(digits, tmp_path):
    import onnxruntime

    X = digits.astype(np.float32)
    encoder = clone(ENCODERS["main"]).fit(X)
    codes = encoder.transform(X)
    data = encoder.inverse_transform(codes)
    z = torch.from_numpy(codes)
    shapes = {"input": {0: torch.export.Dim("n_rows")}}
    program = torch.export.export(encoder.generator_, (z,), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "generator.pt2")
    loaded = torch.export.load(tmp_path / "generator.pt2").module()
    assert_allclose(loaded(z).detach(), data, atol=1e-6)
    path = str(tmp_path / "generator.onnx")
    torch.onnx.export(
        encoder.generator_, (z,), path, dynamic_shapes=shapes, dynamo=True
    )
    session = onnxruntime.InferenceSession(path)
    (name,) = (argument.name for argument in session.get_inputs())
    (output,) = session.run(None, {name: codes[:7]})
    assert_allclose(output, data[:7], atol=1e-6)
