"""Where rows of data come from: an array, a sparse array, or a stream of batches.

`Rows` and `Stream` have the same methods, and only they read X. What must be known
before training comes from all rows of an array, and from the first rows of a stream;
where several processes train together, from the rows of all of them.
"""

import functools

import numpy as np
from scipy import sparse
from sklearn.model_selection import train_test_split
from sklearn.utils import gen_batches

from .._utils.distributed import gather
from .arrays import (
    as_numpy,
    empty_tensor,
    float_dtype,
    result_device,
    to_array,
    to_tensor,
    training_batch_size,
)

_PIECE_BYTES = 2**26  # size of the piece of X that moves to a device at once


class Rows:
    """The rows of an array, or of a sparse array, which become dense in pieces.

    `places` lists the rows of X that count, of `n_places`, all of them by default, and
    `weights` are theirs, all 1 by default. `to_library(tensor)` makes arrays as the
    user's X is.
    """

    def __init__(self, X, weights=None, places=None, to_library=to_array):
        self.X, self.places = X, np.arange(X.shape[0]) if places is None else places
        self.n_rows, self.n_features = len(self.places), X.shape[1]
        self.weights = np.ones(self.n_rows) if weights is None else weights
        self.dtype, self.to_library = float_dtype(X), to_library
        self.device, self.n_places = result_device(X), X.shape[0]
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
            yield from to_tensor(rows, like).split(size)

    def training_batches(self, batch_size, like, seed, epoch):
        """Yield the places in X, the rows and the weights of each batch of an epoch.

        The order of the rows depends on `seed` and `epoch`; None keeps their order.
        """
        size = training_batch_size(batch_size, self.n_rows)
        order = np.arange(self.n_rows)
        if seed is not None:
            np.random.default_rng((seed, epoch)).shuffle(order)
        parts = (order[batch] for batch in gen_batches(self.n_rows, size))
        double = empty_tensor("float64", "cpu")
        for part, x in zip(parts, self.batches(size, like, order), strict=True):
            yield self.places[part], x, to_tensor(self.weights[part], double)

    def split(self, share, seed):
        """Return rows to train on, and a random share of the rows to validate on."""
        if self.n_rows < 2:
            raise ValueError(
                "early_stopping=True needs two rows at least, one to train on and one "
                "to hold out; X has n_samples=1."
            )
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
            yield as_numpy(self.rows(piece)), self.weights[piece, None]


def _joined_moments(one, other):
    """Return the moments of two sets of rows: weights, mean, and sum of squares.

    The weights are those of all rows, and of those where a feature is observed.
    """
    (weight_1, n_1, mean_1, square_1), (weight_2, n_2, mean_2, square_2) = one, other
    n, shift = n_1 + n_2, mean_2 - mean_1
    share = n_2 / np.where(n > 0, n, 1)
    square = square_1 + square_2 + shift**2 * n_1 * share
    return weight_1 + weight_2, n, mean_1 + shift * share, square
