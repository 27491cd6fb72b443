"""Bases of the displays: `plot`, and how rows of data are drawn.

A row of data is an image or a row of a table. What is drawn of it is
(row - offset) / unit: for images with their least value and their range, and for tables
with the mean and the standard deviation of each feature, because features have units of
their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._utils.types import ImageShape
from ._drawing import divided, draw_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Display(ABC):
    """Base of all displays."""

    _has_one_axes = False  # named `ax_`; several are named `axes_`

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the data of the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. A display that has `ax_` adds to what is there, and one that
            has `axes_` divides the area. None makes a new figure.

        Returns
        -------
        display : Self
            The display, drawn.
        """
        import matplotlib.pyplot as plt

        figure: Any = plt.figure(layout="constrained") if ax is None else ax.figure
        if self._has_one_axes:
            size = self._draw(figure.subplots() if ax is None else ax)
        else:
            size = self._draw(figure if ax is None else divided(ax))
        if ax is None:
            figure.set_size_inches(size)
        self.figure_ = figure
        return self

    @abstractmethod
    def _draw(self, area):
        """Draw into an area, and return the size in inches that suits a new figure.

        The area is an Axes if the display has one axes, and else a figure or a part.
        """


@dataclass(kw_only=True, eq=False, repr=False)
class RowDisplay(Display):
    """Base of the displays that draw rows of data.

    What `from_estimator` of several displays takes is described here as well.

    Parameters
    ----------
    estimator : fitted estimator
        Anything with `transform` and `inverse_transform`.

    threshold : float, default=0.2
        A code is active if its absolute value is above this; 0.2 is the paper's.

    image_shape : tuple of int, default=None
        Shape of an image, (height, width) or (height, width, channels) with 1 or 3
        channels. None: the rows are those of a table.

    feature_names : array-like of str, default=None
        Names of the features of a table. None: x0, x1, and so on, or, where there is an
        estimator that has them, its `feature_names_in_`.

    offset : float or ndarray of shape (n_features,), default=0.0
        What is subtracted from rows before they are drawn: the least value of images,
        or the means of features.

    unit : float or ndarray of shape (n_features,), default=1.0
        By what rows are divided then: the range of images, or the standard deviations
        of features.

    Attributes
    ----------
    figure_ : Figure
        The figure that holds the axes.
    """

    image_shape: ImageShape | None = None
    feature_names: ArrayLike | None = None
    offset: float | NDArray[Any] = 0.0
    unit: float | NDArray[Any] = 1.0

    def _draw(self, area):
        if self.image_shape is None:
            return self._draw_table(area)
        return self._draw_images(area)

    def _scaled(self, rows):
        return (rows - self.offset) / self.unit

    def _names(self, n_features):
        if self.feature_names is None:
            return np.array([f"x{i}" for i in range(n_features)], dtype=object)
        return np.asarray(self.feature_names, dtype=object)

    def _image_size(self, width=1.0):
        """Return width and height in inches of an image; long ones are larger."""
        height, columns = self.image_shape[:2]
        return width * np.clip([columns / height, height / columns], 1, 3)

    def _draw_grid(self, axes, labels, images, titles):
        """Draw rows of images, each row with a label, and images with titles.

        An image whose title is None is left out.
        """
        low, high = self.offset, self.offset + self.unit
        for row, label, *contents in zip(axes, labels, images, titles, strict=True):
            row[0].set_ylabel(label, fontsize="small")
            for ax, image, title in zip(row, *contents, strict=True):
                if title is None:
                    ax.set_axis_off()
                else:
                    draw_image(ax, image, self.image_shape, low, high)
                    ax.set_title(title, fontsize="small")
