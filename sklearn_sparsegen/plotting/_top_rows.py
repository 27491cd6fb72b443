"""TopRowsDisplay: the rows of data in which a component has the largest codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._utils.docs import describe_like
from .._utils.parameters import check_count
from .._utils.types import ImageShape, Matrix
from ._shared import (
    DEVIATIONS,
    RowDisplay,
    as_rows,
    canvas,
    choose,
    draw_bars,
    grid_shape,
    hide,
    image_size,
    infer,
    row_settings,
    share_active,
    strip,
    table,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_MAX_BARS = 6  # features of a table that are drawn for a component


@describe_like(RowDisplay)
@dataclass(kw_only=True, eq=False, repr=False)
class TopRowsDisplay(RowDisplay):
    """The rows of data with the largest codes of a component.

    What these rows have in common tells what the component stands for. Rows are sorted
    by the absolute value of the code, the largest first; titles have the code with its
    sign. :meth:`from_estimator` makes the display.

    Each component has a row of images. Of a table, bars show the mean of the rows, and
    points the rows, for the six features whose mean is farthest from that of all data,
    in standard deviations. A row counts there with the sign of its code, so that rows
    at both ends of a component do not cancel. Rows in which the code is zero are not
    drawn.

    Parameters
    ----------
    components : ndarray of shape (n_shown,)
        Indices of the components.

    rows : ndarray of shape (n_shown, n_rows)
        Places of the rows in the data.

    codes : ndarray of shape (n_shown, n_rows)
        Codes of the component in these rows.

    X : ndarray of shape (n_shown, n_rows, n_features)
        The rows.

    Attributes
    ----------
    axes_ : ndarray of Axes
        Of images, the shape is (n_shown, n_rows). A table has one axes for each
        component, in rows and columns.

    figure_ : Figure
        The figure that holds them.

    See Also
    --------
    ComponentDisplay : What each component changes on its own.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> from sklearn_sparsegen.plotting import TopRowsDisplay
    >>> X = load_digits().data[:100] / 16
    >>> encoder = SparseGeneratorEncoder(10, alpha=1.0, tol=None, max_iter=5).fit(X)
    >>> display = TopRowsDisplay.from_estimator(
    ...     encoder, X, components=3, n_rows=4, image_shape=(8, 8)
    ... )
    >>> display.rows.shape
    (3, 4)
    """

    components: NDArray[Any]
    rows: NDArray[Any]
    codes: NDArray[Any]
    X: NDArray[Any]

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Matrix,
        *,
        components: int | ArrayLike = 5,
        n_rows: int = 8,
        threshold: float = 0.2,
        image_shape: ImageShape | None = None,
        feature_names: ArrayLike | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Find the rows with the largest codes, and draw.

        Parameters
        ----------
        estimator : fitted estimator
            Anything with `transform`.

        X : {array-like, sparse array} of shape (n_samples, n_features)
            Data among which to search.

        components : int or array-like of int, default=5
            Largest number of components to show, those active in most rows; or the
            indices of those to show.

        n_rows : int, default=8
            Largest number of rows for each component.

        threshold : float, default=0.2
            A code is active if its absolute value is above this; 0.2 is the paper's.

        image_shape : tuple of int, default=None
            Shape of an image, (height, width) or (height, width, channels) with 1 or 3
            channels. None draws features of a table.

        feature_names : array-like of str, default=None
            Names of the features of a table. None takes `feature_names_in_` of the
            estimator, or else x0, x1, and so on.

        ax : matplotlib Axes, default=None
            Where to draw; its area is divided. None makes a new figure.

        Returns
        -------
        display : TopRowsDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If no component or one of those given is never active, or if `image_shape`
            does not match the features.
        """
        check_count(n_rows, "n_rows")
        data = as_rows(X)
        settings = row_settings(estimator, data, image_shape, feature_names)
        Z = infer(estimator, X)
        chosen = choose(components, share_active(Z, threshold))
        codes = Z[:, chosen].T
        rows = np.argsort(-abs(codes), axis=1, kind="stable")[:, :n_rows]
        return cls(
            components=chosen,
            rows=rows,
            codes=np.take_along_axis(codes, rows, axis=1),
            X=data[rows],
            **settings,
        ).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; its area is divided. None makes a new figure.

        Returns
        -------
        display : TopRowsDisplay
            This display.
        """
        if self.image_shape is None:
            self._plot_table(ax)
        else:
            self._plot_images(ax)
        return self

    def frame(self) -> pandas.DataFrame:
        """Return the data of the display as a table.

        Returns
        -------
        frame : pandas.DataFrame
            A line for each feature of each row of each component, with the columns
            `component`, `row`, the place in the data, `code`, `feature` and `value`.
        """
        return table(
            {
                "component": np.asarray(self.components)[:, None, None],
                "row": np.asarray(self.rows)[:, :, None],
                "code": np.asarray(self.codes)[:, :, None],
                "feature": self._names(self.X.shape[2]),
                "value": self.X,
            }
        )

    def _plot_images(self, ax):
        shape = n, n_rows = self.rows.shape
        width, height = image_size(self.image_shape)
        size = n_rows * width + 0.6, n * (height + 0.22) + 0.5
        area, self.figure_ = canvas(ax, size)
        self.axes_ = area.subplots(*shape, squeeze=False)
        for axes, j, codes, images in zip(
            self.axes_, self.components, self.codes, self.X, strict=True
        ):
            axes[0].set_ylabel(f"component {j}", fontsize="small")
            for ax, code, image in zip(axes, codes, images, strict=True):
                if code == 0:
                    ax.set_axis_off()
                    continue
                self._draw_image(ax, image)
                ax.set_title(f"{code:.2f}", fontsize="small")
        area.suptitle("Rows with the largest code of a component")

    def _plot_table(self, ax):
        n = len(self.components)
        names = self._names(self.X.shape[2])
        n_rows, n_columns = grid_shape(n, 3)
        area, self.figure_ = canvas(ax, (3.6 * n_columns + 0.2, 1.9 * n_rows + 0.8))
        self.axes_ = area.subplots(n_rows, n_columns, squeeze=False)
        scaled = self._scaled(self.X) * np.sign(self.codes)[:, :, None]
        for ax, j, rows, codes in zip(
            self.axes_.flat, self.components, scaled, self.codes, strict=False
        ):
            rows = rows[codes != 0]
            mean = np.ma.masked_invalid(rows).mean(axis=0).filled(0)
            shown = np.argsort(-np.abs(mean), kind="stable")[:_MAX_BARS]
            draw_bars(ax, mean[shown], names[shown], color="C0", alpha=0.5)
            places = np.tile(np.arange(len(shown)), (len(rows), 1))
            ax.scatter(rows[:, shown], places, s=8, color="C0", zorder=3)
            ax.set_title(f"component {j}", fontsize="small")
            strip(ax)
        hide(self.axes_.flat[n:])
        area.suptitle(
            "Rows with the largest code of a component (points) and their mean"
        )
        area.supxlabel(f"{DEVIATIONS}, times the sign of the code", fontsize="small")
