"""What displays draw is the data: it is read back from what they have drawn."""

import copy
import inspect

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import linear_map, short_fits
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder
from sklearn_sparsegen.baselines import (
    ABPEncoder,
    ShortRunEncoder,
    VAEEncoder,
    VarianceSparseEncoder,
    VSCEncoder,
)
from sklearn_sparsegen.plotting import (
    ClassActivationDisplay,
    ComponentDisplay,
    RateDistortionDisplay,
    ReconstructionDisplay,
    TopRowsDisplay,
    TrainingDisplay,
    TraversalDisplay,
)
from sklearn_sparsegen.plotting._drawing import NOT_OBSERVED

pytestmark = short_fits

IMAGE = {"image_shape": (8, 8)}
# Displays of rows of data, each with settings that draw a few of them.
SMALL = {
    ReconstructionDisplay: {"rows": 2},
    TraversalDisplay: {"components": 2, "n_values": 2},
    ComponentDisplay: {"components": 2},
    TopRowsDisplay: {"components": 2, "n_rows": 2},
}
each_row_display = pytest.mark.parametrize("display", SMALL)


@pytest.fixture(autouse=True)
def without_windows():
    with mpl.rc_context():
        mpl.use("agg")
        before = dict(mpl.rcParams)
        yield
        assert dict(mpl.rcParams) == before
        plt.close("all")


@pytest.fixture(scope="module")
def fitted(digits):
    """Return an encoder of digits that has been trained until its codes are sparse."""
    encoder = SparseGeneratorEncoder(
        12, alpha=0.3, decay=0.1, hidden_layer_sizes=(30,), max_iter=8, tol=None
    )
    return encoder.set_params(random_state=0).fit(digits)


@pytest.fixture
def encoder(fitted):
    return copy.deepcopy(fitted)


@pytest.fixture(scope="module")
def tumours():
    """Return a table with names and units of its features, and classes."""
    return load_breast_cancer(as_frame=True, return_X_y=True)


@pytest.fixture(scope="module")
def pipeline(tumours):
    encoder = SparseGeneratorEncoder(
        6, alpha=0.5, decay=0.25, positive_code=False, max_iter=3, tol=None
    )
    return make_pipeline(StandardScaler(), encoder.set_params(random_state=0)).fit(
        tumours[0]
    )


@pytest.fixture(scope="module")
def pca(digits):
    return PCA(10, random_state=0).fit(digits)


def shown(ax):
    """Return the values of the one image that an axes shows, the first row on top."""
    (image,) = ax.images
    assert ax.yaxis_inverted()
    return np.ma.filled(image.get_array(), np.nan)


def bars(ax):
    """Return the lengths of the bars of an axes, from the top, by their names."""
    assert ax.yaxis_inverted()
    names = [label.get_text() for label in ax.get_yticklabels()]
    (container,) = ax.containers
    return dict(zip(names, (bar.get_width() for bar in container), strict=True))


def is_red(colours):
    """Return which colours are rather red than blue."""
    return np.asarray(colours)[:, 0] > np.asarray(colours)[:, 2]


def scaled(X):
    """Return what is subtracted from a table before it is drawn, and what divides."""
    return np.nanmean(X, axis=0), np.nanstd(X, axis=0)


# Reconstruction -------------------------------------------------------------------


def test_reconstruction_of_images(encoder, digits):
    display = ReconstructionDisplay.from_estimator(encoder, digits[:4], **IMAGE)
    codes = encoder.transform(digits[:4])
    assert display.axes_.shape == (3, 4)
    assert display.figure_ is display.axes_[0, 0].figure
    restored = encoder.inverse_transform(codes)
    for column, x, x_hat, code in zip(
        display.axes_.T, digits, restored, codes, strict=False
    ):
        assert_array_equal(shown(column[0]).ravel(), x)
        assert_allclose(shown(column[1]).ravel(), x_hat)
        (lines,) = column[2].collections
        heights = [segment[:, 1] for segment in lines.get_segments()]
        assert_allclose(heights, [(0, z) for z in code])
        low, high = column[2].get_ylim()
        assert low == 0
        assert high > codes.max()
        assert column[2].get_title() == f"{(abs(code) > 0.2).sum()} active"
        assert {ax.images[0].get_clim() for ax in column[:2]} == {(0, 1)}
    labels = [ax.get_ylabel() for ax in display.axes_[:, 0]]
    assert labels == ["original", "restored", "code"]
    threshold = float(np.median(abs(codes)))
    draw = ReconstructionDisplay.from_estimator
    for ax, code in zip(
        draw(encoder, digits[:4], threshold=threshold, **IMAGE).axes_[2],
        codes,
        strict=True,
    ):
        assert ax.get_title() == f"{(abs(code) > threshold).sum()} active"
    with pytest.raises(ValueError, match="'threshold'"):
        draw(encoder, digits[:4], threshold=-1.0, **IMAGE)


