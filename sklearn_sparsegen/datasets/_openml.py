from http.client import HTTPException

import numpy as np
from sklearn.datasets import fetch_openml

# The name on OpenML, and the number of images of each class for training and testing.
OPENML_SETS = {
    "mnist": (
        "mnist_784",
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ),
    "fashion_mnist": ("Fashion-MNIST", [6000] * 10, [1000] * 10),
}


def fetch_from_openml(name, n_pixels, path, download_if_missing):
    """Download a set from OpenML, whose rows have the order of the original files."""
    title, train_counts, test_counts = OPENML_SETS[name]
    by_hand = (
        f"Put {path.name}, with arrays X_train, X_test, y_train and y_test of uint8, "
        f"into the folder {path.parent}"
    )
    call = f"load_images({name!r}, data_home={str(path.parent)!r})"
    if not download_if_missing:
        raise FileNotFoundError(
            f"{path} does not exist, and download_if_missing is False. {by_hand}, or "
            f"download it by {call}."
        )
    try:
        # This parser does not need pandas.
        openml = fetch_openml(title, version=1, as_frame=False, parser="liac-arff")
    except (OSError, ValueError, HTTPException) as error:
        raise FileNotFoundError(
            f"{path} does not exist, and {title} could not be downloaded from OpenML "
            f"({error}). {by_hand}, or call {call} where openml.org can be reached."
        ) from error
    n_train = sum(train_counts)
    X, y = openml.data, np.asarray(openml.target).astype(np.uint8)
    if (
        X.shape[1:] != (n_pixels,)
        or not ((X >= 0) & (X <= 255) & (X % 1 == 0)).all()
        or np.bincount(y[:n_train]).tolist() != train_counts
        or np.bincount(y[n_train:]).tolist() != test_counts
    ):
        raise ValueError(
            f"Version 1 of {title} on OpenML differs from the original set in its "
            f"number of images, pixels, values or class counts. {by_hand}."
        )
    X = X.astype(np.uint8)
    return {
        "X_train": X[:n_train],
        "X_test": X[n_train:],
        "y_train": y[:n_train],
        "y_test": y[n_train:],
    }
