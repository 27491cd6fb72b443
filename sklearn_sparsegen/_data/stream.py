"""A stream of batches as the source of the rows of data."""

import numpy as np
import torch
from scipy import sparse

from .arrays import as_numpy, to_array, to_tensor
from .rows import Rows

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


class Stream:
    """The rows of an iterable of batches, which is iterated once for each pass.

    `check(batch)` validates a batch and returns it. A batch that is a tuple or a list
    has the rows of X first, as those of PyTorch's data loaders have.
    """

    def __init__(self, X, check):
        self.X, self._check = X, check
        # A row has no place that is the same in each pass.
        self.places = self.n_places = None
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
        self.to_library, self.device = to_array, head.device

    def arrays(self, size=None):
        """Yield the batches as arrays, of whatever size the stream gives them."""
        iterator = iter(self.X)
        if iterator is self.X:
            raise ValueError(
                "X is an iterator, which can be iterated once, but each epoch is a "
                "pass over all data; pass an iterable that begins anew each time, such "
                "as a list or a DataLoader."
            )
        number = -1
        for number, batch in enumerate(iterator):
            # Loaders make tensors of whatever they read, so that all become arrays.
            batch = as_numpy(_rows_of(batch))
            if getattr(batch, "ndim", 0) != 2:
                kind = f"{type(batch).__name__} of shape {getattr(batch, 'shape', ())}"
                raise ValueError(
                    f"Batch {number} of X, counted from 0, must be an array of shape "
                    "(n_rows, n_features), or a tuple of which it is the first, got a "
                    f"{kind}; a DataLoader makes batches of rows."
                )
            try:
                batch = self._check(batch)
            except (ValueError, TypeError) as error:
                text = f"Batch {number} of X, counted from 0, is not valid: {error}"
                raise type(error)(text) from error
            batch = batch.toarray() if sparse.issparse(batch) else batch
            yield np.ascontiguousarray(batch)
        if number < 0:
            raise ValueError(
                "X has no batches in this pass; pass an iterable that begins anew each "
                "time."
            )

    def batches(self, size, like):
        """Yield the rows as tensors of so many rows at most."""
        for batch in self.arrays():
            yield from to_tensor(batch, like).split(size)

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
            places, x = n_seen + np.arange(len(batch)), to_tensor(batch, like)
            n_seen += len(batch)
            yield places, x, torch.ones(len(x), dtype=torch.float64)
        self.n_rows = n_seen

    def split(self, share, seed):
        raise ValueError(
            "early_stopping=True needs X as an array, because the rows of a stream "
            "cannot be told apart from epoch to epoch; stop a stream by tol and "
            "max_iter."
        )