def test_deviations_of_features_that_hardly_vary_end_at_ten(rng):
    """They come first, by their sizes, though they are drawn alike."""
    X = rng.normal(size=(50, 3)) * [1, 1e-6, 1e-9]

    class Shifted:
        def transform(self, X):
            return X

        def inverse_transform(self, Z):
            return Z + 1 + Z[:, :1] / 10

    display = ReconstructionDisplay.from_estimator(Shifted(), X, rows=2)
    restored = [bar.get_width() for bar in display.axes_[0, 0].containers[1]]
    expected = (X[0, 0] * 1.1 + 1 - X[:, 0].mean()) / X[:, 0].std()
    assert_allclose(restored, [expected, 10, 10])
    assert display.axes_[0, 0].get_xlim()[1] < 11
    assert display.frame()["value"].max() < 5  # in units of X
    (ax,) = TraversalDisplay.from_estimator(Shifted(), X, components=[0]).axes_.flat
    assert [line.get_label() for line in ax.lines[:3]] == ["x2", "x1", "x0"]
    assert_array_equal(ax.lines[0].get_ydata(), np.full(7, 10.0))
    display = ComponentDisplay.from_estimator(Shifted(), X, components=[0])
    widths = bars(display.axes_[0, 0])
    assert list(widths) == ["x2", "x1", "x0"]
    assert widths["x2"] == widths["x1"] == 10
    assert display.axes_[0, 0].get_xlim()[1] < 11


def test_rows_of_a_reconstruction(encoder, digits):
    draw = ReconstructionDisplay.from_estimator
    assert draw(encoder, digits, **IMAGE).axes_.shape == (3, 8)
    display = draw(encoder, digits, rows=[7, 2], **IMAGE)
    assert_array_equal(display.X, digits[[7, 2]])
    frame = display.frame()
    assert list(frame) == ["row", "picture", "name", "value"]
    assert frame["row"].unique().tolist() == [7, 2]
    for picture, values in {
        "original": digits[[7, 2]],
        "restored": display.X_restored,
        "code": encoder.transform(digits[[7, 2]]),
    }.items():
        part = frame[frame["picture"] == picture]
        assert_array_equal(part["value"], values.ravel())
    assert part["name"].tolist() == 2 * list(range(12))
    mask = np.isin(np.arange(300), [2, 7])
    assert draw(encoder, digits, rows=mask, **IMAGE).rows.tolist() == [2, 7]
    for rows in ([300], [-1], [], [1.5], mask[:5], mask & False, "ab"):
        with pytest.raises(ValueError, match=r"rows must be a number, .* 0\.\.299"):
            draw(encoder, digits, rows=rows, **IMAGE)
    for rows, error in {0: ValueError, 2.5: TypeError, None: TypeError}.items():
        with pytest.raises(error, match="rows"):
            draw(encoder, digits, rows=rows, **IMAGE)


def test_noisy_and_missing_pixels_beside_the_originals(encoder, digits, rng):
    """Noise is clipped to the scale of the originals, and NaN has a colour."""
    noisy = digits[:5] + 2 * rng.normal(size=(5, 64))
    noisy[0, 20] = np.nan
    display = ReconstructionDisplay.from_estimator(
        encoder, noisy, X_clean=digits[:5], rows=2, **IMAGE
    )
    original, given, restored, _ = display.axes_[:, 0]
    assert_array_equal(shown(original).ravel(), digits[0])
    assert_array_equal(shown(given).ravel(), noisy[0])
    x_hat = encoder.inverse_transform(encoder.transform(noisy[:1]))
    assert_allclose(shown(restored).ravel(), x_hat[0])
    assert given.images[0].get_clim() == (0, 1)
    colours = given.images[0].to_rgba(given.images[0].get_array())
    assert_allclose(colours[2, 4, :3], to_rgb(NOT_OBSERVED))
    assert (colours[..., :3] == to_rgb(NOT_OBSERVED)).all(axis=2).sum() == 1
    assert "not\nobserved" in given.get_ylabel()
    assert original.get_ylabel() == "original"
    assert set(display.frame()["picture"]) == {"original", "given", "restored", "code"}
    with pytest.raises(ValueError, match=r"X_clean must have the shape of X, \(5, 64"):
        ReconstructionDisplay.from_estimator(encoder, noisy, X_clean=digits[:4])


def test_colour_images(rng):
    """Colours have the range of the data, in their order height, width, channel."""
    X = rng.uniform(10, 30, size=(20, 60))
    X[0, :3] = np.nan
    pca = PCA(3).fit(X[1:])

    class Filled:
        def transform(self, X):
            return pca.transform(np.nan_to_num(X))

        inverse_transform = pca.inverse_transform

    display = ReconstructionDisplay.from_estimator(
        Filled(), X, rows=2, image_shape=(4, 5, 3)
    )
    low, high = np.nanmin(X), np.nanmax(X)
    expected = ((X[:2] - low) / (high - low)).reshape(2, 4, 5, 3)
    expected[0, 0, 0] = to_rgb(NOT_OBSERVED)
    for ax, image in zip(display.axes_[0], expected, strict=True):
        assert_allclose(shown(ax), image)
    changes = ComponentDisplay.from_estimator(pca, X[1:], image_shape=(4, 5, 3))
    largest = abs(changes.changes).max()
    assert_allclose(
        shown(changes.axes_[0, 0]).ravel(), 0.5 + changes.changes[0] / (2 * largest)
    )
    assert shown(changes.axes_[0, 0]).shape == (4, 5, 3)


