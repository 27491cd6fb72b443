"""The encoder with the proximal solver, exact zeros and images."""

import copy
import functools
import warnings

import numpy as np
import pytest
import torch
from conftest import short_fits
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import peak_signal_noise_ratio

pytestmark = short_fits

Encoder = functools.partial(
    SparseGeneratorEncoder,
    n_components=12,
    hidden_layer_sizes=(20,),
    batch_size=50,
    alpha=0.1,
    decay=0.15,
    max_iter=8,
    sigma=0.1,
    output_activation="auto",
    positive_code=False,
    n_steps=30,
    transform_n_steps=None,
    init="zeros",
    learning_rate_init=0.01,
    random_state=0,
    tol=None,
)


SCALES = [0, 0.1]


@pytest.fixture(scope="module")
def fitted(digits):
    return {scale: Encoder(spike_scale=scale).fit(digits) for scale in SCALES}


@pytest.fixture
def encoders(fitted):
    """Fitted encoders by their `spike_scale`, whose parameters a test may change."""
    return copy.deepcopy(fitted)


def reconstruct(encoder, X):
    codes = encoder.transform(X)
    return codes, peak_signal_noise_ratio(X, encoder.inverse_transform(codes)).mean()


def test_inactive_codes_are_exactly_zero(encoders, digits):
    exact = encoders[0]
    codes, psnr = reconstruct(exact, digits)
    assert 0.05 < (codes != 0).mean() < 0.8
    mean = np.tile(digits.mean(0), (len(digits), 1))
    assert psnr > peak_signal_noise_ratio(digits, mean).mean() + 3
    assert_array_equal(exact.slab_proba(codes), codes != 0)
    assert exact.n_active_curve_[-1] < exact.n_active_curve_[0] == 12
    # There is nothing to set to zero, and nothing to gain from inferring again.
    refined = exact.set_params(threshold="posterior").transform(digits)
    assert_array_equal(refined != 0, codes != 0)
    assert_array_equal(exact.set_params(threshold=0).transform(digits), codes)
    csr = exact.set_params(threshold=None, sparse_output=True).transform(digits)
    assert csr.nnz == np.count_nonzero(codes)
    assert_array_equal(csr.toarray(), codes)


def test_exact_zeros_score_and_sample(encoders, digits):
    exact = encoders[0]
    scores = exact.score_samples(digits)
    assert np.isfinite(scores).all()
    assert scores.mean() > exact.score(1 - digits)
    assert np.isfinite(exact.sample(100)).all()


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_extreme_alphas_of_the_point_mass(digits, alpha):
    encoder = Encoder(spike_scale=0, alpha=alpha, alpha_init=alpha, max_iter=2)
    codes = encoder.fit_transform(digits)
    assert ((codes != 0) == alpha).all()
    # The energy at the start may be infinite.
    codes = encoder.set_params(init="normal").transform(digits)
    assert ((codes != 0) == alpha).all()
    assert np.isfinite(encoder.score(digits))
    assert np.isfinite(encoder.sample(3)).all()


@pytest.mark.parametrize("spike_scale", SCALES)
@pytest.mark.parametrize("n_nonzero_coefs", [1, 3, 12])
def test_at_most_so_many_codes(encoders, digits, spike_scale, n_nonzero_coefs):
    encoder = encoders[spike_scale].set_params(n_nonzero_coefs=n_nonzero_coefs)
    codes = encoder.transform(digits)
    assert_array_equal((codes != 0).sum(1), n_nonzero_coefs)
    with pytest.raises(ValueError, match="n_nonzero_coefs=13 must not be above n_comp"):
        encoder.set_params(n_nonzero_coefs=13).transform(digits)


