"""Where rows of data come from: an array, a sparse array, or a stream of batches.

`Rows` and `Stream` have the same methods, and only they read X. What must be known
before training comes from all rows of an array, and from the first rows of a stream;
where several processes train together, from the rows of all of them.
"""

import functools

import numpy as np
import torch
from scipy import sparse
from sklearn import get_config
from sklearn.model_selection import train_test_split
from sklearn.utils import gen_batches, get_tags
from sklearn.utils.validation import _check_sample_weight, validate_data
from torch.utils.data import Dataset, IterableDataset

from . import _arrays, _messages
from ._distributed import gather

_PIECE_BYTES = 2**26  # size of the piece of X that moves to a device at once
_CHECKED_ROWS = 10_000  # of a tensor, at once
_HEAD_ROWS = 10_000  # rows of a stream from which its mean and variance are estimated


def is_stream(X):
    """Return whether X is an iterable of batches rather than an array of any kind."""
    array_like = "__array__", "shape", "__dataframe__", "__array_interface__", "keys"
    if isinstance(X, list | tuple):
        # A list of rows is an array, and a list of arrays of rows is not.
        return len(X) > 0 and getattr(_rows_of(X[0]), "ndim", 0) == 2
    if isinstance(X, str | bytes) or not hasattr(X, "__iter__"):
        return False
    return not any(hasattr(X, name) for name in array_like)


def _rows_of(batch):
    """Return the rows of X in a batch: its first part if it has several."""
    has_parts = isinstance(batch, tuple | list) and len(batch) > 0
    return batch[0] if has_parts else batch