def test_reconstruction_of_a_table(pipeline, tumours):
    X, clean = tumours[0].copy(), tumours[0]
    X.iloc[0, [3, 8]] = np.nan
    display = ReconstructionDisplay.from_estimator(pipeline, X, X_clean=clean, rows=3)
    mean, deviation = scaled(clean.to_numpy())
    restored = pipeline.inverse_transform(pipeline.transform(X))
    assert display.axes_.shape == (2, 3)
    assert len({ax.get_xlim() for ax in display.axes_[0]}) == 1
    for j, ax in enumerate(display.axes_[0]):
        pictures = X.to_numpy()[j], restored[j]
        expected = [clean.to_numpy()[j], *pictures]
        for container, values in zip(ax.containers, expected, strict=True):
            widths = [bar.get_width() for bar in container]
            assert_allclose(widths, (values - mean) / deviation)
        crosses = ax.lines[0].get_ydata()
        assert_array_equal(crosses, [3, 8] if j == 0 else [])
        assert ax.yaxis_inverted()  # the first feature is on top
        assert ax.get_title() == f"row {j}"
    labels = [label.get_text() for label in display.axes_[0, 0].get_yticklabels()]
    assert labels == list(clean.columns)
    assert (display.frame()["name"][:30] == clean.columns).all()
    some = ReconstructionDisplay.from_estimator(pipeline, clean, rows=[7, 2])
    assert [ax.get_title() for ax in some.axes_[0]] == ["row 7", "row 2"]


def test_a_wide_table_shows_the_largest_features(rng):
    X = rng.normal(size=(20, 50))
    X[:2, 10:40] += 20
    display = ReconstructionDisplay.from_estimator(PCA(2).fit(X), X, rows=2)
    labels = [label.get_text() for label in display.axes_[0, 0].get_yticklabels()]
    assert labels == [f"x{i}" for i in range(10, 40)]
    assert len(display.frame()) == 2 * (50 + 50 + 2)


# Traversal ------------------------------------------------------------------------


def test_traversal_of_images(encoder, digits):
    display = TraversalDisplay.from_estimator(
        encoder, digits, row=4, components=3, n_values=5, **IMAGE
    )
    Z = encoder.transform(digits)
    strongest = np.argsort(-Z[4])[:3]
    assert_array_equal(display.components, strongest)
    assert display.axes_.shape == (3, 6)
    for axes, j in zip(display.axes_, strongest, strict=True):
        x_hat = encoder.inverse_transform(Z[4:5])
        assert_allclose(shown(axes[0]).ravel(), x_hat[0], atol=1e-12)
        assert axes[0].get_title() == f"inferred: {Z[4, j]:.2f}"
        for ax, share in zip(axes[1:], (0, 0.25, 0.5, 0.75, 1), strict=True):
            z = Z[4].copy()
            z[j] = share * Z[:, j].max()
            expected = encoder.inverse_transform(z[None])[0]
            assert_allclose(shown(ax).ravel(), expected, atol=1e-12)
            assert ax.get_title() == f"{z[j]:.2f}"


def test_traversal_of_a_table(pipeline, tumours):
    """Codes with signs go from minus to plus the largest absolute value."""
    X = tumours[0]
    display = TraversalDisplay.from_estimator(pipeline, X, components=[5, 1])
    Z, (mean, deviation) = pipeline.transform(X), scaled(X.to_numpy())
    for ax, j in zip(display.axes_.flat, (5, 1), strict=True):
        largest = abs(Z[:, j]).max()
        codes = np.tile(Z[0], (7, 1))
        codes[:, j] = np.linspace(-largest, largest, 7)
        rows = (pipeline.inverse_transform(codes) - mean) / deviation
        most = np.argsort(-np.ptp(rows, axis=0))[:5]
        *lines, here = ax.lines
        assert [line.get_label() for line in lines] == list(X.columns[most])
        for line, i in zip(lines, most, strict=True):
            assert_allclose(line.get_xdata(), codes[:, j], rtol=1e-6)
            assert_allclose(line.get_ydata(), rows[:, i], rtol=1e-4, atol=1e-5)
        assert_allclose(here.get_xdata(), Z[0, j])
    frame = display.frame()
    assert list(frame) == ["component", "code", "feature", "value"]
    assert len(frame) == 2 * 7 * 30
    last = frame.iloc[-30:]
    assert_allclose(last["value"], pipeline.inverse_transform(codes)[-1], rtol=1e-5)
    assert_array_equal(last["feature"], X.columns)
    assert set(last["component"]) == {1}


