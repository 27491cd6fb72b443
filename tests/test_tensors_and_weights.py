"""Tensors and arrays of other libraries, and weights of rows."""

import copy
import pickle

import array_api_strict
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ENCODERS, SMALL, Batches, each_encoder, unfinished_fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import has_fit_parameter

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.callbacks import Checkpoint

pytestmark = unfinished_fits


def results(encoder, X, Z):
    """Yield the results of all methods that take arrays, with their names."""
    yield "transform", encoder.transform(X)
    yield "inverse_transform", encoder.inverse_transform(Z)
    for name, argument in (("score_samples", X), ("slab_proba", Z)):
        if hasattr(encoder, name):
            yield name, getattr(encoder, name)(argument)


def attributes(encoder):
    for name in ("component_frequency_", "codes_"):
        if hasattr(encoder, name):
            yield name, getattr(encoder, name)


# Tensors ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_encoder
def test_tensors_give_tensors(name, dtype, digits):
    """They have the bits of arrays, and are on the device of X."""
    X = torch.tensor(digits[:80], dtype=dtype, requires_grad=True)
    array, other = clone(ENCODERS[name]).fit(X.detach().numpy()), clone(ENCODERS[name])
    assert isinstance(other.fit_transform(X), torch.Tensor)
    assert_array_equal(other.loss_curve_, array.loss_curve_)
    Z = array.transform(X.detach().numpy())
    pairs = zip(
        [*results(other, X, torch.tensor(Z)), *attributes(other)],
        [*results(array, X.detach().numpy(), Z), *attributes(array)],
        strict=True,
    )
    for (label, found), (_, expected) in pairs:
        assert isinstance(found, torch.Tensor), label
        assert found.device == X.device
        assert not found.requires_grad
        assert found.numpy().dtype == expected.dtype
        assert_array_equal(found, expected, err_msg=label)
    if hasattr(other, "score"):
        assert isinstance(other.score(X), float)
        assert other.score(X) == array.score(X.detach().numpy())


def test_kinds_of_tensors(digits):
    encoder, X = clone(ENCODERS["main"]).fit(digits), torch.tensor(digits)
    expected = encoder.transform(digits.astype(np.float32))
    for kind in (X.float().T.contiguous().T, X.float()[:, ::1], X.to(torch.float32)):
        assert_array_equal(encoder.transform(kind), expected)
    half = X.to(torch.bfloat16)
    assert_array_equal(encoder.transform(half), encoder.transform(half.float()))
    clone(encoder).fit(half)
    counts = (16 * X).int()
    assert clone(encoder).fit_transform(counts).dtype == torch.float32
    # An encoder takes any kind, whatever it has been fitted to.
    assert_array_equal(clone(encoder).fit(X).transform(digits), encoder.transform(X))
    names = pd.DataFrame(digits)
    assert_array_equal(encoder.transform(names.to_numpy()), encoder.transform(X))
    missing = X.clone()
    missing[0, 0] = np.nan
    assert_array_equal(encoder.transform(missing), encoder.transform(missing.numpy()))
    encoder.set_params(sparse_output=True, n_nonzero_coefs=2)
    assert isinstance(encoder.transform(X), sparse.csr_array)


def test_tensors_are_not_changed(digits):
    X = torch.tensor(digits)
    before = X.clone()
    clone(ENCODERS["main"]).fit(X).transform(X)
    assert torch.equal(X, before)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda X: X[0], ValueError, "Expected 2D"),
        (lambda X: X[None], ValueError, "dim 3"),
        (lambda X: X[:0], ValueError, "0 sample"),
        (lambda X: X[:, 1:], ValueError, "63 features"),
        (lambda X: X * 1j, TypeError, "real numbers, got dtype=torch.complex"),
        (lambda X: X.to_sparse(), TypeError, "layout=torch.sparse_coo"),
        (lambda X: X * np.inf, ValueError, "infinity"),
    ],
)
def test_bad_tensors(change, error, match, digits):
    encoder = clone(ENCODERS["main"]).fit(digits)
    with pytest.raises(error, match=match):
        encoder.transform(change(torch.tensor(digits)))
    vae = clone(ENCODERS["VAEEncoder"]).fit(digits)
    with pytest.raises(ValueError, match="NaN"):
        vae.transform(torch.full((3, 64), np.nan))
    with pytest.raises(ValueError, match="n_components=6"):
        vae.inverse_transform(torch.zeros(3, 5))


