"""Callbacks for `fit`, in scikit-learn's manner."""

import functools
import hashlib
import inspect
import os
import pickle
import tempfile
from numbers import Integral
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.utils import check_scalar

from . import _arrays, _base, _state

# Parameters that do not change what a fit learns.
_WITHOUT_EFFECT = "device", "verbose"


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
    The name of a file depends on the source code of a factory `generator`, but not on
    the functions that it calls.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> from sklearn_sparsegen.callbacks import Checkpoint
    >>> X = load_digits().data[:200]
    >>> encoder = SparseGeneratorEncoder(20, max_iter=35, tol=None, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     encoder = encoder.set_callbacks(Checkpoint(folder, every=10)).fit(X)
    """

    def __init__(self, folder, every=1):
        self.folder = Path(folder)
        self.every = check_scalar(every, "every", Integral, min_val=1)
        self._paths = {}

    def setup(self, estimator, context):
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

    def on_fit_task_begin(self, estimator, context, *, X=None):
        """Go on from the file of a fit, if there is one.

        Parameters
        ----------
        estimator : estimator instance
            The encoder.

        context : sklearn.callback.CallbackContext
            Tells whether a fit begins, or an epoch.

        X : array-like
            The training data.
        """
        if context.task_name != "fit":
            return
        name = f"{type(estimator).__name__}-{_digest(estimator, X)}.pt"
        self._paths[estimator] = path = self.folder / name
        if path.exists():
            estimator.__setstate__(_load(path))

    def on_fit_task_end(self, estimator, context):
        """Save the state every few epochs, and at the end of a fit.

        Parameters
        ----------
        estimator : estimator instance
            The encoder.

        context : sklearn.callback.CallbackContext
            Tells whether a fit ends, or an epoch.
        """
        if context.task_name == "fit" or estimator.n_iter_ % self.every == 0:
            _save(_state.progress(estimator), self._paths[estimator])

    def teardown(self, estimator, context):
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


def _digest(estimator, X):
    """Return a text that is the same for fits that are the same."""
    parameters = {
        name: _description(value)
        for name, value in estimator.get_params(deep=False).items()
        if name not in _WITHOUT_EFFECT
    }
    # The curve tells what a warm start continues from.
    parts = parameters, estimator._seed, estimator.loss_curve_, _description(X)
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _description(value):
    """Return what tells a value from others; it is the same in another process."""
    if isinstance(value, functools.partial):
        return [_description(part) for part in (value.func, value.args, value.keywords)]
    if inspect.isfunction(value):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        try:
            code = inspect.getsource(value)
        except OSError:  # typed into an interpreter
            code = value.__code__.co_code, value.__code__.co_consts
        return code, [_description(cell) for cell in cells], value.__defaults__
    if isinstance(value, torch.nn.Module):
        return repr(value), joblib.hash(_arrays.nested_arrays(value.state_dict()))
    # The repr of an object that has an address does not tell its contents.
    has_address = " at 0x" in repr(value) or isinstance(value, np.ndarray)
    return joblib.hash(value, coerce_mmap=True) if has_address else repr(value)


def _save(state, path):
    """Write a file in one step: a kill leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        dir=path.parent, suffix=".part", delete=False
    ) as file:
        torch.save(_arrays.nested_tensors(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


def _load(path):
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} cannot be read; delete it to begin this fit again."
        ) from error
    return _arrays.nested_arrays(saved)
