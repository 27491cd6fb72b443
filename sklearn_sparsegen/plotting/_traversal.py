"""TraversalDisplay: one component of a code changes, and the others stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._utils.docs import describe_like
from .._utils.parameters import check_count
from .._utils.types import ImageShape, Matrix
from ._display import RowDisplay
from ._drawing import DEVIATIONS, clipped, grid, strip, table
from ._input import as_rows, choose, generate, infer, row_settings

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_MAX_LINES = 5  # features of a table that are drawn for a component
_TITLE = "Row {}: one component changes, others stay"


@describe_like(RowDisplay)
@dataclass(kw_only=True, eq=False, repr=False)
class TraversalDisplay(RowDisplay):
    """What the generator makes of a code of which one component changes.

    For one row of data, a component of its code takes values from zero to the largest
    that it has in the data, while the others stay as they are, as in Figure 4 of the
    paper. For codes with signs, the values are from minus the largest absolute value to
    plus this value. :meth:`from_estimator` makes the display.

    Each component has a row of images, the first of which is restored from the code
    itself. Of a table, lines show the five features that change most, in standard
    deviations from their means, which end at 10; a dashed line is at the code itself.

    Parameters
    ----------
    components : ndarray of shape (n_shown,)
        Indices of the components.

    values : ndarray of shape (n_shown, n_values)
        The values that each component takes.

    X_generated : ndarray of shape (n_shown, n_values, n_features)
        What the generator makes, in units of X.

    code : ndarray of shape (n_components,)
        The code of the row.

    x_restored : ndarray of shape (n_features,)
        What the generator makes of the code itself.

    row : int, default=0
        Place of the row in the data, for the title.

    Attributes
    ----------
    axes_ : ndarray of Axes
        Of images, the shape is (n_shown, 1 + n_values). A table has one axes for each
        component, in rows and columns.

    See Also
    --------
    ComponentDisplay : What each component changes on its own.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> from sklearn_sparsegen.plotting import TraversalDisplay
    >>> X = load_digits().data[:100] / 16
    >>> encoder = SparseGeneratorEncoder(10, alpha=1.0, tol=None, max_iter=5).fit(X)
    >>> display = TraversalDisplay.from_estimator(
    ...     encoder, X, components=3, image_shape=(8, 8)
    ... )
    >>> display.X_generated.shape
    (3, 7, 64)
    """

    components: NDArray[Any]
    values: NDArray[Any]
    X_generated: NDArray[Any]
    code: NDArray[Any]
    x_restored: NDArray[Any]
    row: int = 0

    @classmethod
    @describe_like(RowDisplay, RowDisplay.plot)
    def from_estimator(
        cls,
        estimator: Any,
        X: Matrix,
        *,
        row: int = 0,
        components: int | ArrayLike = 5,
        n_values: int = 7,
        image_shape: ImageShape | None = None,
        feature_names: ArrayLike | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Infer codes, change components of one of them, and draw.

        Parameters
        ----------
        X : {array-like, sparse array} of shape (n_samples, n_features)
            Data, whose codes tell how large each component becomes, and whether codes
            have signs.

        row : int, default=0
            Place in X of the row whose code is changed.

        components : int or array-like of int, default=5
            Largest number of components to change, those whose codes in this row are
            largest in absolute value; or the indices of those to change.

        n_values : int, default=7
            Number of values that each component takes.

        Raises
        ------
        ValueError
            If the row has no active code, a component is zero in all rows of X, there
            is no such row, or `image_shape` does not match the features.
        """
        check_count(n_values, "n_values")
        rows = as_rows(X)
        settings = row_settings(estimator, rows, image_shape, feature_names)
        if not 0 <= row < len(rows):
            raise ValueError(f"row must be in 0..{len(rows) - 1}, got {row}.")
        Z = infer(estimator, X)
        code, largest = Z[row], abs(Z).max(axis=0)
        is_count = np.ndim(components) == 0
        if is_count and not code.any():
            raise ValueError(
                f"Row {row} of X has no active code; choose another row, or give the "
                "indices of components."
            )
        chosen = choose(components, abs(code) if is_count else largest)
        start = -1.0 if (Z < 0).any() else 0.0
        values = largest[chosen, None] * np.linspace(start, 1, n_values, dtype=Z.dtype)
        codes = np.tile(code, (len(chosen), n_values, 1))
        codes[np.arange(len(chosen)), :, chosen] = values
        x_restored, *generated = generate(
            estimator, np.vstack([code, *codes.reshape(-1, len(code))])
        )
        return cls(
            components=chosen,
            values=values,
            X_generated=np.reshape(generated, (*values.shape, -1)),
            code=code,
            x_restored=x_restored,
            row=row,
            **settings,
        ).plot(ax)

    def frame(self) -> pandas.DataFrame:
        """Return the data of the display as a table.

        Returns
        -------
        frame : pandas.DataFrame
            A line for each feature at each value of each component, with the columns
            `component`, `code`, `feature` and `value`, in units of X.
        """
        return table(
            component=np.asarray(self.components)[:, None, None],
            code=np.asarray(self.values)[:, :, None],
            feature=self._names(len(self.x_restored)),
            value=self.X_generated,
        )

    def _draw_images(self, area):
        n, n_values = self.values.shape
        width, height = self._image_size(1.1)
        self.axes_, size = grid(
            area,
            n * (n_values + 1),
            n_values + 1,
            size=(width, height + 0.22),
            margins=(0.9, 0.5),
        )
        self._draw_grid(
            self.axes_,
            labels=[f"component {j}" for j in self.components],
            images=[[self.x_restored, *images] for images in self.X_generated],
            titles=[
                [f"inferred: {self.code[j]:.2f}", *(f"{value:.2f}" for value in values)]
                for j, values in zip(self.components, self.values, strict=True)
            ],
        )
        area.suptitle(_TITLE.format(self.row))
        return size

    def _draw_table(self, area):
        names = self._names(len(self.x_restored))
        n = len(self.components)
        self.axes_, size = grid(area, n, 3, size=(4.6, 2.5), margins=(0.4, 0.6))
        lines = self._scaled(self.X_generated)
        for ax, j, values, features in zip(
            self.axes_.flat, self.components, self.values, lines, strict=False
        ):
            order = np.argsort(-np.ptp(features, axis=0), kind="stable")
            for feature in order[:_MAX_LINES]:
                line = clipped(features[:, feature])
                ax.plot(values, line, label=names[feature])
            ax.axvline(self.code[j], color="0.5", linestyle="--", linewidth=0.8)
            ax.set_xlabel(f"code of component {j}", fontsize="small")
            ax.legend(
                loc="center left",
                bbox_to_anchor=(1, 0.5),
                fontsize="small",
                frameon=False,
                handlelength=1,
            )
            strip(ax)
        area.supylabel(DEVIATIONS, fontsize="small")
        area.suptitle(_TITLE.format(self.row) + " (dashed: inferred)")
        return size
