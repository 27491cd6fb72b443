"""Each metric against a definition in another form, and scorers where they are used."""

import copy
import math
import pickle
import sys
from collections import Counter
from unittest.mock import Mock

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from conftest import short_fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import NMF, PCA, TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, StandardScaler

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import (
    active_codes,
    class_activation,
    class_information,
    dead_components,
    gini_sparsity,
    hoyer_sparsity,
    make_encoder_scorer,
    peak_signal_noise_ratio,
    reconstruction_error,
    structural_similarity,
)

pytestmark = short_fits

OF_RECONSTRUCTIONS = reconstruction_error, peak_signal_noise_ratio
OF_CODES = active_codes, dead_components, hoyer_sparsity, gini_sparsity
OF_CLASSES = class_activation, class_information
FORMS = {
    "list": np.ndarray.tolist,
    "CSR array": sparse.csr_array,
    "CSR matrix": sparse.csr_matrix,
    "COO array": sparse.coo_array,
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "tensor": torch.from_numpy,
    "tensor with a gradient": lambda X: torch.from_numpy(X).requires_grad_(),
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@pytest.fixture
def pair(rng):
    """Rows of data and their reconstructions."""
    X = rng.uniform(size=(4, 50))
    return X, X + rng.normal(size=X.shape)


@pytest.fixture
def codes(rng):
    """Codes of 40 rows, about half of them zero, and of the first row all of them."""
    Z = rng.normal(size=(40, 6)) * (rng.uniform(size=(40, 6)) < 0.5)
    Z[0] = Z[:, 2] = 0
    return Z


@pytest.fixture
def labels(rng):
    return rng.choice(["bag", "coat", "shoe"], size=40)


# Reconstructions ----------------------------------------------------------------------


def test_reconstruction_error(pair):
    expected = [
        math.fsum((a - b) ** 2 for a, b in zip(x, x_hat, strict=True)) / 50
        for x, x_hat in zip(*pair, strict=True)
    ]
    assert_allclose(reconstruction_error(*pair), expected, rtol=1e-12)
    pooled = reconstruction_error(*pair, pooled=True)
    assert isinstance(pooled, float)
    assert_allclose(pooled, mean_squared_error(*pair), rtol=1e-12)


def test_psnr(pair):
    X, X_hat = pair
    errors = map(mean_squared_error, X, X_hat)
    expected = [-10 * math.log10(error) for error in errors]
    assert_allclose(peak_signal_noise_ratio(X, X_hat), expected, rtol=1e-12)
    scaled = peak_signal_noise_ratio(255 * X, 255 * X_hat, data_range=255)
    assert_allclose(scaled, expected, rtol=1e-12)
    assert np.isinf(peak_signal_noise_ratio(X, X)).all()


def test_pooled_psnr_is_half_of_what_the_paper_prints(pair):
    X, X_hat = pair
    pooled = peak_signal_noise_ratio(X, X_hat, data_range=2.0, pooled=True)
    assert isinstance(pooled, float)
    paper = 20 * math.log10(4 / mean_squared_error(X, X_hat))
    assert_allclose(pooled, paper / 2, rtol=1e-12)
    assert peak_signal_noise_ratio(X, X, pooled=True) == math.inf


@pytest.mark.parametrize("function", OF_RECONSTRUCTIONS)
def test_missing_entries_are_left_out(function, pair):
    X, X_hat = pair
    X[0, :45] = X[2, 1] = np.nan
    seen = ~np.isnan(X)
    parts = zip(X, X_hat, seen, strict=True)
    expected = [function([x[s]], [x_hat[s]])[0] for x, x_hat, s in parts]
    assert_allclose(function(X, X_hat), expected, rtol=1e-12)
    pooled = function([X[seen]], [X_hat[seen]], pooled=True)
    assert_allclose(function(X, X_hat, pooled=True), pooled, rtol=1e-12)
    masked = np.ma.masked_array(np.nan_to_num(X), ~seen)
    assert_array_equal(function(masked, X_hat), function(X, X_hat))


@pytest.mark.parametrize("function", OF_RECONSTRUCTIONS)
def test_nothing_is_observed(function, pair):
    X, X_hat = pair
    X[2] = np.nan
    with pytest.raises(ValueError, match=r"X_true has no .* row 2; .*pooled=True"):
        function(X, X_hat)
    rest = function(np.delete(X, 2, 0), np.delete(X_hat, 2, 0), pooled=True)
    assert_allclose(function(X, X_hat, pooled=True), rest, rtol=1e-12)
    with pytest.raises(ValueError, match=r"X_true has no observed value\.$"):
        function(np.full_like(X, np.nan), X_hat, pooled=True)


@each_form
@pytest.mark.parametrize("function", OF_RECONSTRUCTIONS)
def test_reconstructions_of_any_form(function, form, pair):
    X, X_hat = pair
    assert_array_equal(function(form(X), form(X_hat)), function(X, X_hat))


def test_arithmetic_is_in_float64():
    X = np.array([[0, 255]], dtype=np.uint8)
    assert reconstruction_error(X, 255 - X) == 255**2
    X = np.float32([[1e30, 1e30]])
    assert_allclose(reconstruction_error(X, -X), 4e60, rtol=1e-6)


def test_invalid_reconstructions(pair):
    X, X_hat = pair
    for function in (*OF_RECONSTRUCTIONS, structural_similarity):
        shape = {"image_shape": (5, 10)} if function is structural_similarity else {}
        with pytest.raises(ValueError, match=r"X_true and X_pred .* \(4, 50\) and \(1"):
            function(X, X[:1], **shape)
        with pytest.raises(ValueError, match=r"X_true is not valid: .* 1D array"):
            function(X[0], X_hat, **shape)
        for value, word in (np.nan, "NaN"), (np.inf, "infinity"):
            bad = X_hat.copy()
            bad[1, 1] = value
            with pytest.raises(ValueError, match=rf"X_pred is not valid: .*{word}"):
                function(X, bad, **shape)
    with pytest.raises(ValueError, match=r"X_true is not valid: .*infinity"):
        reconstruction_error(bad, X)
    for data_range in (0, -1.0, np.nan, np.inf, "1", True):
        with pytest.raises(ValueError, match="'data_range' parameter"):
            peak_signal_noise_ratio(X, X_hat, data_range=data_range)
    for function in OF_RECONSTRUCTIONS:
        with pytest.raises(ValueError, match="'pooled' parameter"):
            function(X, X_hat, pooled="all")


def ssim_by_loops(x, y, data_range, win_size):
    """SSIM of one channel, from the definition of Wang et al., window by window."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    places = [range(size - win_size + 1) for size in x.shape]
    values = []
    for i in places[0]:
        for j in places[1]:
            window = slice(i, i + win_size), slice(j, j + win_size)
            a, b = x[window].ravel(), y[window].ravel()
            (var_a, cov), (_, var_b) = np.cov(a, b)
            luminance = (2 * a.mean() * b.mean() + c1) / (
                a.mean() ** 2 + b.mean() ** 2 + c1
            )
            values.append(luminance * (2 * cov + c2) / (var_a + var_b + c2))
    return np.mean(values)


@pytest.mark.parametrize(
    ("shape", "win_size"), [((9, 11), 7), ((9, 11), 9), ((5, 7, 3), 3)]
)
def test_ssim(shape, win_size, rng):
    images = rng.uniform(0, 2, size=(3, *shape))
    noisy = images + rng.normal(scale=0.3, size=images.shape)
    expected = [
        np.mean(
            [
                ssim_by_loops(a[..., c], b[..., c], 2.0, win_size)
                for c in range(a.shape[2])
            ]
        )
        for a, b in zip(
            images.reshape(3, *shape[:2], -1),
            noisy.reshape(3, *shape[:2], -1),
            strict=True,
        )
    ]
    options = {"image_shape": shape, "data_range": 2.0, "win_size": win_size}
    X, X_hat = images.reshape(3, -1), noisy.reshape(3, -1)
    assert_allclose(structural_similarity(X, X_hat, **options), expected, rtol=1e-9)
    assert_allclose(structural_similarity(X, X, **options), 1)


def test_the_defaults_of_ssim(rng):
    X, X_hat = rng.uniform(size=(2, 3, 64))
    options = {"data_range": 1.0, "win_size": 7}
    assert_array_equal(
        structural_similarity(X, X_hat, image_shape=(8, 8)),
        structural_similarity(X, X_hat, image_shape=[8, 8], **options),
    )


def test_invalid_images(rng):
    X = rng.uniform(size=(2, 48))
    for shape in ((48,), (-6, -8), (6.0, 8.0), (2, 2, 3, 4)):
        with pytest.raises(ValueError, match=r"image_shape=.*two or three integers"):
            structural_similarity(X, X, image_shape=shape)
    with pytest.raises(ValueError, match=r"image_shape=\(7, 7\) has 49 .* has 48"):
        structural_similarity(X, X, image_shape=(7, 7))
    with pytest.raises(ValueError, match="'image_shape' parameter"):
        structural_similarity(X, X, image_shape=48)
    with pytest.raises(ValueError, match=r"image_shape=\(6, 8\) is smaller .*win_size"):
        structural_similarity(X, X, image_shape=(6, 8))
    # The number of channels does not limit the window.
    structural_similarity(X, X, image_shape=(4, 6, 2), win_size=3)
    with pytest.raises(ValueError, match=r"an odd int in the range .* Got 4"):
        structural_similarity(X, X, image_shape=(6, 8), win_size=4)
    for win_size in (1, 3.0, None):
        with pytest.raises(ValueError, match="'win_size' parameter"):
            structural_similarity(X, X, image_shape=(6, 8), win_size=win_size)
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"X_true is not valid: .*NaN"):
        structural_similarity(X, X, image_shape=(6, 8))


def test_ssim_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r"sklearn-sparsegen\[images\]"):
        structural_similarity([[0.0] * 49], [[0.0] * 49], image_shape=(7, 7))


# Sparsity -----------------------------------------------------------------------------


def test_active_codes(codes):
    expected = [sum(abs(z) > 0.5 for z in row) for row in codes]
    assert_array_equal(active_codes(codes, threshold=0.5), expected)
    assert_array_equal(active_codes(codes), active_codes(codes, threshold=0.2))
    assert_array_equal(active_codes([[0.5, -0.5, 0.0]], threshold=0.5), [0])
    assert_array_equal(active_codes([[0.5, -0.5, 0.0]], threshold=0), [2])


def test_dead_components(codes):
    codes[:, 4] = -0.3
    assert_array_equal(dead_components(codes), [2])
    assert_array_equal(dead_components(codes, threshold=0.3), [2, 4])
    codes[7, 2] = -0.4
    assert dead_components(codes).shape == (0,)


def test_hoyer_sparsity(codes):
    codes, expected = codes[codes.any(axis=1)], []
    for row in codes:
        norms = math.fsum(map(abs, row)), math.hypot(*row)
        expected.append((math.sqrt(6) - norms[0] / norms[1]) / (math.sqrt(6) - 1))
    assert_allclose(hoyer_sparsity(codes), expected, rtol=1e-12, atol=1e-15)


def test_gini_sparsity(codes):
    """The index is half of the mean absolute difference of entries over their mean."""
    codes = codes[codes.any(axis=1)]
    sizes = np.abs(codes)
    differences = np.abs(sizes[:, :, None] - sizes[:, None, :]).mean(axis=(1, 2))
    expected = differences / (2 * sizes.mean(axis=1))
    assert_allclose(gini_sparsity(codes), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("function", [hoyer_sparsity, gini_sparsity])
def test_sparsity_has_no_scale(function, codes):
    expected = function(codes)
    factors = np.geomspace(1e-200, 1e200, len(codes))[:, None]
    assert_allclose(function(codes * -factors), expected, rtol=1e-12, atol=1e-14)
    small = codes.astype(np.float32)
    assert_allclose(function(small), function(small.astype(float)), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 10, 77])
def test_bounds_of_sparsity(k):
    equal, one, zero = np.full(k, 0.1), np.zeros(k), np.zeros(k)
    one[-1] = -3.0
    hoyer, gini = (f([equal, one, zero]) for f in (hoyer_sparsity, gini_sparsity))
    assert_allclose(hoyer, [0, k > 1, 1], atol=1e-14)
    assert_allclose(gini, [0, 1 - 1 / k, 1], atol=1e-14)
    for values in hoyer, gini:
        assert values.min() >= 0
        assert values.max() <= 1


def test_sparse_codes_become_dense_in_pieces(monkeypatch, rng):
    values = rng.uniform(size=(2500, 30))
    Z = sparse.csr_array(np.where(values < 0.1, values, 0))
    rows, toarray = [], sparse.csr_array.toarray

    def record(self, *args, **kwargs):
        rows.append(self.shape[0])
        return toarray(self, *args, **kwargs)

    dense = Z.toarray()
    monkeypatch.setattr(sparse.csr_array, "toarray", record)
    for function in (*OF_CODES, class_activation, class_information):
        y = (np.arange(2500) % 3,) if function in OF_CLASSES else ()
        assert_allclose(function(Z, *y), function(dense, *y), rtol=1e-12)
    assert rows == 2 * [1000, 1000, 500]


# Classes ------------------------------------------------------------------------------


def test_class_activation(codes, labels):
    expected = [
        [np.mean([abs(z) > 0.5 for z in codes[labels == label, j]]) for j in range(6)]
        for label in ("bag", "coat", "shoe")
    ]
    shares = class_activation(codes, labels, threshold=0.5)
    assert_allclose(shares, expected, rtol=1e-12)
    numbers = np.unique(labels, return_inverse=True)[1]
    for y in (7 - numbers, torch.from_numpy(7 - numbers), pd.Series(7.0 - numbers)):
        assert_array_equal(class_activation(codes, y, threshold=0.5), shares[::-1])


def entropy(values):
    shares = np.array(list(Counter(values).values())) / len(values)
    return -(shares * np.log(shares)).sum()


def test_class_information(codes, labels):
    """Mutual information is H(activity) + H(class) - H(activity, class)."""
    expected = []
    for active in np.abs(codes.T) > 0.5:
        pairs = list(zip(active, labels, strict=True))
        expected.append(entropy(active) + entropy(labels) - entropy(pairs))
    information = class_information(codes, labels, threshold=0.5)
    assert_allclose(information, expected, rtol=1e-9, atol=1e-12)
    assert information[2] == 0  # a dead component tells nothing
    assert_allclose(class_information([[0], [1]], ["bag", "shoe"]), math.log(2))
    assert_array_equal(class_information(codes, ["bag"] * 40), np.zeros(6))


@pytest.mark.parametrize("function", OF_CLASSES)
def test_the_threshold_of_the_paper(function):
    codes, y = [[0.2, 0.21], [0.0, 0.0]], [1, 0]
    assert_array_equal(function(codes, y), function([[0, 1], [0, 0]], y))


@each_form
@pytest.mark.parametrize("function", [*OF_CODES, *OF_CLASSES])
def test_codes_of_any_form(function, form, codes, labels):
    y = (labels,) if function in OF_CLASSES else ()
    result = function(form(codes), *y)
    assert type(result) is np.ndarray
    assert_allclose(result, function(codes, *y), rtol=1e-12)


@pytest.mark.parametrize("function", [*OF_CODES, *OF_CLASSES])
def test_invalid_codes(function, codes, labels):
    y = (labels,) if function in OF_CLASSES else ()
    with pytest.raises(ValueError, match=r"Z is not valid: .* 1D array"):
        function(codes[0], *y)
    with pytest.raises(ValueError, match=r"Z is not valid: .*0 sample"):
        function(codes[:0], *y)
    with pytest.raises(ValueError, match=r"Z is not valid: .*omplex"):
        function(torch.from_numpy(codes).cfloat(), *y)
    codes[3, 3] = np.nan
    for form in (np.array, sparse.csr_array, torch.from_numpy):
        with pytest.raises(ValueError, match=r"Z is not valid: .*NaN"):
            function(form(codes), *y)
    if function not in (hoyer_sparsity, gini_sparsity):
        for threshold in (-0.1, np.nan, "0.2", True):
            with pytest.raises(ValueError, match="'threshold' parameter"):
                function(np.nan_to_num(codes), *y, threshold=threshold)


@pytest.mark.parametrize("function", OF_CLASSES)
def test_invalid_classes(function, codes, rng):
    with pytest.raises(ValueError, match="y has 39 labels, but Z has 40 rows"):
        function(codes, np.zeros(39))
    with pytest.raises(ValueError, match="y should be a 1d array"):
        function(codes, np.zeros((40, 2)))
    with pytest.raises(ValueError, match="y should be a 1d array"):
        function(codes, None)
    with pytest.raises(ValueError, match="continuous"):
        function(codes, rng.normal(size=40))
    with pytest.raises(ValueError, match="NaN"):
        function(codes, [np.nan] + [1.0] * 39)


# Scorers ------------------------------------------------------------------------------

SCORERS = {
    "neg_mean_squared_error": {},
    "psnr": {"data_range": 2.0},
    "ssim": {"image_shape": (8, 8), "win_size": 5},
    "gini_sparsity": {},
    "hoyer_sparsity": {},
    "neg_active_codes": {"threshold": 0.5},
    "neg_dead_components": {"threshold": 2.0},
    "class_information": {"threshold": 0.1},
}
each_scorer = pytest.mark.parametrize(("name", "options"), SCORERS.items(), ids=SCORERS)


def expected_score(name, options, X, y, Z, X_hat):
    return {
        "neg_mean_squared_error": lambda: -mean_squared_error(X, X_hat),
        "psnr": lambda: peak_signal_noise_ratio(X, X_hat, **options).mean(),
        "ssim": lambda: structural_similarity(X, X_hat, **options).mean(),
        "gini_sparsity": lambda: gini_sparsity(Z).mean(),
        "hoyer_sparsity": lambda: hoyer_sparsity(Z).mean(),
        "neg_active_codes": lambda: -(np.abs(Z) > 0.5).sum(axis=1).mean(),
        "neg_dead_components": lambda: -(np.abs(Z) <= 2).all(axis=0).sum(),
        "class_information": lambda: class_information(Z, y, **options).mean(),
    }[name]()


@pytest.fixture(scope="module")
def encoder(digits):
    settings = {"alpha": 0.3, "decay": 0.7, "max_iter": 3, "tol": None}
    return SparseGeneratorEncoder(10, random_state=0, **settings).fit(digits)


@pytest.fixture(scope="module")
def classes(digits):
    return digits[:, 20] > 0.5


@each_scorer
@pytest.mark.filterwarnings("ignore:.*CSR array is larger")
@pytest.mark.parametrize("output", ["default", "pandas", "polars", "sparse", "tensor"])
def test_scores_of_encoders(name, options, output, encoder, digits, classes):
    encoder = copy.deepcopy(encoder)
    X, y = digits[:50], classes[:50]
    Z = encoder.transform(X)
    expected = expected_score(name, options, X, y, Z, encoder.inverse_transform(Z))
    encoder.set_params(sparse_output=output == "sparse")
    if output in ("pandas", "polars"):
        encoder.set_output(transform=output)
    if output == "tensor":
        X, y = torch.tensor(X), torch.tensor(y)
    score = make_encoder_scorer(name, **options)(encoder, X, y)
    assert isinstance(score, float)
    assert_allclose(score, expected, rtol=1e-6)


@each_scorer
@pytest.mark.parametrize(
    "transformer", [PCA(5), TruncatedSVD(5), NMF(5, max_iter=1000)]
)
def test_scores_of_other_transformers(name, options, transformer, digits, classes):
    fitted = clone(transformer).fit(digits)
    Z = fitted.transform(digits)
    X_hat = fitted.inverse_transform(Z)
    expected = expected_score(name, options, digits, classes, Z, X_hat)
    score = make_encoder_scorer(name, **options)
    assert_allclose(score(fitted, digits, classes), expected, rtol=1e-9)
    fitted.set_output(transform="pandas")
    assert_allclose(score(fitted, digits, classes), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["psnr", "neg_mean_squared_error"])
def test_pipelines_are_scored_in_the_units_of_their_data(name, digits):
    frame = pd.DataFrame(16 * digits).add_prefix("pixel ")
    pipeline = make_pipeline(StandardScaler(), PCA(10)).set_output(transform="pandas")
    pipeline.fit(frame)
    scaler, pca = StandardScaler().fit(frame), PCA(10)
    scaled = scaler.transform(frame)
    X_hat = scaler.inverse_transform(pca.inverse_transform(pca.fit_transform(scaled)))
    errors = ((16 * digits - X_hat) ** 2).mean(axis=1)
    options, expected = {}, -errors.mean()
    if name == "psnr":
        options, expected = {"data_range": 16}, 10 * np.log10(16**2 / errors).mean()
    assert_allclose(make_encoder_scorer(name, **options)(pipeline, frame), expected)


@pytest.mark.parametrize("sparsely", [False, True])
@pytest.mark.parametrize("name", ["psnr", "ssim"])
def test_a_range_above_the_default_is_said(name, sparsely, digits):
    options = {"image_shape": (8, 8)} if name == "ssim" else {}
    score = make_encoder_scorer(name, **options)
    pca = TruncatedSVD(5).fit(digits)
    container = sparse.csr_array if sparsely else np.asarray
    score(pca, container(digits))  # from 0 to 1, without a warning
    if not sparsely:
        score(pca, digits - 7)
    with pytest.warns(UserWarning, match=rf"{name}.*range .* 0 to 16; pass data_range"):
        score(pca, container(16 * digits))
    make_encoder_scorer(name, data_range=16, **options)(pca, container(16 * digits))


def test_scores_of_data_with_missing_values(digits, rng):
    X = np.where(rng.uniform(size=digits.shape) < 0.2, np.nan, digits)
    encoder = SparseGeneratorEncoder(5, alpha=1.0, max_iter=2, tol=None, random_state=0)
    pipeline = make_pipeline(StandardScaler(), encoder).fit(X)
    X_hat = pipeline.inverse_transform(pipeline.transform(X))
    for pooled in (False, True):
        score = make_encoder_scorer("psnr", pooled=pooled)(pipeline, X)
        expected = peak_signal_noise_ratio(X, X_hat, pooled=pooled)
        assert_allclose(score, np.mean(expected))
    assert np.isfinite(score)


def test_scores_of_sparse_data(digits):
    svd, X = TruncatedSVD(5).fit(digits), sparse.csr_array(digits)
    score = make_encoder_scorer("psnr")
    assert_allclose(score(svd, X), score(svd, digits))


@each_scorer
def test_codes_are_inferred_once(name, options, digits, classes):
    pca = Mock(wraps=PCA(3).fit(digits))
    make_encoder_scorer(name, **options)(pca, digits, classes)
    calls = [call[0] for call in pca.method_calls]
    needs_images = name in ("neg_mean_squared_error", "psnr", "ssim")
    assert calls == ["transform", "inverse_transform"][: 1 + needs_images]


@each_scorer
@pytest.mark.parametrize("routing", [False, True])
def test_cross_validation(name, options, routing, digits, classes):
    """Several scores at once are those of a search for one."""
    scorer = make_encoder_scorer(name, **options)
    alone = cross_validate(PCA(3), digits, classes, cv=2, scoring=scorer)
    with sklearn.config_context(enable_metadata_routing=routing):
        scoring = {"ours": scorer, "likelihood": lambda pca, X, y: pca.score(X)}
        result = cross_validate(PCA(3), digits, classes, cv=2, scoring=scoring)
    assert_array_equal(result["test_ours"], alone["test_score"])
    assert np.isfinite(alone["test_score"]).all()


@pytest.mark.parametrize("routing", [False, True])
def test_a_search_selects_by_the_scorer(routing, digits):
    scoring = {
        "psnr": make_encoder_scorer("psnr"),
        "active": make_encoder_scorer("neg_active_codes"),
    }
    encoder = SparseGeneratorEncoder(
        8, hidden_layer_sizes=(), batch_size=30, max_iter=4, tol=None, random_state=0
    )
    best = {}
    for refit, scorer in scoring.items():
        grid = {"n_nonzero_coefs": [1, 6]}
        search = GridSearchCV(encoder, grid, scoring=scoring, refit=refit, cv=2)
        with sklearn.config_context(enable_metadata_routing=routing):
            search.fit(digits)
            assert search.score(digits) == scorer(search.best_estimator_, digits)
        best[refit] = search.best_params_["n_nonzero_coefs"]
    assert best == {"psnr": 6, "active": 1}


@pytest.mark.parametrize("is_dict", [False, True])
@pytest.mark.parametrize("routing", [False, True])
def test_weights_reach_the_encoder_and_not_the_scorer(is_dict, routing, digits):
    scorer = make_encoder_scorer("psnr")
    options = {"scoring": {"psnr": scorer} if is_dict else scorer, "refit": "psnr"}
    weights = np.arange(300) % 2
    encoder = SparseGeneratorEncoder(
        4, alpha=1.0, max_iter=1, tol=None, shuffle=False, random_state=0
    )
    expected = clone(encoder).fit(digits[weights == 1])
    with sklearn.config_context(enable_metadata_routing=routing):
        if routing:
            encoder.set_fit_request(sample_weight=True).set_score_request(
                sample_weight=True
            )
        search = GridSearchCV(encoder, {"alpha": [1.0]}, cv=2, **options)
        if routing:
            search.fit(digits, sample_weight=weights)
        else:
            with pytest.warns(UserWarning, match=r"psnr.*not support sample_weight"):
                search.fit(digits, sample_weight=weights)
        assert search.score(digits) == scorer(search.best_estimator_, digits)
    assert_allclose(search.best_estimator_.sigma_, expected.sigma_)


@each_scorer
def test_scorers_are_pickled_copied_and_shown(name, options, digits, classes):
    scorer = make_encoder_scorer(name, **options)
    pca = PCA(3).fit(digits)
    expected = scorer(pca, digits, classes)
    search = clone(GridSearchCV(pca, {}, scoring=scorer))
    shown = eval(repr(scorer), {"make_encoder_scorer": make_encoder_scorer})
    for other in (pickle.loads(pickle.dumps(scorer)), search.scoring, shown):
        assert other is not scorer
        assert repr(other) == repr(scorer)
        assert other(pca, digits, classes) == expected
    assert repr(make_encoder_scorer("psnr", data_range=255)) == (
        "make_encoder_scorer('psnr', data_range=255)"
    )


def test_scorers_say_what_an_estimator_lacks(digits, classes):
    classifier = make_pipeline(PCA(3), LogisticRegression()).fit(digits, classes)
    for name, options in SCORERS.items():
        scorer = make_encoder_scorer(name, **options)
        with pytest.raises(TypeError, match=r"method transform, .*pipeline\[:-1\]"):
            scorer(classifier, digits, classes)
        assert np.isfinite(scorer(classifier[:-1], digits, classes))
    no_inverse = make_pipeline(Binarizer(), PCA(3)).fit(digits)
    assert np.isfinite(make_encoder_scorer("neg_active_codes")(no_inverse, digits))
    with pytest.raises(
        TypeError, match=r"'psnr'.* inverse_transform, .* this Pipeline"
    ):
        make_encoder_scorer("psnr")(no_inverse, digits)
    with pytest.raises(ValueError, match=r"class_information.* needs y"):
        make_encoder_scorer("class_information")(no_inverse, digits)


def test_invalid_scorers():
    with pytest.raises(ValueError, match=r"name must be one of .*'psnr'.*, got 'pnsr'"):
        make_encoder_scorer("pnsr")
    with pytest.raises(TypeError, match=r"'data_rng'; the options of 'psnr' are \['da"):
        make_encoder_scorer("psnr", data_rng=1)
    with pytest.raises(TypeError, match="'image_shape'; the options of 'ssim'"):
        make_encoder_scorer("ssim")
    with pytest.raises(TypeError, match="X_true"):
        make_encoder_scorer("psnr", X_true=1)
    with pytest.raises(ValueError, match="'threshold' parameter of active_codes"):
        make_encoder_scorer("neg_active_codes", threshold=-1)
    with pytest.raises(TypeError, match="'threshold'; the options of 'hoyer"):
        make_encoder_scorer("hoyer_sparsity", threshold=1)