def test_traversals_that_show_nothing_are_errors(encoder, digits):
    class Silent:
        """An estimator whose codes are zero for the first row and component 0."""

        def transform(self, X):
            Z = np.ones((len(X), 3))
            Z[0] = Z[:, 0] = 0
            return Z

        def inverse_transform(self, Z):
            return np.zeros((len(Z), 64))

    draw = TraversalDisplay.from_estimator
    with pytest.raises(
        ValueError, match=r"Row 0 .* no active code; choose another row"
    ):
        draw(Silent(), digits, **IMAGE)
    assert_array_equal(draw(Silent(), digits, row=1, **IMAGE).components, [1, 2])
    assert_array_equal(
        draw(Silent(), digits, components=[2]).values[0, [0, -1]], (0, 1)
    )
    with pytest.raises(ValueError, match="Components 0 are active in no row"):
        draw(Silent(), digits, components=[0, 2])
    with pytest.raises(ValueError, match=r"row must be in 0\.\.299, got 300"):
        draw(Silent(), digits, row=300)
    with pytest.raises(ValueError, match="n_values == 0"):
        draw(Silent(), digits, row=1, n_values=0)
    for components in ([3], [-1]):
        with pytest.raises(ValueError, match=r"components must be in 0\.\.2"):
            draw(Silent(), digits, components=components)
    for components in ([], [0.5], ["1"], [True]):
        with pytest.raises(ValueError, match="components must hold integers"):
            draw(Silent(), digits, components=components)
    with pytest.raises(ValueError, match="components == 0"):
        draw(Silent(), digits, row=1, components=0)


# Components -----------------------------------------------------------------------


def test_components_of_non_negative_codes(encoder, digits):
    display = ComponentDisplay.from_estimator(encoder, digits, **IMAGE)
    Z = encoder.transform(digits)
    share = (Z > 0.2).mean(axis=0)
    order = np.argsort(-share, kind="stable")
    assert_array_equal(display.components, order[share[order] > 0])
    assert_allclose(display.shares, share[display.components])
    nothing = encoder.inverse_transform(np.zeros((1, 12)))[0]
    largest = abs(display.changes).max()
    for ax, j in zip(display.axes_.flat, display.components, strict=False):
        size = np.sqrt((Z[Z[:, j] > 0.2, j] ** 2).mean())
        x = encoder.inverse_transform(size * np.eye(12)[[j]])[0]
        assert_allclose(shown(ax).ravel(), x - nothing, atol=1e-9)
        assert_allclose(ax.images[0].get_clim(), (-largest, largest))
        assert ax.get_title() == f"{j}: {share[j]:.0%}"
    assert is_red(ax.images[0].to_rgba([-largest, largest])).tolist() == [False, True]


def test_components_of_codes_with_signs_are_atoms(pca, digits):
    display = ComponentDisplay.from_estimator(
        pca, digits, components=[7, 1], threshold=0.5, **IMAGE
    )
    Z = pca.transform(digits)
    for ax, j in zip(display.axes_.flat, (7, 1), strict=True):
        size = np.sqrt((Z[abs(Z[:, j]) > 0.5, j] ** 2).mean())
        expected = 2 * size * pca.components_[j]
        assert_allclose(shown(ax).ravel(), expected, atol=1e-12)
    frame = display.frame()
    assert list(frame) == ["component", "share", "size", "feature", "change"]
    assert_allclose(frame["change"][-64:], expected, atol=1e-12)
    assert_allclose(frame["size"][-64:], size)
    assert_allclose(frame["share"][-64:], (abs(Z[:, 1]) > 0.5).mean())


def test_components_of_a_table(pipeline, tumours):
    display = ComponentDisplay.from_estimator(pipeline, tumours[0], components=5)
    changes = display.changes / scaled(tumours[0].to_numpy())[1]
    names = tumours[0].columns
    for ax, change in zip(display.axes_.flat, changes, strict=False):
        order = np.argsort(-abs(change))[:6]
        drawn = bars(ax)
        assert list(drawn) == list(names[order])
        assert_allclose(list(drawn.values()), change[order])
        colours = [bar.get_facecolor() for bar in ax.containers[0]]
        assert_array_equal(is_red(colours), change[order] > 0)
        low, high = ax.get_xlim()
        assert low == -high < -abs(changes).max()
    assert [ax.axison for ax in display.axes_.flat] == 5 * [True] + [False]


@pytest.mark.parametrize("display", [ComponentDisplay, TopRowsDisplay])
def test_no_active_component_is_an_error(display, encoder, digits):
    with pytest.raises(ValueError, match=r"No component is active.* Lower threshold"):
        display.from_estimator(encoder, digits, threshold=1e6)


def test_classes_without_an_active_component_are_an_error(encoder, digits):
    with pytest.raises(ValueError, match=r"No component is active.* Lower threshold"):
        ClassActivationDisplay.from_estimator(
            encoder, digits, np.zeros(300), threshold=1e6
        )


# Top rows -------------------------------------------------------------------------


def test_top_rows_of_images(encoder, digits):
    display = TopRowsDisplay.from_estimator(
        encoder, digits, components=2, n_rows=4, **IMAGE
    )
    Z = encoder.transform(digits)
    most_used = np.argsort(-(Z > 0.2).mean(axis=0), kind="stable")[:2]
    for axes, j in zip(display.axes_, most_used, strict=True):
        assert axes[0].get_ylabel() == f"component {j}"
        for ax, i in zip(axes, np.argsort(-Z[:, j], kind="stable"), strict=False):
            assert_array_equal(shown(ax).ravel(), digits[i])
            assert ax.get_title() == f"{Z[i, j]:.2f}"
    frame = display.frame()
    assert list(frame) == ["component", "row", "code", "feature", "value"]
    rows = np.argsort(-Z[:, j], kind="stable")[:4]
    assert_array_equal(frame["row"][-4 * 64 :: 64], rows)
    assert_array_equal(frame["code"][-4 * 64 :: 64], Z[rows, j])
    assert_array_equal(frame["value"][-64:], digits[rows[-1]])