@each_encoder
def test_arrays_of_other_libraries(name, digits):
    digits = digits[:80]
    array, other = clone(ENCODERS[name]).fit(digits), clone(ENCODERS[name])
    Z = array.transform(digits)
    with config_context(array_api_dispatch=True):
        X, Z_strict = map(array_api_strict.asarray, (digits, Z))
        found = [*results(other.fit(X), X, Z_strict), *attributes(other)]
        kind = type(X)
        if hasattr(other, "score"):
            weights = array_api_strict.asarray(np.arange(80.0))
            scores = array.score_samples(digits)
            assert_allclose(other.score(X), scores.mean())
            weighted = other.score(X, sample_weight=weights)
            assert_allclose(weighted, np.average(scores, weights=np.arange(80)))
        clone(other).fit(X, sample_weight=array_api_strict.ones(80))
        assert all(isinstance(value, kind) for _, value in found)
        with pytest.raises(ValueError, match="must use the same namespace"):
            other.transform(digits)
    expected = [*results(array, digits, Z), *attributes(array)]
    for (label, one), (_, two) in zip(found, expected, strict=True):
        assert_array_equal(np.from_dlpack(one), two, err_msg=label)


def test_a_fit_to_tensors_is_saved(digits, tmp_path):
    X = torch.tensor(digits)
    encoder = clone(ENCODERS["ABPEncoder"]).set_params(warm_start=True)
    encoder.set_callbacks(Checkpoint(tmp_path)).fit(X)
    again = clone(encoder).set_callbacks(Checkpoint(tmp_path)).fit(X)
    other = pickle.loads(pickle.dumps(copy.deepcopy(encoder)))
    assert isinstance(again.codes_, torch.Tensor)
    assert isinstance(other.codes_, np.ndarray)
    for copied in (again, other):
        assert_array_equal(copied.codes_, encoder.codes_)
        assert_array_equal(copied.transform(X), encoder.transform(X))
    more, expected = other.fit(X), encoder.fit(X)
    assert_array_equal(more.codes_, expected.codes_)
    assert isinstance(more.codes_, torch.Tensor)


# Weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [np.asarray, torch.tensor, sparse.csr_array])
@each_encoder
def test_a_row_of_weight_zero_is_not_there(name, container, digits):
    digits = digits[:150]
    counts = np.random.default_rng(0).choice([0.0, 1.0], size=150)
    encoder = clone(ENCODERS[name])
    kept = clone(encoder).fit(container(digits[counts > 0]))
    zero = clone(encoder).fit(container(digits), sample_weight=counts)
    assert_array_equal(zero.loss_curve_, kept.loss_curve_)
    assert_array_equal(zero.transform(digits), kept.transform(digits))
    if name == "ABPEncoder":
        assert_array_equal(zero.codes_[counts > 0], kept.codes_)
    if hasattr(encoder, "partial_fit"):
        kept = clone(encoder).partial_fit(container(digits[counts > 0]))
        zero = clone(encoder).partial_fit(container(digits), sample_weight=counts)
        assert_array_equal(zero.transform(digits), kept.transform(digits))
    if hasattr(encoder, "score"):
        assert_allclose(
            zero.score(digits, sample_weight=counts), zero.score(digits[counts > 0])
        )


def test_weights_of_a_score(digits, rng):
    weights = rng.uniform(0.1, 3, size=300)
    encoder = clone(ENCODERS["main"]).fit(digits)
    expected = np.average(encoder.score_samples(digits), weights=weights)
    assert_allclose(encoder.score(digits, sample_weight=weights), expected)


@pytest.mark.parametrize("factor", [1e-300, 1e-46, 1e39, 1e300])
def test_only_the_ratios_of_weights_matter(factor, digits, rng):
    X = digits.astype(np.float32)
    weights = rng.uniform(0.1, 3, size=300)
    weights[100:200] *= 1e-3
    encoder = clone(ENCODERS["main"]).set_params(batch_size=50, shuffle=False)
    expected = clone(encoder).fit(X, sample_weight=weights)
    found = clone(encoder).fit(X, sample_weight=factor * weights)
    assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=1e-4)
    with pytest.raises(ValueError, match="sum of sample_weight is not finite"):
        encoder.fit(X, sample_weight=np.full(300, 1e308))


def test_batches_of_tiny_weight_are_steps_too(digits):
    """Adam makes steps of the same size of them."""
    weights = np.ones(300)
    weights[150:] = 1e-200
    encoder = clone(ENCODERS["main"]).set_params(batch_size=50, shuffle=False)
    encoder.set_params(max_iter=1).fit(digits.astype(np.float32), sample_weight=weights)
    state = encoder._state.optimizer.state_dict()["state"][0]
    assert state["step"] == 6


