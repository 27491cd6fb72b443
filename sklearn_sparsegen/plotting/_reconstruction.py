"""ReconstructionDisplay: rows of data, what is restored of them, and their codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._utils.compat import safe_indexing
from .._utils.docs import describe_like
from .._utils.types import ImageShape, Matrix
from ..metrics import active_codes
from ._display import RowDisplay
from ._drawing import DEVIATIONS, NOT_OBSERVED, clipped, name_features, strip, table
from ._input import as_rows, choose_rows, generate, infer, row_settings

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

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_pictures + 1, n_samples)
        Axes of the pictures of data, each of which is a row of axes, and of the codes.
        The bars of a table share one row of axes.

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
    @describe_like(RowDisplay, RowDisplay.plot)
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
        codes = infer(estimator, safe_indexing(X, rows))
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
                row=self._rows()[:, None],
                picture=np.array(picture, dtype=object),
                name=names,
                value=values,
            )
            for picture, (names, values) in parts.items()
        ]
        return pd.concat(tables, ignore_index=True)

    def _draw(self, area):
        size = super()._draw(area)
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
        return size

    def _draw_images(self, area):
        pictures, n = self._pictures(), len(self.X)
        width, height = self._image_size(1.1)
        heights = [*[height] * len(pictures), 0.9]
        self._divide(area, heights)
        note = "\nmagenta: not\nobserved"
        self._draw_grid(
            self.axes_[:-1],
            labels=[
                name + note * bool(np.isnan(rows).any())
                for name, rows in pictures.items()
            ],
            images=pictures.values(),
            titles=[[""] * n] * len(pictures),
        )
        return width * n + 0.6, sum(heights) + 0.3

    def _draw_table(self, area):
        pictures, n = self._pictures(), len(self.X)
        names = self._names(self.X.shape[1])
        scaled = self._scaled(np.array(list(pictures.values())))
        size = np.nan_to_num(np.abs(scaled)).max(axis=(0, 1))
        shown = np.sort(np.argsort(-size, kind="stable")[:_MAX_BARS])
        scaled, names = clipped(scaled[:, :, shown]), names[shown]
        heights = [0.22 * len(shown) + 0.6, 0.9]
        self._divide(area, heights)
        missing = np.isnan(self.X)
        thickness = 0.8 / len(pictures)
        limits = np.nanmin(scaled, initial=0), np.nanmax(scaled, initial=0)
        margin = 0.05 * (limits[1] - limits[0])
        for j, ax in enumerate(self.axes_[0]):
            # One scale for all rows, so that their bars can be compared.
            ax.set_xlim(limits[0] - margin, limits[1] + margin)
            for i, (name, rows) in enumerate(zip(pictures, scaled, strict=True)):
                shift = (i - (len(pictures) - 1) / 2) * thickness
                bar = {"height": thickness, "color": _COLOURS[name], "label": name}
                ax.barh(np.arange(len(shown)) + shift, rows[j], **bar)
            if missing.any():
                (gone,) = missing[j, shown].nonzero()
                cross = {"color": NOT_OBSERVED, "label": "not observed"}
                ax.plot(np.zeros(len(gone)), gone, "x", **cross)
            name_features(ax, names)
            ax.set_title(f"row {self._rows()[j]}", fontsize="medium")
        self.axes_[0, 0].set_xlabel(DEVIATIONS, fontsize="small", loc="left")
        handles = ax.get_legend_handles_labels()
        area.legend(*handles, loc="outside upper center", ncols=4, frameon=False)
        width = 1.5 * n + 0.08 * max(len(str(name)) for name in names)
        return width, sum(heights) + 0.6

    def _divide(self, area, heights):
        """Make a row of axes of each height, with an axes for each row of data."""
        self.axes_ = area.subplots(
            len(heights),
            len(self.X),
            squeeze=False,
            sharey="row",
            gridspec_kw={"height_ratios": heights},
        )

    def _pictures(self):
        """Return the rows of data to draw, by what they are."""
        if self.X_clean is None:
            return {"original": self.X, "restored": self.X_restored}
        return {"original": self.X_clean, "given": self.X, "restored": self.X_restored}

    def _rows(self):
        return np.arange(len(self.X)) if self.rows is None else np.asarray(self.rows)