def test_top_rows_of_a_table(pipeline, tumours):
    """Rows at both ends are turned to one side by the sign of their codes."""
    X = tumours[0]
    display = TopRowsDisplay.from_estimator(pipeline, X, components=[2], n_rows=5)
    Z, (mean, deviation) = pipeline.transform(X), scaled(X.to_numpy())
    rows = np.argsort(-abs(Z[:, 2]), kind="stable")[:5]
    turned = np.sign(Z[rows, [2]])[:, None] * (X.to_numpy()[rows] - mean) / deviation
    order = np.argsort(-abs(turned.mean(axis=0)))[:6]
    drawn = bars(display.axes_[0, 0])
    assert list(drawn) == list(X.columns[order])
    assert_allclose(list(drawn.values()), turned.mean(axis=0)[order])
    (points,) = display.axes_[0, 0].collections
    assert_allclose(points.get_offsets()[:, 0], turned[:, order].ravel())


def test_rows_without_the_component_are_not_drawn(rng):
    X = np.zeros((6, 4))
    X[1] = 1, 0, 0, 2

    class First:
        def transform(self, X):
            return X[:, :1]

    display = TopRowsDisplay.from_estimator(First(), X, n_rows=3, image_shape=(2, 2))
    assert [ax.axison for ax in display.axes_[0]] == [True, False, False]
    assert [len(ax.images) for ax in display.axes_[0]] == [1, 0, 0]
    display = TopRowsDisplay.from_estimator(First(), X, n_rows=3)
    assert_allclose(bars(display.axes_[0, 0])["x3"], (2 - X.mean(0)[3]) / X.std(0)[3])


# Classes --------------------------------------------------------------------------


@pytest.mark.parametrize("sort", [True, False])
def test_class_activation(sort, pipeline, tumours):
    X, y = tumours
    labels = np.array(["malignant", "benign"])[y]
    display = ClassActivationDisplay.from_estimator(
        pipeline, X, labels, threshold=0.5, sort=sort
    )
    active = abs(pipeline.transform(X)) > 0.5
    expected = np.array([active[labels == c].mean(0) for c in ("benign", "malignant")])
    order = range(6)
    if sort:
        order = sorted(
            order, key=lambda j: (expected[:, j].argmax(), -expected[:, j].max())
        )
        assert order != list(range(6))
    assert_allclose(shown(display.ax_), expected[:, order])
    assert display.ax_.images[0].get_clim() == (0, 1)  # to compare with others
    ticks = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert ticks == list(map(str, order))
    ticks = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert ticks == ["benign", "malignant"]
    information = [mutual_info_score(labels, column) for column in active.T]
    assert_allclose(display.information, information, atol=1e-12)
    assert f"{np.mean(information):.3f} nats" in display.ax_.get_title()
    assert ("sorted by" in display.ax_.get_xlabel()) == sort
    frame = display.frame()
    assert list(frame) == ["class", "component", "share", "information"]
    assert_allclose(frame["share"], expected.ravel())
    assert frame["class"].tolist() == 6 * ["benign"] + 6 * ["malignant"]
    assert_allclose(frame["information"], 2 * information)


def test_components_that_are_never_active_come_last(rng):
    Z = np.zeros((20, 4))
    Z[:10, 3], Z[10:, 1], Z[:5, 2] = 1, 1, 1

    class Identity:
        def transform(self, X):
            return X

    display = ClassActivationDisplay.from_estimator(
        Identity(), Z, np.repeat([0, 1], 10)
    )
    assert_array_equal(display.order, [3, 2, 1, 0])
    expected = [0, np.log(2), np.log(2)]
    assert_allclose(display.information[[0, 1, 3]], expected, atol=1e-12)
    with pytest.raises(ValueError, match="y has 2 labels"):
        ClassActivationDisplay.from_estimator(Identity(), Z, [0, 1])


# Training -------------------------------------------------------------------------


def lines(ax):
    return [line.get_xydata() for line in ax.lines]


def test_training(encoder):
    display = TrainingDisplay.from_estimator(encoder)
    alpha = [max(0.3, 1 - 0.1 * epoch) for epoch in range(1, 9)]
    curves = encoder.loss_curve_, alpha, encoder.n_active_curve_
    for ax, curve in zip(display.axes_, curves, strict=True):
        (line,) = lines(ax)
        assert_allclose(line[:, 0], np.arange(1, 9))
        assert_allclose(line[:, 1], curve)
        (shade,) = ax.patches
        assert (shade.get_x(), shade.get_width()) == (1, 6)
    assert "the loss may rise" in display.axes_[0].get_title(loc="left")
    frame = display.frame()
    assert list(frame) == ["epoch", "loss", "alpha", "n_active"]
    assert_allclose(frame.to_numpy(), np.transpose([np.arange(1, 9), *curves]))


