"""What displays take: data, codes, and the choice of rows and components."""

import math
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar

from .._data.validation import checked_rows
from .._utils.parameters import check_count


def as_rows(X, name="X"):
    """Return data or codes of any kind as a dense array of float32 or float64."""
    X = checked_rows(X, name, ensure_all_finite="allow-nan")
    return X.toarray() if sparse.issparse(X) else X


def infer(estimator, X):
    """Return the codes of X as a dense array."""
    return as_rows(_method(estimator, "transform")(X))


def generate(estimator, Z):
    """Return the data that an estimator makes of codes, in units of its X."""
    return as_rows(_method(estimator, "inverse_transform")(Z), "codes")


def _method(estimator, name):
    if not hasattr(estimator, name):
        raise TypeError(
            f"estimator must have the method {name}, and {type(estimator).__name__} "
            "has none; of a pipeline that ends in a classifier, pass pipeline[:-1]."
        )
    return getattr(estimator, name)


def last_step(estimator):
    """Return the last step of a pipeline, or any other estimator as it is."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def check_image_shape(image_shape, n_features):
    """Raise unless a row of `n_features` values is an image of this shape, or None."""
    if image_shape is None:
        return
    sizes = () if np.ndim(image_shape) == 0 else tuple(image_shape)
    is_shape = len(sizes) == 2 or (len(sizes) == 3 and sizes[2] in (1, 3))
    if not is_shape or not all(isinstance(size, Integral) for size in sizes):
        raise ValueError(
            "image_shape must be (height, width), (height, width, 1) or (height, "
            f"width, 3), got {image_shape}; None draws bars of features."
        )
    if math.prod(sizes) != n_features:
        raise ValueError(
            f"image_shape={sizes} has {math.prod(sizes)} values, but "
            f"X has {n_features} features; None draws bars of features."
        )


def offset_and_unit(X, image_shape):
    """Return what to subtract from rows of X, and by what to divide them, to draw."""
    if image_shape is not None:
        low, high = np.nanmin(X), np.nanmax(X)
        return low, (high - low) or 1.0
    X = np.ma.masked_invalid(X)
    deviation = X.std(axis=0).filled(0)
    return X.mean(axis=0).filled(0), np.where(deviation > 0, deviation, 1)


def row_settings(estimator, X, image_shape, feature_names):
    """Return the parameters with which a `RowDisplay` draws rows like those of X."""
    check_image_shape(image_shape, X.shape[1])
    if feature_names is None:
        feature_names = getattr(estimator, "feature_names_in_", None)
    elif len(feature_names) != X.shape[1]:
        raise ValueError(
            f"feature_names must have a name for each of the {X.shape[1]} features of "
            f"X, got {len(feature_names)} names."
        )
    offset, unit = offset_and_unit(X, image_shape)
    return {
        "image_shape": image_shape,
        "feature_names": feature_names,
        "offset": offset,
        "unit": unit,
    }


def choose_rows(rows, n_rows):
    """Return the places of rows: the first ones, those given, or those of a mask."""
    if np.ndim(rows) == 0 and not isinstance(rows, str):
        check_count(rows, "rows")
        return np.arange(min(int(rows), n_rows))
    chosen = np.asarray(rows)
    if chosen.dtype == bool and len(chosen) == n_rows:
        chosen = np.flatnonzero(chosen)
    is_valid = chosen.dtype.kind in "iu" and chosen.ndim == 1 and len(chosen)
    if not is_valid or chosen.min() < 0 or chosen.max() >= n_rows:
        raise ValueError(
            f"rows must be a number, places in 0..{n_rows - 1}, or a mask of all "
            f"{n_rows} rows of X that chooses some, got {rows!r}."
        )
    return chosen


def share_active(Z, threshold):
    """Return the share of rows in which each component is active, or raise if none."""
    check_scalar(threshold, "threshold", Real, min_val=0)
    share = (abs(Z) > threshold).mean(axis=0)
    if not share.any():
        raise ValueError(
            f"No component is active: all codes of X are at most threshold={threshold} "
            "in absolute value. Lower threshold, or fit an encoder with more active "
            "codes (a larger alpha or a smaller sigma)."
        )
    return share


def choose(components, importance):
    """Return indices of components.

    A number chooses the components of largest importance, without those of importance
    zero, which are never active. Indices are returned as they are if all of them are
    active.
    """
    if np.ndim(components) == 0:
        check_count(components, "components")
        order = np.argsort(-importance, kind="stable")[: int(components)]
        return order[importance[order] > 0]
    chosen, n_components = np.asarray(components), len(importance)
    if chosen.dtype.kind not in "iu" or not len(chosen):
        raise ValueError(f"components must hold integers, got {components!r}.")
    if chosen.min() < 0 or chosen.max() >= n_components:
        raise ValueError(
            f"components must be in 0..{n_components - 1}, got {components!r}."
        )
    if not importance[chosen].all():
        unused = ", ".join(map(str, chosen[importance[chosen] == 0]))
        raise ValueError(
            f"Components {unused} are active in no row; choose others, or pass the "
            "number of components to show."
        )
    return chosen
