"""TopRowsDisplay: the rows of data in which a component has the largest codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._utils.docs import describe_like
from .._utils.parameters import check_count
from .._utils.types import ImageShape, Matrix
from ._display import RowDisplay
from ._drawing import DEVIATIONS, grid, name_features, table
from ._input import as_rows, choose, infer, row_settings, share_active

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_MAX_BARS = 6  # features of a table that are drawn for a component
_TITLE = "Rows with the largest code of a component"


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
    @describe_like(RowDisplay, RowDisplay.plot)
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

    def frame(self) -> pandas.DataFrame:
        """Return the data of the display as a table.

        Returns
        -------
        frame : pandas.DataFrame
            A line for each feature of each row of each component, with the columns
            `component`, `row`, the place in the data, `code`, `feature` and `value`.
        """
        return table(
            component=np.asarray(self.components)[:, None, None],
            row=np.asarray(self.rows)[:, :, None],
            code=np.asarray(self.codes)[:, :, None],
            feature=self._names(self.X.shape[2]),
            value=self.X,
        )

    def _draw_images(self, area):
        width, height = self._image_size()
        self.axes_, size = grid(
            area,
            self.rows.size,
            self.rows.shape[1],
            size=(width, height + 0.22),
            margins=(0.6, 0.5),
        )
        self._draw_grid(
            self.axes_,
            labels=[f"component {j}" for j in self.components],
            images=self.X,
            titles=[[f"{z:.2f}" if z else None for z in row] for row in self.codes],
        )
        area.suptitle(_TITLE)
        return size

    def _draw_table(self, area):
        names = self._names(self.X.shape[2])
        n = len(self.components)
        self.axes_, size = grid(area, n, 3, size=(3.6, 1.9), margins=(0.2, 0.8))
        scaled = self._scaled(self.X) * np.sign(self.codes)[:, :, None]
        for ax, j, rows, codes in zip(
            self.axes_.flat, self.components, scaled, self.codes, strict=False
        ):
            rows = rows[codes != 0]
            mean = np.ma.masked_invalid(rows).mean(axis=0).filled(0)
            shown = np.argsort(-np.abs(mean), kind="stable")[:_MAX_BARS]
            places = np.arange(len(shown))
            ax.barh(places, mean[shown], color="C0", alpha=0.5)
            name_features(ax, names[shown])
            places = np.tile(places, (len(rows), 1))
            ax.scatter(rows[:, shown], places, s=8, color="C0", zorder=3)
            ax.set_title(f"component {j}", fontsize="small")
        area.suptitle(f"{_TITLE} (points) and their mean")
        area.supxlabel(f"{DEVIATIONS}, times the sign of the code", fontsize="small")
        return size