@pytest.mark.parametrize(
    "baseline",
    [ABPEncoder, ShortRunEncoder, VAEEncoder, VSCEncoder, VarianceSparseEncoder],
)
@pytest.mark.filterwarnings("ignore:fit ended after 2 epochs")
def test_training_without_alpha(baseline, digits):
    encoder = baseline(3, hidden_layer_sizes=(5,), max_iter=2, tol=None)
    encoder.set_params(random_state=0).fit(digits[:40])
    display = TrainingDisplay.from_estimator(encoder)
    (line,) = lines(display.axes_[0])
    assert_allclose(line[:, 1], encoder.loss_curve_)
    has_codes = hasattr(encoder, "n_active_curve_")
    assert len(display.axes_) == 1 + has_codes
    assert "alpha" not in display.frame()
    assert display.axes_[0].get_title(loc="left") == ""


def test_training_with_rows_held_out(digits):
    """A curve that begins later, after a warm start, is drawn where it belongs."""
    encoder = SparseGeneratorEncoder(
        3, alpha=1.0, hidden_layer_sizes=(5,), max_iter=2, tol=None, warm_start=True
    ).fit(digits[:60])
    encoder.set_params(early_stopping=True, max_iter=3).fit(digits[:60])
    display = TrainingDisplay.from_estimator(make_pipeline(StandardScaler(), encoder))
    losses, held_out = lines(display.axes_[0])
    assert len(losses) == 5
    assert_allclose(held_out[:, 0], [3, 4, 5])
    assert_allclose(held_out[:, 1], encoder.validation_loss_curve_)
    frame = display.frame()
    assert frame["validation_loss"].isna().tolist() == [True, True, False, False, False]
    assert_allclose(frame["validation_loss"][2:], encoder.validation_loss_curve_)
    assert display.axes_[0].get_legend() is not None


def test_training_says_what_is_not_known(encoder, digits, pca):
    for other in (pca, SparseGeneratorEncoder()):
        with pytest.raises(ValueError, match="has no loss_curve_; fit it"):
            TrainingDisplay.from_estimator(other)
    # The curve is that of the fit, whatever the parameters are now.
    before = TrainingDisplay.from_estimator(encoder).alpha
    encoder.set_params(decay=0.01)
    assert TrainingDisplay.from_estimator(encoder).alpha == before
    limited = SparseGeneratorEncoder(3, n_nonzero_coefs=1, max_iter=2, tol=None)
    display = TrainingDisplay.from_estimator(limited.fit(digits[:40]))
    assert "alpha" not in display.frame()
    network = MLPRegressor(max_iter=5, tol=0, n_iter_no_change=9)
    with pytest.warns(UserWarning, match="reached"):
        network.fit(digits[:40], digits[:40, 0])
    assert len(TrainingDisplay.from_estimator(network).frame()) == 5


# Rate and distortion --------------------------------------------------------------


def test_rate_distortion_of_an_encoder(encoder, digits):
    before = encoder.get_params()
    model = make_pipeline(StandardScaler(with_std=False).fit(digits), encoder)
    display = RateDistortionDisplay.from_estimator(model, digits)
    assert encoder.get_params() == before
    assert_array_equal(display.values, [1, 2, 5, 10])
    for n, n_active, error in zip(
        display.values, display.n_active, display.error, strict=True
    ):
        codes = model.set_params(sparsegeneratorencoder__n_nonzero_coefs=n).transform(
            digits
        )
        assert_allclose(n_active, (codes != 0).sum() / 300)
        expected = np.square(model.inverse_transform(codes) - digits).mean()
        assert_allclose(error, expected)
    (line,) = lines(display.ax_)
    assert_allclose(line, np.transpose([display.n_active, display.error]))
    frame = display.frame()
    assert list(frame) == ["estimator", "parameter", "value", "n_active", "error"]
    assert set(frame["parameter"]) == {"sparsegeneratorencoder__n_nonzero_coefs"}
    assert set(frame["estimator"]) == {"SparseGeneratorEncoder"}
    assert_allclose(frame["error"], display.error)


def test_curves_of_several_estimators(encoder, digits, pca):
    """The largest codes of PCA leave the error of the other codes."""
    draw = RateDistortionDisplay.from_estimator
    display = draw(encoder, digits, param_range=[3])
    other = draw(pca, digits, ax=display.ax_, param_range=[4, 2])
    assert other.ax_ is display.ax_
    squares = np.sort(pca.transform(digits) ** 2, axis=1)
    rest = np.square(digits - pca.inverse_transform(pca.transform(digits))).mean()
    expected = [rest + squares[:, : 10 - n].sum() / digits.size for n in (4, 2)]
    assert_allclose(other.error, expected)
    assert_allclose(other.n_active, (4, 2))
    assert_allclose(lines(display.ax_)[1][:, 0], (2, 4))
    dictionary = MiniBatchDictionaryLearning(10, max_iter=1, random_state=0)
    third = draw(dictionary.fit(digits), digits, ax=display.ax_, name="linear")
    assert third.param_name == "transform_n_nonzero_coefs"
    assert_allclose(third.n_active, (1, 2, 5, 10), rtol=0.01)
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["SparseGeneratorEncoder", "PCA", "linear"]
    assert len(plt.get_fignums()) == 1


