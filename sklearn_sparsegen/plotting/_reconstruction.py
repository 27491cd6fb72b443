"""ReconstructionDisplay: rows of data, what is restored of them, and their codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing

from .._utils.docs import describe_like
from .._utils.types import ImageShape, Matrix
from ..metrics import active_codes
from ._shared import (
    DEVIATIONS,
    NOT_OBSERVED,
    RowDisplay,
    as_rows,
    canvas,
    choose_rows,
    clipped,
    generate,
    image_size,
    infer,
    row_settings,
    strip,
    table,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_MAX_BARS = 30  # features of a table that are drawn
_COLOURS = {"original": "0.65", "given": "C1", "restored": "C0"}


@describe_like(RowDisplay)
@dataclass(kw_only=True, eq=False, repr=False)
class ReconstructionDisplay(RowDisplay):
    """Rows of data, what is restored from their codes, and the codes.

    :meth:`from_estimator` makes it from an encoder. Each row of data has a column of
    the figure. Images are drawn as they are; of a table, bars show the 30 features that
    are largest, each in standard deviations from its mean, which end at 10. Values that
    are not observed (NaN) are marked in magenta. The title of a code is the number of
    its active entries.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows that were given to the encoder.

    X_restored : ndarray of shape (n_samples, n_features)
        What is made of the codes.

    codes : ndarray of shape (n_samples, n_components)
        Codes of the rows.

    X_clean : ndarray of shape (n_samples, n_features), default=None
        The rows before noise was added, or values were removed. None: X is the
        original.

    rows : ndarray of shape (n_samples,), default=None
        Places of the rows in the data. None: 0, 1, and so on.

    threshold : float, default=0.2
        A code is active if its absolute value is above this; 0.2 is the paper's.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_pictures + 1, n_samples)
        Axes of the pictures of data, each of which is a row of axes, and of the codes.
        The bars of a table share one row of axes.

    figure_ : Figure
        The figure that holds them.

    See Also
    --------
    TraversalDisplay : What single components of a code change.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> from sklearn_sparsegen.plotting import ReconstructionDisplay
    >>> X = load_digits().data[:100] / 16
    >>> encoder = SparseGeneratorEncoder(10, alpha=1.0, tol=None, max_iter=5).fit(X)
    >>> show = ReconstructionDisplay.from_estimator
    >>> show(encoder, X[:4], image_shape=(8, 8)).axes_.shape
    (3, 4)
    """

    X: NDArray[Any]
    X_restored: NDArray[Any]
    codes: NDArray[Any]
    X_clean: NDArray[Any] | None = None
    rows: ArrayLike | None = None
    threshold: float = 0.2

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Matrix,
        *,
        X_clean: Matrix | None = None,
        rows: int | ArrayLike = 8,
        threshold: float = 0.2,
        image_shape: ImageShape | None = None,
        feature_names: ArrayLike | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Infer the codes of rows, restore the rows from them, and draw.

        Parameters
        ----------
        estimator : fitted estimator
            Anything with `transform` and `inverse_transform`.

        X : {array-like, sparse array} of shape (n_samples, n_features)
            Data for the encoder, noisy or with missing values if you like. All of them
            determine the scale of grey, or the mean and the standard deviation of each
            feature of a table.

        X_clean : {array-like, sparse array} of shape (n_samples, n_features), \
default=None
            The same data without noise and with all values, to compare with. They then
            determine the scale.

        rows : int, or array-like of int or bool, default=8
            Number of rows to draw, the first of X; or the places of the rows in X; or a
            mask of them.

        threshold : float, default=0.2
            A code is active if its absolute value is above this; 0.2 is the paper's.

        image_shape : tuple of int, default=None
            Shape of an image, (height, width) or (height, width, channels) with 1 or 3
            channels. None draws rows of a table.

        feature_names : array-like of str, default=None
            Names of the features of a table. None takes `feature_names_in_` of the
            estimator, or else x0, x1, and so on.

        ax : matplotlib Axes, default=None
            Where to draw; its area is divided. None makes a new figure.

        Returns
        -------
        display : ReconstructionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `image_shape` does not match the features, X and `X_clean` differ in
            shape, there is no such row, or `threshold` is negative.
        """
        given, clean = as_rows(X), None
        if X_clean is not None:
            clean = as_rows(X_clean, "X_clean")
            if clean.shape != given.shape:
                raise ValueError(
                    f"X_clean must have the shape of X, {given.shape}, got "
                    f"{clean.shape}."
                )
        rows = choose_rows(rows, len(given))
        codes = infer(estimator, _safe_indexing(X, rows))
        shown = given if clean is None else clean
        settings = row_settings(estimator, shown, image_shape, feature_names)
        return cls(
            X=given[rows],
            X_restored=generate(estimator, codes),
            codes=codes,
            X_clean=None if clean is None else clean[rows],
            rows=rows,
            threshold=threshold,
            **settings,
        ).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the rows, what is restored of them, and the codes.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; its area is divided. None makes a new figure.

        Returns
        -------
        display : ReconstructionDisplay
            This display.
        """
        if self.image_shape is None:
            self._plot_table(ax)
        else:
            self._plot_images(ax)
        low, high = min(self.codes.min(), 0), max(self.codes.max(), 0)
        margin = 0.05 * (high - low) or 1.0
        limits = low - margin * (low < 0), high + margin
        n_active = active_codes(self.codes, threshold=self.threshold)
        for ax, code, n in zip(self.axes_[-1], self.codes, n_active, strict=True):
            ax.vlines(range(len(code)), 0, code, linewidth=1, color="C0")
            ax.set_title(f"{n} active", fontsize="small")
            ax.axhline(0, color="0.6", linewidth=0.6)
            ax.set(xticks=[], ylim=limits)
            strip(ax)
        self.axes_[-1, 0].set_ylabel("code", fontsize="small")
        components = f"{self.codes.shape[1]} components"
        self.axes_[-1, 0].set_xlabel(components, loc="left", fontsize="small")
        return self

    def _plot_images(self, ax):
        pictures, n = self._pictures(), len(self.X)
        width, height = image_size(self.image_shape, 1.1)
        heights = [*[height] * len(pictures), 0.9]
        area, self.figure_ = canvas(ax, (width * n + 0.6, sum(heights) + 0.3))
        self.axes_ = area.subplots(
            len(heights),
            n,
            squeeze=False,
            sharey="row",
            gridspec_kw={"height_ratios": heights},
        )
        for axes, (name, rows) in zip(self.axes_, pictures.items(), strict=False):
            if np.isnan(rows).any():
                name += "\nmagenta: not\nobserved"
            axes[0].set_ylabel(name, fontsize="small")
            for ax, row in zip(axes, rows, strict=True):
                self._draw_image(ax, row)

    def _plot_table(self, ax):
        pictures, n = self._pictures(), len(self.X)
        names = self._names(self.X.shape[1])
        scaled = {name: self._scaled(rows) for name, rows in pictures.items()}
        size = np.nan_to_num(np.abs(list(scaled.values()))).max(axis=(0, 1))
        shown = np.sort(np.argsort(-size, kind="stable")[:_MAX_BARS])
        heights = [0.22 * len(shown) + 0.6, 0.9]
        width = 1.5 * n + 0.08 * max(len(str(name)) for name in names[shown])
        area, self.figure_ = canvas(ax, (width, sum(heights) + 0.6))
        self.axes_ = area.subplots(
            2, n, squeeze=False, sharey="row", gridspec_kw={"height_ratios": heights}
        )
        missing = np.isnan(self.X)
        thickness = 0.8 / len(pictures)
        places = np.arange(len(shown))
        scaled = {name: clipped(rows[:, shown]) for name, rows in scaled.items()}
        shown_values = list(scaled.values())
        limits = np.nanmin(shown_values, initial=0), np.nanmax(shown_values, initial=0)
        margin = 0.05 * (limits[1] - limits[0])
        for j, ax in enumerate(self.axes_[0]):
            # One scale for all rows, so that their bars can be compared.
            ax.set_xlim(limits[0] - margin, limits[1] + margin)
            for i, (name, rows) in enumerate(scaled.items()):
                shift = (i - (len(pictures) - 1) / 2) * thickness
                bar = {"height": thickness, "color": _COLOURS[name], "label": name}
                ax.barh(places + shift, rows[j], **bar)
            if missing.any():
                (gone,) = missing[j, shown].nonzero()
                cross = {"color": NOT_OBSERVED, "label": "not observed"}
                ax.plot(np.zeros(len(gone)), gone, "x", **cross)
            ax.axvline(0, color="0.6", linewidth=0.6, zorder=0)
            ax.set_title(f"row {self._rows()[j]}", fontsize="medium")
            strip(ax)
        ax.set_yticks(places, names[shown], fontsize="small")
        ax.set_ylim(len(shown) - 0.4, -0.6)
        self.axes_[0, 0].set_xlabel(DEVIATIONS, fontsize="small", loc="left")
        handles = ax.get_legend_handles_labels()
        area.legend(*handles, loc="outside upper center", ncols=4, frameon=False)

    def frame(self) -> pandas.DataFrame:
        """Return the data of the display as a table.

        Returns
        -------
        frame : pandas.DataFrame
            A line for each value, with the columns `row`, its place in the data;
            `picture`, which is "original", "given" (with `X_clean`), "restored" or
            "code"; `name`, of the feature, or the number of the component; and `value`.
        """
        import pandas as pd

        parts = {
            name: (self._names(rows.shape[1]), rows)
            for name, rows in self._pictures().items()
        }
        components = np.arange(self.codes.shape[1]).astype(object)
        parts["code"] = components, self.codes
        tables = [
            table(
                {
                    "row": self._rows()[:, None],
                    "picture": np.array(picture, dtype=object),
                    "name": names,
                    "value": values,
                }
            )
            for picture, (names, values) in parts.items()
        ]
        return pd.concat(tables, ignore_index=True)

    def _pictures(self):
        """Return the rows of data to draw, by what they are."""
        if self.X_clean is None:
            return {"original": self.X, "restored": self.X_restored}
        return {"original": self.X_clean, "given": self.X, "restored": self.X_restored}

    def _rows(self):
        return np.arange(len(self.X)) if self.rows is None else np.asarray(self.rows)
