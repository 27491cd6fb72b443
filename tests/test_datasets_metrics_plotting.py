import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import short_fits
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.plotting import ReconstructionDisplay

pytestmark = short_fits


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