@each_encoder
def test_weights_of_one_are_none(name, digits):
    encoder, digits = clone(ENCODERS[name]), digits[:100]
    expected = clone(encoder).fit(digits)
    for weights in (np.ones(100), 1.0, torch.ones(100), [1] * 100):
        found = clone(encoder).fit(digits, sample_weight=weights)
        assert_array_equal(found.transform(digits), expected.transform(digits))


def test_weights_scale_the_moments(digits, rng):
    weights = rng.uniform(0.1, 3, size=300)
    X = np.where(rng.uniform(size=digits.shape) < 0.1, np.nan, digits)
    mean = np.ma.average(np.ma.masked_invalid(X), axis=0, weights=weights)
    square = np.ma.masked_invalid((X - mean) ** 2)
    variance = np.ma.average(square, axis=0, weights=weights)
    encoder = clone(ENCODERS["main"]).set_params(max_iter=1)
    encoder.fit(X, sample_weight=weights)
    assert_allclose(encoder.sigma_, np.sqrt(variance.sum() / 2400), rtol=1e-12)
    assert_allclose(encoder.generator_.output[0].offset, mean, rtol=1e-12)
    # All weights are relative.
    twice = clone(encoder).fit(X, sample_weight=2 * weights)
    assert_allclose(twice.loss_curve_, encoder.loss_curve_, rtol=1e-12)


def test_in_one_batch_a_weight_is_repetition(digits):
    counts = np.random.default_rng(0).integers(0, 4, size=300)
    encoder = clone(ENCODERS["main"]).set_params(batch_size=2000)
    repeated = clone(encoder).fit(np.repeat(digits, counts, axis=0))
    weighted = clone(encoder).fit(digits, sample_weight=counts)
    assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)
    assert_allclose(
        weighted.component_frequency_, repeated.component_frequency_, atol=1e-12
    )
    assert_allclose(weighted.transform(digits), repeated.transform(digits), atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (-np.ones(300), "Negative values in data passed to `sample_weight`"),
        (np.zeros(300), "at least one non-zero"),
        (np.ones(299), r"sample_weight.shape == \(299,\)"),
        (np.ones((300, 1)), "Sample weights must be 1D"),
        (np.full(300, np.nan), "Input sample_weight contains NaN"),
        (np.full(300, "a"), "sample_weight|string"),
    ],
)
def test_bad_weights(weights, match, digits):
    encoder = clone(ENCODERS["main"])
    with pytest.raises(ValueError, match=match):
        encoder.fit(digits, sample_weight=weights)
    assert not hasattr(encoder, "generator_")
    with pytest.raises(ValueError, match=match):
        encoder.partial_fit(digits, sample_weight=weights)
    encoder.fit(digits)
    with pytest.raises(ValueError, match=match):
        encoder.score(digits, sample_weight=weights)


def test_weights_of_a_stream(digits):
    with pytest.raises(ValueError, match="sample_weight needs X as an array"):
        clone(ENCODERS["main"]).fit(Batches(digits), sample_weight=np.ones(300))


def test_metadata_routing(digits):
    """Weights go through a pipeline and a grid search to fit and to score."""
    assert has_fit_parameter(SparseGeneratorEncoder, "sample_weight")
    weights = np.random.default_rng(0).choice([0.0, 1.0, 2.0], size=300)
    seen = []

    class Watching(SparseGeneratorEncoder):
        def fit(self, X, y=None, sample_weight=None):
            seen.append(("fit", sample_weight))
            return super().fit(X, y, sample_weight)

        def score(self, X, y=None, sample_weight=None):
            seen.append(("score", sample_weight))
            return super().score(X, y, sample_weight)

    with config_context(enable_metadata_routing=True):
        encoder = Watching(**SMALL)
        encoder.set_fit_request(sample_weight=True)
        encoder.set_score_request(sample_weight=True)
        folds = KFold(2)
        search = GridSearchCV(encoder, {"alpha": [0.1, 0.2]}, cv=folds)
        search.fit(digits, sample_weight=weights)
        train, test = next(folds.split(digits))
        assert_array_equal(seen[0][1], weights[train])
        assert_array_equal(
            next(w for name, w in seen if name == "score"), weights[test]
        )
        seen.clear()
        classifier = KNeighborsClassifier()
        y = np.arange(300) % 3
        make_pipeline(encoder, classifier).fit(digits, y, sample_weight=weights)
        assert_array_equal(seen[0][1], weights)