def test_rate_distortion_of_another_parameter(encoder, digits):
    X = digits.copy()
    X[0, :10] = np.nan
    display = RateDistortionDisplay.from_estimator(
        encoder, X, param_name="threshold", param_range=[0.5, 1.0]
    )
    codes = encoder.set_params(threshold=1.0).transform(X)
    assert_allclose(display.n_active[1], (codes != 0).sum(axis=1).mean())
    squares = np.square(encoder.inverse_transform(codes) - X)
    assert_allclose(display.error[1], squares[~np.isnan(X)].mean())
    with pytest.raises(ValueError, match="Pass param_range, the values of threshold"):
        RateDistortionDisplay.from_estimator(encoder, X, param_name="threshold")


def test_rate_distortion_where_no_parameter_limits_the_codes(encoder, digits):
    """Then the largest codes are kept."""
    draw = RateDistortionDisplay.from_estimator
    settings = PAPER_SETTINGS | {"sigma": 3.0, "n_components": 6, "max_iter": 31}
    settings |= {
        "output_activation": "identity",
        "spike_scale": 0.5,
        "step_size": 0.01,
        "tol": None,
    }
    paper = SparseGeneratorEncoder(**settings, random_state=0).fit(digits)
    dictionary = MiniBatchDictionaryLearning(
        6, max_iter=1, transform_algorithm="threshold", random_state=0
    ).fit(digits)
    for estimator in paper, dictionary:
        display = draw(estimator, digits)
        assert display.param_name == "number of largest codes"
        assert len(set(display.error)) == 3
    with pytest.warns(UserWarning, match="All values of alpha give the same codes"):
        draw(encoder, digits, param_name="alpha", param_range=[0.1, 0.2])


# All displays ---------------------------------------------------------------------


def frames(estimator, X):
    """Return the numbers of all displays of data."""
    y = np.arange(300) % 3
    displays = [
        *(cls.from_estimator(estimator, X, **few) for cls, few in SMALL.items()),
        ClassActivationDisplay.from_estimator(estimator, X, y),
        RateDistortionDisplay.from_estimator(estimator, X),
    ]
    return [display.frame().select_dtypes("number") for display in displays]


@pytest.fixture(scope="module")
def expected_frames(fitted, digits):
    return frames(copy.deepcopy(fitted), digits)


@pytest.mark.filterwarnings("ignore:X has feature names", "ignore:.*CSR array")
@pytest.mark.parametrize(
    "change",
    [
        lambda encoder, X: (
            encoder.set_params(sparse_output=True),
            sparse.csr_array(X),
        ),
        lambda encoder, X: (encoder.set_output(transform="pandas"), pl.DataFrame(X)),
        lambda encoder, X: (encoder.set_output(transform="polars"), pd.DataFrame(X)),
        lambda encoder, X: (encoder, X.tolist()),
        lambda encoder, X: (
            make_pipeline("passthrough", encoder),
            torch.tensor(X, requires_grad=True),
        ),
    ],
)
def test_any_form_of_data_and_codes(change, encoder, expected_frames, digits):
    for values, expected in zip(
        frames(*change(encoder, digits)), expected_frames, strict=True
    ):
        assert_allclose(values, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, bool])
def test_types_of_data(dtype, encoder, digits):
    """Integers do not wrap around where they are subtracted, and bool has a range."""
    X = (16 * digits).astype(dtype)
    encoder = clone(encoder).set_params(max_iter=8).fit(X)
    display = ReconstructionDisplay.from_estimator(encoder, X, rows=1, **IMAGE)
    assert_array_equal(shown(display.axes_[0, 0]).ravel(), X[0])
    assert display.codes.dtype == (np.float64 if dtype == np.float64 else np.float32)
    error = RateDistortionDisplay.from_estimator(encoder, X).error[-1]
    codes = encoder.set_params(n_nonzero_coefs=10).transform(X)
    expected = np.square(encoder.inverse_transform(codes) - X.astype(float)).mean()
    assert_allclose(error, expected, rtol=1e-4)


def box_of(ax):
    """Return the box of an axes in its whole figure, after it has been laid out."""
    figure = ax.get_figure(root=True)
    return ax.get_window_extent().transformed(figure.transFigure.inverted())


@pytest.mark.parametrize(
    ("layout", "settings"), [(None, IMAGE), (None, {}), ("constrained", IMAGE)]
)
def test_displays_share_a_figure(layout, settings, encoder, digits):
    """Each is drawn in place of the Axes given, and no other figure is made."""
    figure, axes = plt.subplots(2, 4, figsize=(24, 16), layout=layout)
    places = [ax.get_position() for ax in axes.flat]
    displays = [
        *(
            cls.from_estimator(encoder, digits, ax=ax, **few, **settings)
            for (cls, few), ax in zip(SMALL.items(), axes[0], strict=True)
        ),
        TrainingDisplay.from_estimator(encoder, ax=axes[1, 0]),
        RateDistortionDisplay.from_estimator(encoder, digits, ax=axes[1, 1]),
        ClassActivationDisplay.from_estimator(
            encoder, digits, np.arange(300) % 3, ax=axes[1, 2]
        ),
    ]
    figure.canvas.draw()
    assert plt.get_fignums() == [figure.number]
    assert_array_equal(figure.get_size_inches(), (24, 16))
    assert displays[5].ax_ is axes[1, 1]
    assert displays[6].ax_ is axes[1, 2]
    for i, display in enumerate(displays):
        assert display.figure_ is figure
        if i >= 5:
            continue
        assert not axes.flat[i].axison
        for box in map(box_of, display.axes_.flat):
            centre = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
            # A layout engine fills the cell, beyond the Axes that was there.
            cell = int(4 * centre[0]) + 4 * int(2 * (1 - centre[1]))
            assert cell == i if layout else places[i].contains(*centre)
    with pytest.raises(ValueError, match="ax has been divided"):
        displays[0].plot(axes[0, 0])
    again = displays[0].plot()
    assert again is displays[0]
    assert again.figure_ is not figure


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_axes_that_are_not_in_a_grid(layout, encoder, digits):
    figure = plt.figure(layout=layout)
    ax = figure.add_axes([0.5, 0.1, 0.4, 0.3])
    display = ComponentDisplay.from_estimator(encoder, digits, ax=ax, **IMAGE)
    figure.canvas.draw()
    place = ax.get_position()
    for box in map(box_of, display.axes_.flat):
        assert place.x0 <= box.x0 <= box.x1 <= place.x1
        assert place.y0 <= box.y0 <= box.y1 <= place.y1


