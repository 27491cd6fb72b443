"""ComponentDisplay: what each component of a code adds to the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._utils.docs import describe_like
from .._utils.types import ImageShape, Matrix
from ._display import RowDisplay
from ._drawing import clipped, draw_image, grid, name_features, table
from ._input import as_rows, choose, generate, infer, row_settings, share_active

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_MAX_BARS = 6  # features of a table that are drawn for a component
_TITLE = "Components: what each changes (number: share of rows that use it)"


@describe_like(RowDisplay)
@dataclass(kw_only=True, eq=False, repr=False)
class ComponentDisplay(RowDisplay):
    r"""What each component changes in the data that a generator makes.

    A component j is shown as a difference between two outputs of the generator G, in
    which all other components are zero,

    .. math:: G(s_j e_j) - G(0) \qquad \text{or, for codes with signs,} \qquad
              G(s_j e_j) - G(-s_j e_j),

    where :math:`s_j` is a typical size: the root of the mean square of the active codes
    of the component. For a linear generator this is the atom times :math:`s_j`, or
    twice that. The components are sorted by their use, the share of rows in which they
    are active, which is in the titles. :meth:`from_estimator` makes the display.

    In grey images red adds and blue takes away, on one scale for all components. In
    colour images mid-grey is no change. Of a table, bars show the six features that
    change most, in standard deviations of the features, which end at 10.

    Parameters
    ----------
    components : ndarray of shape (n_shown,)
        Indices of the components.

    changes : ndarray of shape (n_shown, n_features)
        The differences, in units of X.

    sizes : ndarray of shape (n_shown,)
        The typical sizes of the codes.

    shares : ndarray of shape (n_shown,)
        Shares of the rows in which the components are active.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_rows, n_columns)
        The axes of the components; some of the last ones may be empty.

    See Also
    --------
    TraversalDisplay : What single components change in one row.
    TopRowsDisplay : The rows with the largest codes of a component.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> from sklearn_sparsegen.plotting import ComponentDisplay
    >>> X = load_digits().data[:100] / 16
    >>> encoder = SparseGeneratorEncoder(10, alpha=1.0, tol=None, max_iter=5).fit(X)
    >>> display = ComponentDisplay.from_estimator(
    ...     encoder, X, components=[0, 3], image_shape=(8, 8)
    ... )
    >>> display.changes.shape
    (2, 64)
    """

    components: NDArray[Any]
    changes: NDArray[Any]
    sizes: NDArray[Any]
    shares: NDArray[Any]

    @classmethod
    @describe_like(RowDisplay, RowDisplay.plot)
    def from_estimator(
        cls,
        estimator: Any,
        X: Matrix,
        *,
        components: int | ArrayLike = 20,
        threshold: float = 0.2,
        image_shape: ImageShape | None = None,
        feature_names: ArrayLike | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Compute what components change, and draw.

        Parameters
        ----------
        X : {array-like, sparse array} of shape (n_samples, n_features)
            Data, whose codes tell how often and how strongly components are active. If
            any code is negative, codes have signs.

        components : int or array-like of int, default=20
            Largest number of components to show, those active in most rows; or the
            indices of those to show.

        Raises
        ------
        ValueError
            If no component or one of those given is never active, or if `image_shape`
            does not match the features.
        """
        rows = as_rows(X)
        settings = row_settings(estimator, rows, image_shape, feature_names)
        Z = infer(estimator, X)
        shares = share_active(Z, threshold)
        chosen = choose(components, shares)
        active = np.where(abs(Z) > threshold, Z, 0)[:, chosen]
        sizes = np.sqrt((active**2).mean(axis=0) / shares[chosen]).astype(Z.dtype)
        alone = np.zeros((len(chosen), Z.shape[1]), Z.dtype)
        alone[np.arange(len(chosen)), chosen] = sizes
        # Negative codes are possible only where some are inferred.
        opposite = -alone if (Z < 0).any() else np.zeros_like(alone)
        return cls(
            components=chosen,
            changes=generate(estimator, alone) - generate(estimator, opposite),
            sizes=sizes,
            shares=shares[chosen],
            **settings,
        ).plot(ax)

    def frame(self) -> pandas.DataFrame:
        """Return the data of the display as a table.

        Returns
        -------
        frame : pandas.DataFrame
            A line for each feature of each component, with the columns `component`,
            `share` of rows in which it is active, `size` of its codes, `feature`, and
            `change`, in units of X.
        """
        return table(
            component=np.asarray(self.components)[:, None],
            share=np.asarray(self.shares)[:, None],
            size=np.asarray(self.sizes)[:, None],
            feature=self._names(self.changes.shape[1]),
            change=self.changes,
        )

    def _draw_images(self, area):
        size = self._divide(area, 10, *self._image_size())
        largest = np.abs(self.changes).max() or 1.0
        limits = -largest, largest
        for ax, change in zip(self.axes_.flat, self.changes, strict=False):
            shown = draw_image(ax, change, self.image_shape, *limits, cmap="RdBu_r")
        if len(self.image_shape) == 2 or self.image_shape[2] == 1:
            bar = area.colorbar(shown, ax=self.axes_, shrink=0.8, pad=0.01)
            bar.set_label("change", fontsize="small")
            bar.ax.tick_params(labelsize="small")
        return size

    def _draw_table(self, area):
        size = self._divide(area, 4, 3.2, 1.6)
        names = self._names(self.changes.shape[1])
        scaled = self.changes / self.unit
        # One scale for all components, so that their bars can be compared.
        limit = 1.05 * np.abs(clipped(scaled)).max() or 1.0
        for ax, change in zip(self.axes_.flat, scaled, strict=False):
            ax.set_xlim(-limit, limit)
            shown = np.argsort(-np.abs(change), kind="stable")[:_MAX_BARS]
            colours = np.where(change[shown] > 0, "C3", "C0")
            ax.barh(range(len(shown)), clipped(change[shown]), color=colours)
            name_features(ax, names[shown])
        area.supxlabel("change in standard deviations", fontsize="small")
        return size

    def _divide(self, area, n_columns, width, height):
        """Make an axes of this size, with a title, for each component."""
        size, margins = (width, height + 0.25), (0.8, 0.5)
        n = len(self.components)
        self.axes_, size = grid(area, n, n_columns, size, margins)
        for ax, j, share in zip(
            self.axes_.flat, self.components, self.shares, strict=False
        ):
            ax.set_title(f"{j}: {share:.0%}", fontsize="small")
        area.suptitle(_TITLE)
        return size