@pytest.mark.parametrize(("n_nonzero_coefs", "is_told"), [(8, False), (9, True)])
def test_a_csr_array_that_is_larger_is_told(encoders, digits, n_nonzero_coefs, is_told):
    """It is above two thirds: an entry has a value of 8 bytes and a column of 4."""
    encoder = encoders[0].set_params(n_nonzero_coefs=n_nonzero_coefs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        codes = encoder.set_params(sparse_output=True).transform(digits)
    assert codes.nnz == n_nonzero_coefs * len(digits)
    told = ["75% of the entries of the codes are not zero"] * is_told
    assert [str(warning.message).partition(",")[0] for warning in caught] == told


@pytest.mark.parametrize("n_nonzero_coefs", [1, 3])
def test_training_under_a_limit_is_better_than_cutting(digits, n_nonzero_coefs):
    codes, _ = reconstruct(encoder := Encoder().fit(digits), digits)
    limited = Encoder(n_nonzero_coefs=n_nonzero_coefs).fit(digits)
    # The limit takes the place of alpha, so that no schedule is waited for.
    assert_allclose(limited.n_active_curve_, n_nonzero_coefs)
    _, psnr = reconstruct(limited, digits)
    order = np.argsort(-np.abs(codes), axis=1)[:, :n_nonzero_coefs]
    kept = np.zeros_like(codes)
    np.put_along_axis(kept, order, np.take_along_axis(codes, order, axis=1), axis=1)
    cut = peak_signal_noise_ratio(digits, encoder.inverse_transform(kept)).mean()
    assert psnr > cut


def test_threshold_and_number_together(encoders, digits):
    encoder = encoders[0.1].set_params(n_nonzero_coefs=3)
    support = np.abs(encoder.transform(digits)) >= 0.3
    codes = encoder.set_params(threshold=0.3).transform(digits)
    assert 0.1 < support.mean() <= 0.25
    assert not codes[~support].any()


def test_steps_that_do_not_reach_tol_give_a_warning(encoders, digits, monkeypatch):
    encoder = encoders[0].set_params(transform_tol=1e-9, transform_n_steps=3)
    with pytest.warns(
        ConvergenceWarning,
        match=r"after 3 steps before .*1e-09 for \d+ of 300 rows \(0, 1, 2, 3, 4, ",
    ):
        encoder.transform(digits)
    # Rows are named by their places in X.
    encoder.set_params(transform_tol=1e-3, transform_n_steps=20)
    with pytest.warns(
        ConvergenceWarning, match="before it reached transform_tol"
    ) as caught:
        encoder.transform(digits)
    message = str(caught[0].message)
    first = int(message.split("(")[1].split(",")[0])
    # The row is the first of a second batch, after rows of which nothing is observed.
    monkeypatch.setattr("sklearn_sparsegen._inference.model._CPU_ROWS", 32)
    X = np.concatenate([np.full((32, 64), np.nan), digits[first : first + 1]])
    with pytest.warns(ConvergenceWarning, match=r"1 of 33 rows \(32\)"):
        encoder.transform(X)
    encoder.set_params(transform_tol=1e-3, transform_n_steps=1000).transform(digits)
    # The same steps infer the entries that the threshold leaves.
    encoder = encoders[0.1]
    encoder.set_params(solver="gradient", step_size=0.01, threshold=0.01)
    with pytest.warns(
        ConvergenceWarning,
        match="after 30 steps before it reached transform_tol=1e-09 for",
    ):
        encoder.set_params(transform_tol=1e-9).transform(digits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spike_scale", SCALES)
def test_rows_do_not_depend_on_their_batch(
    encoders, digits, spike_scale, dtype, check_rows_are_alone
):
    # After 30 steps many rows have not converged, and rounding is amplified there.
    encoder = encoders[spike_scale].set_params(n_nonzero_coefs=4)
    for network in filter(None, encoder._state.networks.values()):
        network.to(getattr(torch, dtype))
    check_rows_are_alone(encoder, digits[:40].astype(dtype))


def test_energy_is_below_that_of_the_papers_solver(digits):
    encoder = Encoder(spike_scale=0.1).fit(digits)

    def energies():
        codes = encoder.transform(digits)
        error = ((digits - encoder.inverse_transform(codes)) ** 2).sum(1)
        slab = 0.1 * np.exp(-(codes**2) / 2)
        spike = 0.9 / 0.1 * np.exp(-(codes**2) / (2 * 0.1**2))
        return error / (2 * 0.1**2) - np.log(slab + spike).sum(1)

    proximal = energies()
    encoder.set_params(solver="gradient", step_size=0.03)
    gradient = energies()
    assert (proximal <= gradient + 1e-9).mean() > 0.98
    assert proximal.mean() < gradient.mean() - 20


@pytest.mark.parametrize("image_shape", [(8, 8), (4, 8, 2)])
def test_convolutional_generator(digits, image_shape):
    X = digits[:100].astype(np.float32)
    encoder = Encoder(
        generator="convolutional", image_shape=image_shape, spike_scale=0, n_steps=10
    ).fit(X)
    _, psnr = reconstruct(encoder, X)
    mean = np.tile(X.mean(0), (len(X), 1))
    assert psnr > peak_signal_noise_ratio(X, mean).mean() + 1


SIGMAS = (0.05, 0.1, 0.2, 0.4)


def search_sigma(X, **params):
    search = GridSearchCV(
        Encoder(**params), {"sigma": SIGMAS}, cv=2, error_score="raise"
    ).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert SIGMAS[0] < search.best_params_["sigma"] < SIGMAS[-1]


@pytest.mark.parametrize("spike_scale", SCALES)
def test_sigma_can_be_searched_on_digits(digits, spike_scale):
    search_sigma(digits, spike_scale=spike_scale, n_steps=15)


def test_sigma_can_be_searched_on_mnist(data_home):
    images = load_images("mnist", data_home=data_home, download_if_missing=False)
    search_sigma(images.X_train[:200], spike_scale=0, n_steps=15)
