import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import short_fits
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.plotting import ReconstructionDisplay

pytestmark = short_fits


@pytest.fixture
def small_set(tmp_path, rng):
    arrays = {
        "X_train": rng.integers(256, size=(5, 784), dtype=np.uint8),
        "X_test": rng.integers(256, size=(3, 784), dtype=np.uint8),
        "y_train": np.arange(5),
        "y_test": np.arange(3),
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    return tmp_path, arrays


def test_load_images(small_set, monkeypatch):
    folder, arrays = small_set
    images = load_images("mnist", data_home=folder)
    assert images.image_shape == (28, 28)
    assert images.X_train.dtype == np.float32
    assert_allclose(images.X_test, arrays["X_test"] / 255, rtol=1e-6)
    assert_array_equal(images.y_train, arrays["y_train"])
    monkeypatch.setenv("SPARSEGEN_DATA", str(folder))
    assert_array_equal(load_images("mnist").X_test, images.X_test)


def test_load_images_says_what_is_missing(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"name must be one of .*mnist"):
        load_images("imagenet")
    with pytest.raises(FileNotFoundError, match=r"svhn\.npz"):
        load_images("svhn", data_home=tmp_path)
    monkeypatch.delenv("SPARSEGEN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"SPARSEGEN_DATA.*mnist\.npz"):
        load_images("mnist")


@pytest.mark.parametrize(
    ("name", "shape"), [("mnist", (60_000, 784)), ("svhn", (883, 3072))]
)
def test_the_papers_images(data_home, name, shape):
    images = load_images(name, data_home=data_home)
    assert images.X_train.shape == shape
    assert images.X_train.min() == 0
    assert images.X_train.max() == 1
    assert np.prod(images.image_shape) == shape[1]


@pytest.mark.filterwarnings("ignore:.*CSR array is larger")
@pytest.mark.parametrize("sparse_output", [False, True])
def test_reconstruction_display(digits, sparse_output):
    mpl.use("agg")
    encoder = SparseGeneratorEncoder(
        5, max_iter=1, decay=1.0, tol=None, sparse_output=sparse_output, random_state=0
    ).fit(digits)
    display = ReconstructionDisplay.from_estimator(
        encoder, digits[:4], image_shape=(8, 8)
    )
    assert display.axes_.shape == (3, 4)
    assert display.figure_ is display.axes_[0, 0].figure
    assert_array_equal(display.images.reshape(4, 64), digits[:4])
    expected = encoder.set_params(sparse_output=False).transform(digits[:4])
    assert_array_equal(display.codes, expected)
    assert display.plot(axes=display.axes_).figure_ is display.figure_
    mpl.pyplot.close("all")


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("container", [list, pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_display_of_data_of_any_form(container, output, digits):
    mpl.use("agg")
    encoder = SparseGeneratorEncoder(5, alpha=1.0, max_iter=1, tol=None).fit(digits)
    X, expected = container(digits[:3].tolist()), encoder.transform(digits[:3])
    if container is pl.DataFrame:
        X = pl.DataFrame(digits[:3])
    encoder.set_output(transform=output)
    display = ReconstructionDisplay.from_estimator(encoder, X, image_shape=(8, 8))
    assert_array_equal(display.images.reshape(3, 64), digits[:3])
    assert_array_equal(display.codes, expected)
    mpl.pyplot.close("all")


def test_display_of_missing_pixels(digits):
    """Missing pixels stay white, and the others have the scale of grey of the rest."""
    mpl.use("agg")
    encoder = SparseGeneratorEncoder(5, alpha=1.0, max_iter=1, tol=None).fit(digits)
    X = digits[:2].copy()
    X[0, 20] = np.nan
    display = ReconstructionDisplay.from_estimator(encoder, X, image_shape=(8, 8))
    (shown,) = display.axes_[0, 0].images
    shown = shown.get_array()
    assert shown.mask.sum() == 1
    low, high = np.nanmin(X), np.nanmax(X)
    assert_allclose(shown.compressed(), (np.delete(X[0], 20) - low) / (high - low))
    mpl.pyplot.close("all")
