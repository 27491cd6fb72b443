"""Validation of what the metrics are given."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils._param_validation import validate_params

from .. import _arrays

_F = TypeVar("_F", bound=Callable)


def checks_parameters(constraints: dict[str, list]) -> Callable[[_F], _F]:
    """Return a decorator that checks the arguments of a function."""
    return validate_params(constraints, prefer_skip_nested_validation=True)


def as_numpy(X):
    """Return a tensor, or an array of another library, as a NumPy array.

    Anything else is returned as it is.
    """
    return _arrays.as_numpy(_arrays.from_array_api(X))


def checked_rows(X, name, **options):
    """Return the argument `name` as a valid array, float64 unless it is float32.

    A sparse array becomes a CSR array. The value of a masked entry is NaN.
    """
    options = {"dtype": [np.float64, np.float32], "accept_sparse": "csr", **options}
    try:
        X = check_array(_arrays.fill_masked(as_numpy(X)), **options)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name} is not valid: {error}") from error
    return sparse.csr_array(X) if sparse.issparse(X) else X
