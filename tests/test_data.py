"""Sparse arrays, and streams of batches."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ENCODERS, Batches, each_encoder, needs_cuda, unfinished_fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    TensorDataset,
)

pytestmark = unfinished_fits

each_stream_encoder = pytest.mark.parametrize(
    "name", [name for name in ENCODERS if name != "ABPEncoder"]
)


def results(encoder, X):
    """Return what must not depend on the form of X, by name."""
    fitted = clone(encoder).fit(X)
    found = {"loss": fitted.loss_curve_, "codes": fitted.transform(X)}
    if hasattr(fitted, "score_samples"):
        found |= {"scores": fitted.score_samples(X), "score": fitted.score(X)}
    if hasattr(encoder, "partial_fit"):
        found["partial"] = clone(encoder).partial_fit(X).partial_fit(X).transform(X)
    return found


# Sparse arrays ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dense_array(digits):
    """An array with many zeros, and a function that gives its results for a name."""
    X = np.where(digits[:100] > 0.5, digits[:100], 0)
    return X, functools.cache(lambda name: results(ENCODERS[name], X))


@pytest.mark.parametrize(
    "kind", [sparse.csr_array, sparse.csr_matrix, sparse.coo_array]
)
@each_encoder
def test_sparse_data_are_those_of_a_dense_array(name, kind, dense_array, monkeypatch):
    monkeypatch.setattr(
        "sklearn_sparsegen._data.rows._PIECE_BYTES", 8 * 64 * 30
    )  # a part of the rows
    X, results_of = dense_array
    found, expected = results(ENCODERS[name], kind(X)), results_of(name)
    assert found.keys() == expected.keys()
    for key, values in found.items():
        assert_array_equal(values, expected[key])


def test_values_that_are_not_observed_in_a_sparse_array(digits):
    X = np.where(digits > 0.5, digits, 0)
    X[3, 5] = X[8, 2] = np.nan
    dense, other = (
        clone(ENCODERS["main"]).fit(Y).transform(X) for Y in (X, sparse.csr_array(X))
    )
    assert_array_equal(dense, other)


def test_sparse_integers_become_float32(rng):
    X = sparse.csr_array(rng.poisson(0.3, size=(60, 20)))
    assert clone(ENCODERS["main"]).fit_transform(X).dtype == np.float32


@pytest.mark.parametrize(("n_rows", "size"), [(120, 8), (300, 15), (2100, 100)])
def test_batches_are_a_twentieth_of_the_rows(n_rows, size, digits):
    """They have 8 rows at least, and 100 at most."""
    encoder = clone(ENCODERS["main"]).set_params(max_iter=1)
    X = np.resize(digits, (n_rows, 64))
    auto, given = (
        clone(encoder).set_params(batch_size=size).fit(X) for size in ("auto", size)
    )
    assert auto.loss_curve_ == given.loss_curve_
    assert_array_equal(auto.transform(digits), given.transform(digits))


# Streams ------------------------------------------------------------------------------


class Parts(Batches):
    """Rows in batches of one size, each changed, which are told the epoch."""

    def __init__(self, X, size, change=lambda X: X):
        super().__init__(*(X[i : i + size] for i in range(0, len(X), size)))
        self.change = change
        self.epochs = []

    def __iter__(self):
        return map(self.change, self.parts)

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


FORMS = {
    "arrays": lambda X: X,
    "tensors": torch.tensor,
    "tuples": lambda X: (torch.tensor(X), torch.zeros(len(X))),
    "lists": lambda X: [X, None],
    "frames": pd.DataFrame,
    "sparse": sparse.csr_array,
}


@pytest.fixture(scope="module")
def array_in_order(digits):
    """An array, and a function that gives its results without shuffling its rows."""
    X = digits[:120]

    def results_of(name):
        return results(clone(ENCODERS[name]).set_params(shuffle=False), X)

    return X, functools.cache(results_of)


@pytest.mark.parametrize("form", FORMS)
@each_stream_encoder
def test_a_stream_is_as_an_array(name, form, array_in_order):
    """If its batches are those of the array, all bits are, but those of scores."""
    X, results_of = array_in_order
    stream = Parts(X, 50, FORMS[form])
    found, expected = results(ENCODERS[name], stream), results_of(name)
    assert found.keys() == expected.keys()
    for key, values in found.items():
        # Some CPUs round the products of Laplace's approximation by the place of a row.
        rtol = 1e-13 if key.startswith("score") else 0
        assert_allclose(values, expected[key], rtol=rtol)
    assert stream.epochs == [0, 1, 2, 0, 1]  # of `fit`, and of two calls of partial_fit


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("form", FORMS)
def test_a_list_of_batches_is_a_stream(form, kind, digits):
    """A list of rows is an array, as in scikit-learn."""
    encoder = clone(ENCODERS["main"]).set_params(batch_size=150, shuffle=False)
    expected = clone(encoder).fit(digits)
    batches = kind(map(FORMS[form], (digits[:150], digits[150:])))
    found = clone(encoder).fit(batches)
    assert_array_equal(found.transform(batches), expected.transform(digits))
    rows = clone(encoder).fit(kind(map(kind, digits.tolist())))
    assert_array_equal(rows.transform(digits), expected.transform(digits))


def test_one_pass_is_one_epoch(digits):
    encoder = clone(ENCODERS["main"]).set_params(decay=0.033)
    for n_passes in (1, 2, 3):
        encoder.partial_fit(Parts(digits, 20))
        assert encoder.n_iter_ == n_passes
        assert encoder.alpha_ == round(1 - 0.033 * n_passes, 12)


def test_a_data_loader(digits):
    X = digits.astype(np.float32)
    loader = DataLoader(
        TensorDataset(torch.from_numpy(X), torch.zeros(len(X))),
        batch_size=20,
        shuffle=True,
        generator=torch.Generator().manual_seed(0),
    )
    encoder = clone(ENCODERS["main"]).set_params(max_iter=40, decay=0.1).fit(loader)
    codes = encoder.transform(DataLoader(X, batch_size=70))
    assert codes.dtype == np.float32
    assert_array_equal(codes, encoder.transform(X))
    error = ((encoder.inverse_transform(codes) - X) ** 2).sum()
    assert error < 0.8 * ((X - X.mean(0)) ** 2).sum()


@pytest.mark.filterwarnings("ignore:.*CSR array is larger")
@pytest.mark.parametrize("batch_size", ["auto", 7])
def test_iter_transform(batch_size, digits):
    encoder = clone(ENCODERS["main"]).set_params(batch_size=batch_size).fit(digits)
    codes = encoder.transform(digits)
    parts = list(encoder.iter_transform(digits))
    assert len(parts) == (1 if batch_size == "auto" else -(-300 // 7))
    assert_array_equal(np.concatenate(parts), codes)
    parts = list(encoder.iter_transform(Parts(digits, 90)))
    assert [len(part) for part in parts] == [90, 90, 90, 30]
    assert_array_equal(np.concatenate(parts), codes)
    encoder.set_params(sparse_output=True, batch_size=150)
    parts = list(encoder.iter_transform(sparse.csr_array(digits)))
    assert_array_equal(sparse.vstack(parts).toarray(), codes)


def test_the_scale_comes_from_the_first_rows(digits, monkeypatch):
    monkeypatch.setattr("sklearn_sparsegen._data.stream._HEAD_ROWS", 100)
    later = digits[150:] * 3
    encoder = clone(ENCODERS["main"]).fit(
        Parts(np.concatenate([digits[:150], later]), 50)
    )
    assert_allclose(encoder.sigma_, np.sqrt(digits[:100].var(0).sum() / 2400))


def test_messages_count_all_rows_of_a_stream(digits, monkeypatch):
    """Their number is known after a pass, and not from the first rows."""
    monkeypatch.setattr("sklearn_sparsegen._data.stream._HEAD_ROWS", 100)
    encoder = clone(ENCODERS["main"]).set_params(
        solver="gradient", spike_scale=0.1, step_size=0.5, max_iter=1
    )
    with pytest.warns(ConvergenceWarning, match=r"energy of \d+ of 300 rows"):
        encoder.fit(Parts(digits, 50))


class Endless(IterableDataset):
    def __iter__(self):
        return iter([])


class CountsEpochs(RandomSampler):
    def set_epoch(self, epoch):
        self.epochs = [*getattr(self, "epochs", []), epoch]


def test_every_sampler_is_told_the_epoch(digits):
    digits = digits.copy()  # loaders warn of arrays that cannot be written to
    encoder, sampler = clone(ENCODERS["main"]), CountsEpochs(digits)
    encoder.fit(DataLoader(digits, sampler=sampler, batch_size=100))
    assert sampler.epochs == [0, 1, 2]
    batches, sampler = BatchSampler(sampler, 100, False), CountsEpochs(digits)
    batches.sampler = sampler
    encoder.fit(DataLoader(digits, batch_sampler=batches))
    encoder.fit(DataLoader(digits, sampler=batches, batch_size=None))
    assert sampler.epochs == [0, 1, 2] * 2


class OnePass:
    def __init__(self, X):
        self.iterator = iter([X])

    def __iter__(self):
        yield from self.iterator


X = np.random.default_rng(0).uniform(size=(40, 5))


@pytest.mark.parametrize(
    ("stream", "error", "match"),
    [
        (iter([X, X]), ValueError, "X is an iterator"),
        ((part for part in [X]), ValueError, "X is an iterator"),
        (OnePass(X), ValueError, "no batches in this pass"),
        (DataLoader(Endless()), ValueError, "no batches in this pass"),
        (Parts(X, 20, lambda X: [["a", "b"]]), ValueError, "Batch 0 .* a list"),
        (Parts(X, 1, lambda X: X[0]), ValueError, r"Batch 0 .* ndarray of shape \(5"),
        (Parts(X, 20, lambda X: {"x": X}), ValueError, "Batch 0 .* got a dict"),
        (Batches(X, X, X[:, 1:]), ValueError, "Batch 2 of X, .* 4 features"),
        (TensorDataset(torch.tensor(X)), TypeError, "X is a Dataset, .*DataLoader"),
        (Parts(X, 20, lambda X: X * np.inf), ValueError, "infinity"),
        (Parts(X, 20, lambda X: None), ValueError, "Batch 0 .* got a NoneType"),
        (Parts(X, 20, lambda X: X * 1j), ValueError, "Complex"),
        (Parts(X, 20, lambda X: X[:0]), ValueError, "0 sample"),
        (map(np.asarray, [X]), ValueError, "X is an iterator"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_streams(method, stream, error, match):
    encoder = clone(ENCODERS["main"])
    with pytest.raises(error, match=match):
        getattr(encoder, method)(stream)
    assert not hasattr(encoder, "generator_")


def test_batches_of_different_widths(digits):
    widths = iter([64, 60] * 9)
    stream = Parts(digits, 150, lambda X: X[:, : next(widths)])
    with pytest.raises(ValueError, match=r"X has 60 features, but .* 64"):
        clone(ENCODERS["main"]).fit(stream)


@pytest.mark.parametrize("method", ["transform", "score_samples"])
def test_bad_streams_after_fit(method, digits):
    encoder = clone(ENCODERS["main"]).fit(digits)
    method = getattr(encoder, method)
    with pytest.raises(ValueError, match="X is an iterator"):
        method(iter([digits]))
    with pytest.raises(ValueError, match="X has 9 features"):
        method(Parts(digits, 100, lambda X: X[:, :9]))
    bad = functools.partial(np.where, np.arange(64) == 3, 1e200)
    with pytest.raises(ValueError, match=r"rows 0, 1, 2, 3, 4, ... of X"):
        method(Parts(digits, 100, bad))


def test_chains_need_an_array(digits):
    encoder = clone(ENCODERS["ABPEncoder"])
    with pytest.raises(ValueError, match=r"ABPEncoder keeps a chain .* as an array"):
        encoder.fit(Parts(digits, 50))
    # Codes need no chains.
    encoder.fit(digits)
    assert_array_equal(encoder.transform(Parts(digits, 50)), encoder.transform(digits))


@needs_cuda
@each_stream_encoder
def test_streams_on_a_gpu(name, digits):
    encoder = clone(ENCODERS[name]).set_params(batch_size=50, shuffle=False)
    encoder.set_params(device="cuda")
    loader = DataLoader(digits.copy(), batch_size=50)
    codes = clone(encoder).fit(loader).transform(loader)
    assert_allclose(codes, encoder.fit(digits).transform(digits), atol=1e-6)
