"""The image sets of the paper, from files that you have."""

import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

_IMAGE_SHAPES = {
    "mnist": (28, 28),
    "fashion_mnist": (28, 28),
    "svhn": (32, 32, 3),
    "celeba64": (64, 64, 3),
}


def load_images(name, *, data_home=None):
    """Load a set of images, their pixels in [0, 1].

    The images are not part of this package. A set is one file, `<name>.npz`, of arrays
    `X_train` and `X_test` of uint8, an image a row in the order height, width, channel,
    and, except for CelebA, integer labels `y_train` and `y_test`.

    Parameters
    ----------
    name : {"mnist", "fashion_mnist", "svhn", "celeba64"}
        The set.

    data_home : path-like, default=None
        Folder of the files. None: the environment variable `SPARSEGEN_DATA` tells.

    Returns
    -------
    images : :class:`~sklearn.utils.Bunch`
        `X_train` and `X_test`, float32 in [0, 1], of shape (n_samples, n_pixels);
        `image_shape`; and the other arrays of the file as they are.

    Raises
    ------
    ValueError
        If there is no such set.

    FileNotFoundError
        If the file is not there.
    """
    if name not in _IMAGE_SHAPES:
        raise ValueError(f"name must be one of {sorted(_IMAGE_SHAPES)}, got {name!r}.")
    data_home = data_home or os.environ.get("SPARSEGEN_DATA")
    if data_home is None:
        raise FileNotFoundError(
            "Pass data_home, or set the environment variable SPARSEGEN_DATA, to the "
            f"folder that holds {name}.npz."
        )
    with np.load(Path(data_home) / f"{name}.npz", allow_pickle=False) as file:
        images = Bunch(**file, image_shape=_IMAGE_SHAPES[name])
    for key in ("X_train", "X_test"):
        images[key] = images[key].astype(np.float32)
        images[key] /= 255
    return images
