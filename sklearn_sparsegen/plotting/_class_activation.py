"""ClassActivationDisplay: which classes use which components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._data.arrays import as_numpy
from .._utils.docs import describe_like
from .._utils.types import Matrix
from ..metrics import class_activation, class_information
from ._display import Display
from ._drawing import table
from ._input import infer, share_active

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


@dataclass(kw_only=True, eq=False, repr=False)
class ClassActivationDisplay(Display):
    """Heat map of how often each component is active in each class.

    This is the picture of the paper's Figures 5 and 10. A component that is active in
    one class, or in a few that look alike, tells much about the class; the title has
    the mean of the mutual information of the class and the activity of a component.
    :meth:`from_estimator` makes the display.

    Parameters
    ----------
    activation : ndarray of shape (n_classes, n_components)
        Share of the rows of a class in which a component is active.

    information : ndarray of shape (n_components,)
        Mutual information, in nats, of the class and whether a component is active.

    classes : ndarray of shape (n_classes,)
        Labels of the classes.

    order : ndarray of shape (n_components,), default=None
        Components in the order in which they are drawn. None: 0, 1, and so on.

    Attributes
    ----------
    ax_ : Axes
        The axes of the heat map.

    figure_ : Figure
        The figure that holds it.

    See Also
    --------
    ComponentDisplay : What each component changes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> from sklearn_sparsegen.plotting import ClassActivationDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> encoder = SparseGeneratorEncoder(10, alpha=1.0, tol=None, max_iter=1).fit(X)
    >>> ClassActivationDisplay.from_estimator(encoder, X, y).activation.shape
    (10, 10)
    """

    activation: NDArray[Any]
    information: NDArray[Any]
    classes: NDArray[Any]
    order: NDArray[np.intp] | None = None

    _has_one_axes = True

    @classmethod
    @describe_like(Display.plot)
    def from_estimator(
        cls,
        estimator: Any,
        X: Matrix,
        y: ArrayLike,
        *,
        threshold: float = 0.2,
        sort: bool = True,
        ax: Axes | None = None,
    ) -> Self:
        """Infer codes, count how often components are active, and draw.

        Parameters
        ----------
        estimator : fitted estimator
            Anything with `transform`.

        X : {array-like, sparse array} of shape (n_samples, n_features)
            Data.

        y : array-like of shape (n_samples,)
            Class of each row.

        threshold : float, default=0.2
            A code is active if its absolute value is above this; 0.2 is the paper's.

        sort : bool, default=True
            Whether to sort the components by the class in which they are active most
            often, and within a class by how often. False keeps their order.

        Raises
        ------
        ValueError
            If no component is active, or y has another length than X.
        """
        Z = infer(estimator, X)
        activation = class_activation(Z, y, threshold=threshold)
        share_active(Z, threshold)  # raises an error if no component is active
        largest, order = activation.max(axis=0), np.arange(Z.shape[1])
        if sort:
            # Components that are never active come last.
            order = np.lexsort([-largest, activation.argmax(axis=0), largest == 0])
        return cls(
            activation=activation,
            information=class_information(Z, y, threshold=threshold),
            classes=np.unique(as_numpy(y)),
            order=order,
        ).plot(ax)

    def _draw(self, ax):
        self.ax_ = ax
        n_classes, n = self.activation.shape
        order = np.arange(n) if self.order is None else np.asarray(self.order)
        image = ax.imshow(
            self.activation[:, order], aspect="auto", cmap="Blues", vmin=0, vmax=1
        )
        bar = ax.figure.colorbar(image, ax=ax, pad=0.01)
        bar.set_label("share of rows", fontsize="small")
        bar.ax.tick_params(labelsize="small")
        ax.set_yticks(range(n_classes), self.classes, fontsize="small")
        ax.set_ylabel("class")
        is_sorted = (order != np.arange(n)).any()
        ax.set_xlabel(
            "component" + ", sorted by the class that uses it most" * bool(is_sorted)
        )
        if n <= 40:
            ax.set_xticks(range(n), order, fontsize="x-small")
        elif is_sorted:
            ax.set_xticks([])
        ax.set_title(
            "How often each class uses each component\nmean information about the "
            f"class: {np.mean(self.information):.3f} nats per component",
            fontsize="medium",
        )
        return 3 + min(max(0.25 * n, 3), 8), 1.6 + 0.28 * n_classes

    def frame(self) -> pandas.DataFrame:
        """Return the data of the display as a table.

        Returns
        -------
        frame : pandas.DataFrame
            A line for each class and component, in the order of the components, with
            the columns `class`, `component`, `share` of rows in which it is active, and
            `information` of the component.
        """
        return table(
            **{"class": np.asarray(self.classes)[:, None]},
            component=np.arange(self.activation.shape[1]),
            share=self.activation,
            information=self.information,
        )