class Rows:
    """The rows of an array, or of a sparse array, which become dense in pieces.

    `places` lists the rows of X that count, all of them by default, and `weights` are
    theirs, all 1 by default. `to_library(tensor)` makes arrays as the user's X is.
    """

    def __init__(self, X, weights=None, places=None, to_library=_arrays.to_array):
        self.X, self.places = X, np.arange(X.shape[0]) if places is None else places
        self.n_rows, self.n_features = len(self.places), X.shape[1]
        self.weights = np.ones(self.n_rows) if weights is None else weights
        self.dtype, self.to_library = _arrays.float_dtype(X), to_library
        self.device = _arrays.result_device(X)
        self._has_all = places is None

    def rows(self, which):
        """Return some of the rows, a slice or a list, as a dense array or tensor."""
        # A slice of all rows copies nothing.
        rows = self.X[which if self._has_all else self.places[which]]
        return rows.toarray() if sparse.issparse(rows) else rows

    def arrays(self, size):
        """Yield the rows as arrays of so many rows, sparse ones as they are."""
        yield from (self.X[piece] for piece in gen_batches(self.n_rows, size))

    def batches(self, size, like, order=None):
        """Yield the rows, or those that `order` lists, as tensors of so many rows."""
        row_bytes = self.n_features * like.element_size()
        # Many batches move to the device at once, as each move synchronises a GPU.
        n_batches = max(1, _PIECE_BYTES // (row_bytes * size))
        for piece in gen_batches(self.n_rows, n_batches * size):
            rows = self.rows(piece if order is None else order[piece])
            yield from _arrays.to_tensor(rows, like).split(size)

    def training_batches(self, batch_size, like, seed, epoch):
        """Yield the places in X, the rows and the weights of each batch of an epoch.

        The order of the rows depends on `seed` and `epoch`; None keeps their order.
        """
        size = _arrays.training_batch_size(batch_size, self.n_rows)
        order = np.arange(self.n_rows)
        if seed is not None:
            np.random.default_rng((seed, epoch)).shuffle(order)
        parts = (order[batch] for batch in gen_batches(self.n_rows, size))
        double = _arrays.empty_tensor("float64", "cpu")
        for part, x in zip(parts, self.batches(size, like, order), strict=True):
            yield self.places[part], x, _arrays.to_tensor(self.weights[part], double)

    def split(self, share, seed):
        """Return rows to train on, and a random share of the rows to validate on."""
        if self.n_rows < 2:
            raise ValueError(_messages.TOO_FEW_TO_VALIDATE)
        n_held_out = min(max(round(share * self.n_rows), 1), self.n_rows - 1)
        parts = train_test_split(
            np.arange(self.n_rows), test_size=n_held_out, random_state=seed
        )
        return [
            Rows(self.X, self.weights[part], self.places[part], self.to_library)
            for part in parts
        ]

    def moments(self):
        """Return mean, variance and share of observed values of each feature, (D,).

        NaN is not observed. X is read in pieces, so that nothing copies all of it.
        """
        n, least = 0.0, np.inf
        for rows, weights in self._pieces():
            n = n + (weights * ~np.isnan(rows)).sum(0)
            least = np.fmin(least, np.fmin.reduce(rows, axis=0))
        # A feature that is never observed has mean 0. Sums are taken from the least
        # value on, so that the variance of a constant feature is exactly 0.
        least = np.where(n > 0, least, 0).astype(np.float64)
        mean, square, divisor = 0.0, 0.0, np.where(n > 0, n, 1)
        with np.errstate(over="ignore"):  # the caller looks for infinite variances
            for rows, weights in self._pieces():
                mean = mean + np.nansum(weights * (rows - least), axis=0)
            mean = least + mean / divisor
            for rows, weights in self._pieces():
                square = square + np.nansum(weights * (rows - mean) ** 2, axis=0)
            parts = gather((self.weights.sum(), n, mean, square))
            weight, n, mean, square = functools.reduce(_joined_moments, parts)
        return mean, square / np.where(n > 0, n, 1), n / weight

    def is_in_unit_interval(self):
        """Return whether no value is below 0 or above 1; NaN is ignored."""
        is_inside = True
        for rows, _ in self._pieces():
            # fmin and fmax ignore NaN and copy nothing. Comparisons with NaN are false.
            lowest, highest = (f.reduce(rows, axis=None) for f in (np.fmin, np.fmax))
            is_inside &= not (lowest < 0 or highest > 1)
        return all(gather(is_inside))

    def _pieces(self):
        """Yield rows as dense NumPy arrays, and their weights, (n, 1)."""
        n_rows = max(1, _PIECE_BYTES // (8 * self.n_features))
        for piece in gen_batches(self.n_rows, n_rows):
            yield _arrays.as_numpy(self.rows(piece)), self.weights[piece, None]


def _joined_moments(one, other):
    """Return the moments of two sets of rows: weights, mean, and sum of squares.

    The weights are those of all rows, and of those where a feature is observed.
    """
    (weight_1, n_1, mean_1, square_1), (weight_2, n_2, mean_2, square_2) = one, other
    n, shift = n_1 + n_2, mean_2 - mean_1
    share = n_2 / np.where(n > 0, n, 1)
    square = square_1 + square_2 + shift**2 * n_1 * share
    return weight_1 + weight_2, n, mean_1 + shift * share, square


class Stream:
    """The rows of an iterable of batches, which is iterated once for each pass.

    `check(batch)` validates a batch and returns it. A batch that is a tuple or a list
    has the rows of X first, as those of PyTorch's data loaders have.
    """

    def __init__(self, X, check):
        self.X = X
        self._check = check
        batches, n_rows = [], 0
        for batch in self.arrays():
            batches.append(batch)
            n_rows += len(batch)
            if n_rows >= _HEAD_ROWS:
                break
        head = Rows(np.concatenate(batches))
        self.n_rows = n_rows  # those of all batches are known after a pass
        self.dtype, self.rows, self.moments = head.dtype, head.rows, head.moments
        self.is_in_unit_interval = head.is_in_unit_interval
        self.to_library, self.device = _arrays.to_array, head.device

    def arrays(self, size=None):
        """Yield the batches as arrays, of whatever size the stream gives them."""
        iterator = iter(self.X)
        if iterator is self.X:
            raise ValueError(_messages.ONE_PASS)
        number = -1
        for number, batch in enumerate(iterator):
            # Loaders make tensors of whatever they read, so that all become arrays.
            batch = _arrays.as_numpy(_rows_of(batch))
            if getattr(batch, "ndim", 0) != 2:
                kind = f"{type(batch).__name__} of shape {getattr(batch, 'shape', ())}"
                raise ValueError(_messages.NO_BATCH.format(number=number, kind=kind))
            try:
                batch = self._check(batch)
            except (ValueError, TypeError) as error:
                text = _messages.BAD_BATCH.format(number=number, error=error)
                raise type(error)(text) from error
            batch = batch.toarray() if sparse.issparse(batch) else batch
            yield np.ascontiguousarray(batch)
        if number < 0:
            raise ValueError(_messages.NO_BATCHES)

    def batches(self, size, like):
        """Yield the rows as tensors of so many rows at most."""
        for batch in self.arrays():
            yield from _arrays.to_tensor(batch, like).split(size)

    def training_batches(self, batch_size, like, seed, epoch):
        """Yield places, rows and weights of each batch, as the stream makes them."""
        # PyTorch's samplers for several processes shuffle by the number of the epoch.
        parts = [self.X, getattr(self.X, "dataset", None)]
        for sampler in ("sampler", "batch_sampler"):
            parts.append(getattr(self.X, sampler, None))
            parts.append(getattr(parts[-1], "sampler", None))
        # A loader may hold the same one twice.
        for part in {id(part): part for part in parts}.values():
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        n_seen = 0
        for batch in self.arrays():
            places, x = n_seen + np.arange(len(batch)), _arrays.to_tensor(batch, like)
            n_seen += len(batch)
            yield places, x, torch.ones(len(x), dtype=torch.float64)
        self.n_rows = n_seen

    def split(self, share, seed):
        raise ValueError(_messages.NO_VALIDATION_ROWS)


# Validation ---------------------------------------------------------------------------


def validated(encoder, X, reset=False, sample_weight=None):
    """Return X as `Rows` or as a `Stream`, each part of which is validated.

    A row of weight zero is left out.
    """
    if reset:
        encoder._namespace = "numpy" if is_stream(X) else _arrays.namespace(X)

    def check(rows):
        nonlocal reset
        rows, reset = _validated_array(encoder, rows, reset), False
        return rows

    if isinstance(X, Dataset) and not isinstance(X, IterableDataset):
        raise TypeError(_messages.NO_LOADER)
    if is_stream(X):
        if sample_weight is not None:
            raise ValueError(_messages.WEIGHTS_OF_STREAM)
        return Stream(X, check)
    to_library, X = _arrays.to_library_of(X), check(X)
    if sample_weight is None:
        return Rows(X, to_library=to_library)
    weights = checked_weights(sample_weight, X.shape[0])
    places = np.flatnonzero(weights)
    if len(places) == len(weights):
        return Rows(X, weights, to_library=to_library)
    return Rows(X, weights[places], places, to_library)


def _validated_array(encoder, X, reset):
    allow_nan = get_tags(encoder).input_tags.allow_nan

    def check(X, **options):
        # X keeps its type and is converted batch by batch, so that nothing copies it.
        options = {"dtype": "numeric", "accept_sparse": "csr", **options}
        return validate_data(encoder, X, reset=reset, **options)

    X = checked(_arrays.fill_masked(X), check, allow_nan)
    if not isinstance(X, torch.Tensor) and X.dtype.kind not in "biuf":
        raise TypeError(f"X must hold real numbers, got the type {X.dtype}.")
    return X


def checked(X, check, allow_nan=False):
    """Return X as validated by one of scikit-learn's functions.

    A tensor stays one, and so stays on its device.
    """
    X = _arrays.from_array_api(X)
    if not isinstance(X, torch.Tensor):
        return check(X, ensure_all_finite="allow-nan" if allow_nan else True)
    # An array of the same shape, which takes no memory, is checked in its place.
    check(np.broadcast_to(np.float32(0), X.shape), ensure_all_finite=False)
    if X.is_complex() or X.layout != torch.strided:
        raise TypeError(_messages.BAD_TENSOR.format(dtype=X.dtype, layout=X.layout))
    for piece in X.split(_CHECKED_ROWS):
        if piece.isinf().any() or not (allow_nan or not piece.isnan().any()):
            raise ValueError(_messages.TENSOR_NOT_FINITE)
    return X


def checked_weights(weights, n_rows):
    """Return the weights of rows as an array, or raise."""
    weights = _check_sample_weight(
        _arrays.as_numpy(_arrays.from_array_api(weights)),
        np.empty(n_rows),
        dtype=np.float64,
        ensure_non_negative=True,
    )
    with np.errstate(over="ignore"):
        if not np.isfinite(weights.sum()):
            raise ValueError(_messages.WEIGHTS_TOO_LARGE)
    return weights


def check_namespace(encoder, X):
    """Under array API dispatch, require data of the library that `fit` has seen.

    scikit-learn asks this of all estimators. Without dispatch, any array will do.
    """
    now, before = _arrays.namespace(X), encoder._namespace
    if get_config()["array_api_dispatch"] and not is_stream(X) and now != before:
        name = type(encoder).__name__
        raise ValueError(
            _messages.OTHER_NAMESPACE.format(name=name, before=before, now=now)
        )
