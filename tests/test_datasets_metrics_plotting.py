import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio


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


def test_psnr(rng):
    X, noise = rng.uniform(size=(4, 50)), rng.normal(size=(4, 50))
    expected = -10 * np.log10((noise**2).mean(axis=1))
    assert_allclose(peak_signal_noise_ratio(X, X + noise), expected)
    scaled = peak_signal_noise_ratio(255 * X, 255 * (X + noise), data_range=255)
    assert_allclose(scaled, expected)
    assert np.isinf(peak_signal_noise_ratio(X, X)).all()
    with pytest.raises(ValueError, match="one shape"):
        peak_signal_noise_ratio(X, X[:1])


def test_active_codes(rng):
    Z = rng.normal(size=(6, 5))
    expected = [sum(abs(z) > 0.5 for z in row) for row in Z]
    for codes in (Z, sparse.csr_array(Z), sparse.csr_matrix(Z)):
        assert_array_equal(active_codes(codes, threshold=0.5), expected)
