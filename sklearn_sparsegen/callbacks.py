"""Callbacks for `fit`, in scikit-learn's manner."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.utils import gen_batches

from . import _base
from ._data.arrays import as_numpy, nested_arrays, nested_tensors
from ._data.rows import Rows
from ._data.stream import is_stream
from ._data.validation import checked_weights
from ._training.describe import describe
from ._utils.distributed import n_processes
from ._utils.files import written_in_one_step
from ._utils.parameters import check_count
from ._utils.types import Data
from ._utils.version import __version__

__all__ = ["Checkpoint"]

# Parameters that do not change what a fit learns.
_WITHOUT_EFFECT = "device", "verbose"
_CHECKSUM_BYTES = 16
_FORMAT = 2  # of the files; another number makes other names


class Checkpoint:
    """Save the state of `fit` every few epochs, and go on from it.

    Where a fit with the same parameters on the same data has been saved, `fit` goes on
    from there, and ends with the same result as if it had never been stopped. A process
    that was killed is run again as it is. A fit that was finished is not run again, so
    that in a grid search that was killed only the fits that were not finished are run.

    Each fit has a file of its own in the folder, whose name depends on the parameters
    and the data. It is replaced in one step, so that it is whole at any time, and
    contains numbers and texts only, so that nothing in it is executed. Delete the
    folder when its fits are not needed any more.

    Parameters
    ----------
    folder : str or path-like
        Folder of the files; it is created if there is none.

    every : int, default=1
        Number of epochs between two files. The end of `fit` is always saved.

    Raises
    ------
    TypeError, ValueError
        If a parameter is invalid; and from `fit` if the callback is not set on an
        encoder of this library, if `random_state` is None, so that no two fits are the
        same, or if a file cannot be read.

    See Also
    --------
    sklearn.callback.ProgressBar : A progress bar for `fit`.

    Notes
    -----
    The name of a file depends on the code of a factory `generator`, but not on that of
    the functions that it calls, and on the versions of this library and of PyTorch. Of
    a stream of batches it knows the variance of the first 10,000 rows only. A fit on a
    stream ends with the same result if the order of its batches depends on the epoch
    alone. Where several processes train together, the first one saves.

    Other callbacks see only the epochs that are run, and a parameter that a callback
    changes during `fit` is not saved.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> from sklearn_sparsegen.callbacks import Checkpoint
    >>> X = load_digits().data[:200]
    >>> encoder = SparseGeneratorEncoder(20, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     encoder = encoder.set_callbacks(Checkpoint(folder, every=10)).fit(X)
    """

    def __init__(self, folder: str | os.PathLike[str], every: int = 1) -> None:
        if not isinstance(folder, str | os.PathLike):
            raise TypeError(f"folder must be a str or a path, got {folder!r}.")
        self.folder = Path(folder)
        check_count(every, "every")
        self.every = every
        self._paths: dict[_base.BaseEncoder, Path] = {}

    def setup(self, estimator: _base.BaseEncoder, context: Any) -> None:
        """Check that the estimator can be saved.

        Parameters
        ----------
        estimator : estimator instance
            The encoder.

        context : sklearn.callback.CallbackContext
            Not used.
        """
        if not isinstance(estimator, _base.BaseEncoder):
            raise TypeError(
                "Checkpoint must be set on an encoder of sklearn_sparsegen, not on "
                f"{type(estimator).__name__}; a pipeline or a grid search passes on "
                "what is set on the encoder inside it."
            )
        if estimator.random_state is None:
            raise ValueError(
                "Checkpoint needs a random_state, because with random_state=None no "
                "two fits are the same; set it to an int."
            )

    def on_fit_task_begin(
        self,
        estimator: _base.BaseEncoder,
        context: Any,
        *,
        X: Data | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Go on from the file of a fit, if there is one; save the state of an epoch.

        Parameters
        ----------
        estimator : estimator instance
            The encoder.

        context : sklearn.callback.CallbackContext
            Tells whether a fit begins, or an epoch.

        X : array-like
            The training data.

        metadata : dict
            The weights of the rows.
        """
        if context.task_name == "fit":
            if n_processes() > 1 and _has_rows(estimator._state.memory):
                raise ValueError(
                    "Checkpoint cannot save the chains of ABPEncoder where several "
                    "processes train together, as each process has those of its rows; "
                    "use ShortRunEncoder."
                )
            name = f"{type(estimator).__name__}-{_digest(estimator, X, metadata)}.pt"
            self._paths[estimator] = path = self.folder / name
            if path.exists():
                estimator._state.from_arrays(_load(path))
                estimator._state.publish(estimator)
        # Here, and not at the end of the last epoch, it is known that fit goes on.
        elif estimator.n_iter_ and estimator.n_iter_ % self.every == 0:
            _save(estimator._state.to_arrays(), self._paths[estimator])

    def on_fit_task_end(self, estimator: _base.BaseEncoder, context: Any) -> None:
        """Save the state at the end of a fit.

        Parameters
        ----------
        estimator : estimator instance
            The encoder.

        context : sklearn.callback.CallbackContext
            Tells whether a fit ends, or an epoch.
        """
        if context.task_name == "fit":
            _save(estimator._state.to_arrays(), self._paths[estimator])

    def teardown(self, estimator: _base.BaseEncoder, context: Any) -> None:
        """Forget the file of a fit.

        Parameters
        ----------
        estimator : estimator instance
            The encoder.

        context : sklearn.callback.CallbackContext
            Not used.
        """
        self._paths.pop(estimator, None)

    def __getstate__(self):
        """Return the state without the fits that run."""
        return vars(self) | {"_paths": {}}


def _has_rows(memory):
    return memory is not None and memory.of_rows


def _digest(estimator, X, metadata):
    """Return a text that is the same for fits that are the same."""
    parameters = estimator.get_params(deep=False)
    for name in _WITHOUT_EFFECT:
        parameters.pop(name)
    # The seed stands for a RandomState, which has no value of its own.
    state = estimator._state
    parameters["random_state"] = state.seed
    data = [estimator.n_features_in_, n_processes()]
    if not is_stream(X):
        data.append(_hash_of_rows(X))
    if metadata["sample_weight"] is not None:
        weights = checked_weights(metadata["sample_weight"], X.shape[0])
        data.append(joblib.hash(weights))
    if is_stream(X) or n_processes() > 1:
        # Of these rows only what had to be known before training is at hand.
        data += [state.scale.auto_sigma, state.scale.variance]
    before = joblib.hash(state.to_arrays()) if state.epoch else None
    versions = _FORMAT, __version__, torch.__version__
    parts = describe([type(estimator), parameters]), data, before, versions
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _hash_of_rows(X):
    """Return a text that is the same for the same rows in any order of memory."""
    dtype = getattr(X.dtype, "name", X.dtype)  # whatever the order of bytes
    content = hashlib.blake2b(f"{X.shape} {dtype}".encode())
    for piece in gen_batches(X.shape[0], 10_000):
        rows = as_numpy(Rows(X[piece]).rows(slice(None)))
        content.update(np.ascontiguousarray(rows, rows.dtype.newbyteorder("=")))
    return content.hexdigest()


def _save(state, path):
    content = io.BytesIO()
    torch.save(nested_tensors(state), content)
    content = content.getvalue()
    with written_in_one_step(path) as file:
        file.write(_checksum(content) + content)


def _load(path):
    data = path.read_bytes()
    checksum, content = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
    try:
        if checksum != _checksum(content):
            raise ValueError("The checksum is another one.")
        saved = torch.load(io.BytesIO(content), "cpu", weights_only=True)
    except (ValueError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} cannot be read; delete it to begin this fit again."
        ) from error
    return nested_arrays(saved)


def _checksum(content):
    return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES).digest()
