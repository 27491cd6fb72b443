"""Where rows of data come from: an array, a sparse array, or a stream of batches.

`Rows` and `Stream` have the same methods, and only they read X. What must be known
before training comes from all rows of an array, and from the first rows of a stream.
"""

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import gen_batches

from . import _arrays, _messages

_PIECE_BYTES = 2**26  # size of the piece of X that moves to a device at once
_HEAD_ROWS = 10_000  # rows of a stream from which its mean and variance are estimated


def is_stream(X):
    """Return whether X is an iterable of batches rather than an array of any kind."""
    array_like = "__array__", "shape", "__dataframe__", "__array_interface__", "keys"
    if isinstance(X, list | tuple | str | bytes) or not hasattr(X, "__iter__"):
        return False
    return not any(hasattr(X, name) for name in array_like)


class Rows:
    """The rows of an array, or of a sparse array, which become dense in pieces."""

    def __init__(self, X):
        self.X = X
        self.n_rows, self.n_features = X.shape
        self.dtype = _arrays.float_dtype(X)

    def rows(self, places):
        """Return some of the rows as a dense array."""
        rows = self.X[places]
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
        """Yield the places and the rows, as a tensor, of each batch of an epoch.

        The order of the rows depends on `seed` and `epoch`; None keeps their order.
        """
        size = _arrays.training_batch_size(batch_size, self.n_rows)
        order = np.arange(self.n_rows)
        if seed is not None:
            np.random.default_rng((seed, epoch)).shuffle(order)
        places = (order[batch] for batch in gen_batches(self.n_rows, size))
        yield from zip(places, self.batches(size, like, order), strict=True)

    def moments(self):
        """Return mean, variance and share of observed values of each feature, (D,).

        NaN is not observed. X is read in pieces, so that nothing copies all of it.
        """
        n_rows = max(1, _PIECE_BYTES // (8 * self.n_features))
        pieces = list(gen_batches(self.n_rows, n_rows))
        n = sum((~np.isnan(self.rows(piece))).sum(0) for piece in pieces)
        # A feature that is never observed has mean 0. Sums are taken from the least
        # value on, so that the variance of a constant feature is exactly 0.
        least = [np.fmin.reduce(self.rows(piece), axis=0) for piece in pieces]
        least = np.where(n > 0, np.fmin.reduce(least, axis=0), 0).astype(np.float64)
        with np.errstate(over="ignore"):  # the caller looks for infinite variances
            mean = sum(np.nansum(self.rows(p) - least, axis=0) for p in pieces)
            mean = least + mean / np.maximum(n, 1)
            square = sum(np.nansum((self.rows(p) - mean) ** 2, axis=0) for p in pieces)
        variance = square / np.maximum(n, 1)
        return mean.astype(np.float64), variance.astype(np.float64), n / self.n_rows

    def is_in_unit_interval(self):
        """Return whether no value is below 0 or above 1; NaN is ignored."""
        # The zeros that a sparse array leaves out do not matter.
        values = self.X.data if sparse.issparse(self.X) else self.X
        if not values.size:
            return True
        # fmin and fmax ignore NaN and copy nothing. Comparisons with NaN are false.
        lowest, highest = (f.reduce(values, axis=None) for f in (np.fmin, np.fmax))
        return not (lowest < 0 or highest > 1)


class Stream:
    """The rows of an iterable of batches, which is iterated once for each pass.

    `check(batch)` validates a batch and returns it as an array. A batch that is a tuple
    or a list has the rows of X first, as those of PyTorch's data loaders have.
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

    def arrays(self, size=None):
        """Yield the batches as arrays, of whatever size the stream gives them."""
        iterator = iter(self.X)
        if iterator is self.X:
            raise ValueError(_messages.ONE_PASS)
        is_empty = True
        for batch in iterator:
            is_empty = False
            if isinstance(batch, tuple | list):
                batch = batch[0]
            if isinstance(batch, torch.Tensor):
                batch = _arrays.to_array(batch)
            batch = self._check(batch)
            batch = batch.toarray() if sparse.issparse(batch) else batch
            yield np.ascontiguousarray(batch)
        if is_empty:
            raise ValueError(_messages.NO_BATCHES)

    def batches(self, size, like):
        """Yield the rows as tensors of so many rows at most."""
        for batch in self.arrays():
            yield from _arrays.to_tensor(batch, like).split(size)

    def training_batches(self, batch_size, like, seed, epoch):
        """Yield the places and the rows of each batch, as the stream makes them."""
        # PyTorch's samplers for several processes shuffle by the number of the epoch.
        for part in (self.X, getattr(self.X, "sampler", None)):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        n_seen = 0
        for batch in self.arrays():
            places = np.arange(n_seen, n_seen + len(batch))
            n_seen += len(batch)
            yield places, _arrays.to_tensor(batch, like)
        self.n_rows = n_seen