def test_a_new_figure_is_as_large_as_what_is_drawn(encoder, digits):
    draw = ReconstructionDisplay.from_estimator
    for n in (2, 8):
        size = draw(encoder, digits, rows=n, **IMAGE).figure_.get_size_inches()
        assert_allclose(size, (1.1 * n + 0.6, 2 * 1.1 + 0.9 + 0.3))


@each_row_display
def test_shape_of_an_image_must_fit(display, encoder, digits):
    with pytest.raises(ValueError, match=r"\(8, 9\) has 72 values, but X has 64 feat"):
        display.from_estimator(encoder, digits, image_shape=(8, 9))
    for shape in ((64,), (4, 8, 2), (2, 2, 4, 4), 8, (8.0, 8.0)):
        with pytest.raises(ValueError, match=r"image_shape must be \(height, width\)"):
            display.from_estimator(encoder, digits, image_shape=shape)
    few = SMALL[display] | {"image_shape": (4, 16, 1)}
    drawn = display.from_estimator(encoder, digits, **few).axes_
    assert shown(drawn[0, 0]).shape == (4, 16)


@each_row_display
def test_names_of_features(display, pipeline, tumours):
    names = [f"f{i}" for i in range(tumours[0].shape[1])]
    few = {key: n for key, n in SMALL[display].items() if key != "image_shape"}
    made = display.from_estimator(pipeline, tumours[0], feature_names=names, **few)
    assert_array_equal(made.feature_names, names)
    with pytest.raises(ValueError, match="feature_names must have a name for each"):
        display.from_estimator(pipeline, tumours[0], feature_names=names[1:], **few)


def test_largest_value_is_white(digits):
    display = ReconstructionDisplay.from_estimator(
        PCA(2).fit(digits), digits, rows=1, **IMAGE
    )
    image = display.axes_[0, 0].images[0]
    assert_allclose(image.to_rgba(image.get_clim())[:, :3], [[0] * 3, [1] * 3])


def test_methods_that_are_needed(encoder, digits):
    classifier = make_pipeline(encoder, LogisticRegression(max_iter=1000))
    classifier.fit(digits, np.arange(300) % 2)
    with pytest.raises(
        TypeError, match=r"transform, .*Pipeline has none.* pipeline\[:-1"
    ):
        ReconstructionDisplay.from_estimator(classifier, digits)
    ReconstructionDisplay.from_estimator(classifier[:-1], digits, rows=1, **IMAGE)

    class OneWay:
        def transform(self, X):
            return X

    with pytest.raises(TypeError, match="method inverse_transform, and OneWay"):
        ComponentDisplay.from_estimator(OneWay(), digits)


@pytest.mark.parametrize(
    "display",
    [*SMALL, ClassActivationDisplay, TrainingDisplay, RateDistortionDisplay],
)
def test_data_of_a_display_are_named(display):
    parameters = inspect.signature(display).parameters.values()
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}


def test_a_display_of_your_own_data(digits):
    """Images in [0, 1] and standardised tables need no scale."""
    own = {"X": digits[:2], "X_restored": digits[:2], "codes": np.ones((2, 3))}
    display = ReconstructionDisplay(**own, image_shape=(8, 8)).plot()
    assert display.axes_[0, 0].images[0].get_clim() == (0, 1)
    display = ReconstructionDisplay(**own, feature_names=[f"p{i}" for i in range(64)])
    assert display.frame()["name"][3] == "p3"
    container = display.plot().axes_[0, 0].containers[0]
    widths = [bar.get_width() for bar in container]
    order = np.sort(np.argsort(-abs(digits[:2]).max(0), kind="stable")[:30])
    assert_array_equal(widths, digits[0, order])


def test_linear_generator_has_its_weights_as_components(digits):
    encoder = SparseGeneratorEncoder(
        4, hidden_layer_sizes=(), alpha=0.5, decay=0.5, max_iter=2, tol=None
    ).fit(digits)
    display = ComponentDisplay.from_estimator(encoder, digits, **IMAGE)
    weight, _ = linear_map(encoder.generator_)
    for j, size, change in zip(
        display.components, display.sizes, display.changes, strict=True
    ):
        assert_allclose(change, size * weight[:, j], rtol=1e-4, atol=1e-6)
