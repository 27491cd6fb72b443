"""What the displays share: their input, and how they draw rows of data.

A row of data is an image or a row of a table. What is drawn of it is
(row - offset) / unit: for images with their least value and their range, and for tables
with the mean and the standard deviation of each feature, because features have units of
their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar

from .._data.validation import checked_rows
from .._utils.parameters import check_count
from .._utils.types import ImageShape

NOT_OBSERVED = "#e60ab4"  # a colour that neither grey nor most colour images have
DEVIATIONS = "standard deviations from the mean"
_LARGEST_DEVIATION = 10.0


# Input ----------------------------------------------------------------------------


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


def clipped(deviations):
    """Return standard deviations of features such that they can be drawn together.

    A feature that hardly varies in the data has a small standard deviation. By it, what
    a generator makes may be so far from the mean that nothing else could be seen.
    """
    return np.clip(deviations, -_LARGEST_DEVIATION, _LARGEST_DEVIATION)


@dataclass(kw_only=True, eq=False, repr=False)
class RowDisplay:
    """Base of the displays that draw rows of data.

    Parameters
    ----------
    image_shape : tuple of int, default=None
        Height, width and number of channels, if any, of an image. None: the rows are
        those of a table.

    feature_names : array-like of str, default=None
        Names of the features of a table. None: x0, x1, and so on.

    offset : float or ndarray of shape (n_features,), default=0.0
        What is subtracted from rows before they are drawn: the least value of images,
        or the means of features.

    unit : float or ndarray of shape (n_features,), default=1.0
        By what rows are divided then: the range of images, or the standard deviations
        of features.
    """

    image_shape: ImageShape | None = None
    feature_names: ArrayLike | None = None
    offset: float | NDArray[Any] = 0.0
    unit: float | NDArray[Any] = 1.0

    def _scaled(self, rows):
        return (rows - self.offset) / self.unit

    def _names(self, n_features):
        if self.feature_names is None:
            return np.array([f"x{i}" for i in range(n_features)], dtype=object)
        return np.asarray(self.feature_names, dtype=object)

    def _draw_image(self, ax, row):
        low, high = self.offset, self.offset + self.unit
        return draw_image(ax, row, self.image_shape, low, high)


# Choice of rows and components ----------------------------------------------------


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


# Drawing --------------------------------------------------------------------------


def canvas(ax, size):
    """Return what holds the axes of a display, and the figure in which it is.

    It is a new figure of this size in inches, or, with an Axes, a part of its figure in
    place of the Axes.
    """
    import matplotlib.pyplot as plt
    from matplotlib.gridspec import GridSpec

    if ax is None:
        figure = plt.figure(figsize=size, layout="constrained")
        return figure, figure
    if not ax.axison:
        raise ValueError("ax has been divided by a display before; pass another Axes.")
    figure, place = ax.figure, ax.get_subplotspec()
    if place is None or figure.get_layout_engine() is None:
        box = ax.get_position()
        place = GridSpec(
            3,
            3,
            figure,
            width_ratios=[box.x0, box.width, 1 - box.x1],
            height_ratios=[1 - box.y1, box.height, box.y0],
        )[1, 1]
    ax.set_axis_off()
    return figure.add_subfigure(place), figure


def canvas_of_one(ax, size):
    """Return an Axes, or a new one in a figure of this size, and its figure."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax, ax.figure


def grid_shape(n, n_columns):
    """Return rows and columns of a grid of n axes, with at most so many columns."""
    n_rows = math.ceil(n / n_columns)
    return n_rows, math.ceil(n / n_rows)


def image_size(image_shape, width=1.0):
    """Return width and height in inches of an image; wide images are wider."""
    height, columns = image_shape[:2]
    return width * max(1, min(columns / height, 3)), width * max(
        1, min(height / columns, 3)
    )


def draw_image(ax, row, image_shape, low=0.0, high=1.0, cmap="gray"):
    """Draw a row as an image. Values are clipped to `low`, black, and `high`, white."""
    import matplotlib as mpl
    from matplotlib.colors import to_rgb

    image = np.reshape(row, image_shape)
    if image.ndim == 3 and image.shape[2] == 3:
        missing = np.isnan(image).any(axis=2)
        image = np.clip((image - low) / (high - low), 0, 1)
        image[missing] = to_rgb(NOT_OBSERVED)
    cmap = mpl.colormaps[cmap].with_extremes(bad=NOT_OBSERVED)
    ax.set(xticks=[], yticks=[])
    return ax.imshow(image, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")


def draw_bars(ax, values, names, **kwargs):
    """Draw a horizontal bar for each value, the first one on top."""
    places = np.arange(len(values))
    bars = ax.barh(places, values, **kwargs)
    ax.axvline(0, color="0.6", linewidth=0.6, zorder=0)
    ax.set_yticks(places, names, fontsize="small")
    ax.set_ylim(len(values) - 0.4, -0.6)
    return bars


def strip(ax):
    """Remove the frame of an axes, save the lines of its scales."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize="small")


def hide(axes):
    """Remove axes that nothing is drawn into."""
    for ax in axes:
        ax.set_axis_off()


def table(columns):
    """Return a data frame of arrays that are broadcast to one shape and made flat."""
    import pandas as pd

    values = np.broadcast_arrays(*columns.values())
    return pd.DataFrame(
        {name: array.ravel() for name, array in zip(columns, values, strict=True)}
    )
