"""Validation of data, of codes and of the weights of rows."""

import numpy as np
import torch
from scipy import sparse
from sklearn import get_config
from sklearn.utils import check_array, get_tags
from sklearn.utils.validation import validate_data
from torch.utils.data import Dataset, IterableDataset

from .._utils.compat import check_sample_weight
from .arrays import as_numpy, fill_masked, from_array_api, namespace, to_library_of
from .rows import Rows
from .stream import Stream, is_stream

_CHECKED_ROWS = 10_000  # of a tensor, at once


def validated(encoder, X, reset=False, sample_weight=None):
    """Return X as `Rows` or as a `Stream`, each part of which is validated.

    A row of weight zero is left out.
    """
    if reset:
        encoder._namespace = "numpy" if is_stream(X) else namespace(X)

    def check(rows):
        nonlocal reset
        rows, reset = _validated_array(encoder, rows, reset), False
        return rows

    if isinstance(X, Dataset) and not isinstance(X, IterableDataset):
        raise TypeError(
            "X is a Dataset, whose items are rows; pass a loader of batches, such as "
            "torch.utils.data.DataLoader(X, batch_size=100, shuffle=True)."
        )
    if is_stream(X):
        if sample_weight is not None:
            raise ValueError(
                "sample_weight needs X as an array; let the stream draw rows in "
                "proportion to their weights, for example by "
                "torch.utils.data.WeightedRandomSampler."
            )
        return Stream(X, check)
    to_library, X = to_library_of(X), check(X)
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

    X = checked(fill_masked(X), check, allow_nan)
    if not isinstance(X, torch.Tensor) and X.dtype.kind not in "biuf":
        raise TypeError(f"X must hold real numbers, got the type {X.dtype}.")
    return X


def checked(X, check, allow_nan=False):
    """Return X as validated by one of scikit-learn's functions.

    A tensor stays one, and so stays on its device.
    """
    X = from_array_api(X)
    if not isinstance(X, torch.Tensor):
        return check(X, ensure_all_finite="allow-nan" if allow_nan else True)
    # An array of the same shape, which takes no memory, is checked in its place.
    check(np.broadcast_to(np.float32(0), X.shape), ensure_all_finite=False)
    if X.is_complex() or X.layout != torch.strided:
        raise TypeError(
            f"X must be a dense tensor of real numbers, got dtype={X.dtype} and "
            f"layout={X.layout}; pass sparse data as a SciPy CSR array."
        )
    for piece in X.split(_CHECKED_ROWS):
        if piece.isinf().any() or not (allow_nan or not piece.isnan().any()):
            raise ValueError("Input X contains NaN or infinity.")
    return X


def checked_weights(weights, n_rows):
    """Return the weights of rows as an array, or raise."""
    weights = check_sample_weight(
        as_numpy(weights),
        np.empty(n_rows),
        dtype=np.float64,
        ensure_non_negative=True,
    )
    with np.errstate(over="ignore"):
        if not np.isfinite(weights.sum()):
            raise ValueError(
                "The sum of sample_weight is not finite; divide the weights, as only "
                "their ratios matter."
            )
    return weights


def check_namespace(encoder, X):
    """Under array API dispatch, require data of the library that `fit` has seen.

    scikit-learn asks this of all estimators. Without dispatch, any array will do.
    """
    now, before = namespace(X), encoder._namespace
    if get_config()["array_api_dispatch"] and not is_stream(X) and now != before:
        name = type(encoder).__name__
        raise ValueError(
            f"Under array API dispatch, inputs passed to {name}.transform() and its "
            "other methods must use the same namespace as those passed to fit(): "
            f"{before}, not {now}."
        )


def checked_rows(X, name, **options):
    """Return the argument `name` as a valid array, float64 unless it is float32.

    A sparse array becomes a CSR array. The value of a masked entry is NaN.
    """
    options = {"dtype": [np.float64, np.float32], "accept_sparse": "csr", **options}
    try:
        X = check_array(fill_masked(as_numpy(X)), **options)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name} is not valid: {error}") from error
    return sparse.csr_array(X) if sparse.issparse(X) else X
