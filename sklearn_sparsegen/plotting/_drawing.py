"""How displays draw: axes, images, features of a table, and data frames."""

import math

import numpy as np

NOT_OBSERVED = "#e60ab4"  # a colour that neither grey nor most colour images have
DEVIATIONS = "standard deviations from the mean"
_LARGEST_DEVIATION = 10.0


def divided(ax):
    """Return a part of the figure of an Axes, in place of the Axes, which is hidden."""
    from matplotlib.gridspec import GridSpec

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
    return figure.add_subfigure(place)


def grid(area, n, n_columns, size, margins):
    """Make a grid of axes with at most so many columns, of which n are shown.

    Return the axes and the size that suits a figure of them, from the size of one.
    """
    n_rows = math.ceil(n / n_columns)
    n_columns = math.ceil(n / n_rows)
    axes = area.subplots(n_rows, n_columns, squeeze=False)
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    return axes, (n_columns * size[0] + margins[0], n_rows * size[1] + margins[1])


def draw_image(ax, row, image_shape, low, high, cmap="gray"):
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


def clipped(deviations):
    """Return standard deviations of features such that they can be drawn together.

    A feature that hardly varies in the data has a small standard deviation. By it, what
    a generator makes may be so far from the mean that nothing else could be seen.
    """
    return np.clip(deviations, -_LARGEST_DEVIATION, _LARGEST_DEVIATION)


def name_features(ax, names):
    """Place features on the y axis, the first one on top, for bars that start at 0."""
    ax.axvline(0, color="0.6", linewidth=0.6, zorder=0)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_ylim(len(names) - 0.4, -0.6)
    strip(ax)


def strip(ax):
    """Remove the frame of an axes, save the lines of its scales."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize="small")


def table(**columns):
    """Return a data frame of arrays that are broadcast to one shape and made flat."""
    import pandas as pd

    values = np.broadcast_arrays(*columns.values())
    return pd.DataFrame(
        {name: array.ravel() for name, array in zip(columns, values, strict=True)}
    )
