"""Pictures of what an encoder does; they need matplotlib."""

import numpy as np


class ReconstructionDisplay:
    """Images, their reconstructions and their codes, with a column for each image.

    :meth:`from_estimator` makes it from an encoder.

    Parameters
    ----------
    images, reconstructions : ndarray of shape (n_images, height, width[, channels])
        Images, and what is reconstructed from their codes.

    codes : ndarray of shape (n_images, n_components)
        Codes of the images.

    Attributes
    ----------
    axes_, figure_ : ndarray of Axes of shape (3, n_images), Figure
        Rows of images, reconstructions and codes, and the figure that holds them.

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

    def __init__(self, *, images, reconstructions, codes):
        self.images = images
        self.reconstructions = reconstructions
        self.codes = codes

    @classmethod
    def from_estimator(cls, estimator, X, *, image_shape):
        """Infer the codes of images, reconstruct them, and plot.

        Parameters
        ----------
        estimator : fitted encoder
            Anything with `transform` and `inverse_transform`.

        X : array-like of shape (n_images, n_features)
            Images, one per row.

        image_shape : tuple of int
            Shape of an image, (height, width) or (height, width, channels).

        Returns
        -------
        display : ReconstructionDisplay
            The display, drawn.
        """
        codes = estimator.transform(X)
        images, reconstructions = (
            np.reshape(np.asarray(rows), (-1, *image_shape))
            for rows in (X, estimator.inverse_transform(codes))
        )
        codes = np.asarray(codes.toarray() if hasattr(codes, "toarray") else codes)
        display = cls(images=images, reconstructions=reconstructions, codes=codes)
        return display.plot()

    def plot(self, axes=None):
        """Draw the images, the reconstructions and the codes.

        Parameters
        ----------
        axes : ndarray of matplotlib Axes of shape (3, n_images), default=None
            Where to draw. None makes a new figure.

        Returns
        -------
        display : ReconstructionDisplay
            This display.
        """
        import matplotlib.pyplot as plt

        n_images = len(self.images)
        if axes is None:
            size = (1.2 * n_images + 0.6, 3.6)
            kwargs = {"sharey": "row", "squeeze": False, "layout": "constrained"}
            _, axes = plt.subplots(3, n_images, figsize=size, **kwargs)
        # The scale of grey and colour is that of the images, whatever their unit is.
        low, high = np.nanmin(self.images), np.nanmax(self.images)
        for column, image, reconstruction, code in zip(
            axes.T, self.images, self.reconstructions, self.codes, strict=True
        ):
            for ax, picture in zip(column, (image, reconstruction), strict=False):
                shown = np.clip((picture - low) / ((high - low) or 1), 0, 1)
                ax.imshow(shown, cmap="gray_r", vmin=0, vmax=1)
                ax.set(xticks=[], yticks=[])
            column[2].vlines(range(len(code)), 0, code, linewidth=1)
            column[2].axhline(0, color="0.7", linewidth=0.5)
            column[2].set(xticks=[])
        for ax, label in zip(
            axes[:, 0], ("data", "reconstruction", "code"), strict=True
        ):
            ax.set_ylabel(label)
        self.axes_ = axes
        self.figure_ = axes[0, 0].figure
        return self
