"""The TopK autoencoder against NumPy, and what its documentation promises."""

import numpy as np
import pytest
import torch
from conftest import short_fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import approx_fprime
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import r2_score
from sklearn.preprocessing import scale

from sklearn_sparsegen.baselines import TopKEncoder
from sklearn_sparsegen.baselines._topk import keep_largest

pytestmark = short_fits

SMALL = {
    "n_components": 12,
    "n_nonzero_coefs": 3,
    "learning_rate_init": 0.01,
    "max_iter": 5,
    "tol": None,
    "random_state": 0,
}
# With steps this short, training leaves the networks as they start.
STILL = 1e-300


@pytest.fixture(scope="module")
def fitted(digits):
    return TopKEncoder(**SMALL).fit(digits)


def arrays_of(encoder):
    """Return W_e, b_e, W_d and b as copies, for data of mean 0 and variance 1."""
    layer, generator = encoder.recognition_[1], encoder.generator_[0]
    tensors = layer.weight, layer.bias, generator.weight, generator.bias
    return [tensor.detach().numpy().copy() for tensor in tensors]


def standardised(X):
    return (X - X.mean(0)) / np.sqrt(X.var(0).mean())


def codes_of(x, encoder_weight, encoder_bias, k):
    """Return the codes of standardised data, with a sort in place of `topk`."""
    z = np.maximum(x @ encoder_weight.T + encoder_bias, 0)
    for row in z:
        row[np.argsort(-row, kind="stable")[k:]] = 0
    return z


def mean_loss(x, weights, k):
    """Return the mean of |x - G(z)|^2, the columns of W_d divided by their norms."""
    encoder_weight, encoder_bias, generator_weight, bias = weights
    unit = generator_weight / np.linalg.norm(generator_weight, axis=0)
    z = codes_of(x, encoder_weight, encoder_bias, k)
    return np.square(x - z @ unit.T - bias).sum(1).mean()


# Codes --------------------------------------------------------------------------------


def test_codes_and_reconstructions_against_numpy(fitted, digits):
    weights = arrays_of(fitted)
    codes = codes_of(standardised(digits), *weights[:2], 3)
    assert 0 < (codes > 0).sum(1).min() <= (codes > 0).sum(1).max() == 3
    assert_allclose(fitted.transform(digits), codes, rtol=1e-9, atol=1e-12)
    reconstruction = np.sqrt(digits.var(0).mean()) * (codes @ weights[2].T + weights[3])
    reconstruction += digits.mean(0)
    assert_allclose(fitted.inverse_transform(codes), reconstruction, rtol=1e-9)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (20,)])
@pytest.mark.parametrize("k", [1, 5, 12])
def test_no_row_has_more_codes_than_the_limit(k, hidden_layer_sizes, digits):
    encoder = TopKEncoder(**SMALL | {"n_nonzero_coefs": k})
    encoder.set_params(hidden_layer_sizes=hidden_layer_sizes).fit(digits)
    codes = encoder.transform(digits)
    assert (codes >= 0).all()
    counts = (codes != 0).sum(1)
    assert counts.max() == k if k < 12 else k / 3 < counts.max() <= k
    assert 0 < encoder.n_active_curve_[-1] <= k
    # The limit is read when `transform` runs.
    few = encoder.set_params(n_nonzero_coefs=1).transform(digits)
    assert_array_equal(few.max(1), codes.max(1))
    assert (few != 0).sum(1).max() == 1


def test_the_limit_is_a_tenth_of_the_components_by_default(digits):
    for n_components, k in (39, 3), (5, 1):
        encoder = TopKEncoder(n_components, max_iter=1, tol=None, random_state=0)
        codes = encoder.fit_transform(digits)
        assert (codes != 0).sum(1).max() == k
    # A value above the components of the fitted networks keeps all of them.
    encoder.set_params(n_components=8, n_nonzero_coefs=8)
    assert encoder.transform(digits).shape == (300, 5)


def test_the_first_of_equal_entries_are_kept(rng):
    z = torch.from_numpy(rng.integers(0, 4, size=(500, 40)).astype(float))
    for n in (1, 7, 39, 40):
        kept = keep_largest(z, n)
        order = np.argsort(-z.numpy(), axis=1, kind="stable")[:, :n]
        expected = np.zeros_like(z)
        np.put_along_axis(expected, order, np.take_along_axis(z.numpy(), order, 1), 1)
        assert_array_equal(kept, expected)
    # What is not finite is not hidden.
    z[3, 5] = torch.nan
    assert not keep_largest(z, 2)[3].isfinite().all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_components_do_not_let_rows_interact(
    dtype, fitted, digits, check_rows_are_alone
):
    encoder = clone(fitted).fit(digits.astype(dtype))
    layer = encoder.recognition_[1]
    for parameter in (layer.weight, layer.bias):
        parameter.data[6:] = parameter.data[:6]  # each component comes twice
    X = digits.astype(dtype)[:50]
    assert (encoder.transform(X) > 0).sum(1).max() == 3
    check_rows_are_alone(encoder, X)


def test_codes_as_a_sparse_array(fitted, digits):
    codes = fitted.transform(digits)
    csr = clone(fitted).set_params(sparse_output=True).fit_transform(digits)
    assert isinstance(csr, sparse.csr_array)
    assert_array_equal(csr.toarray(), codes)


# Training -----------------------------------------------------------------------------


def test_where_training_starts(digits):
    encoder = TopKEncoder(**SMALL | {"learning_rate_init": STILL}).fit(digits)
    encoder_weight, encoder_bias, generator_weight, bias = arrays_of(encoder)
    assert_allclose(encoder_weight, generator_weight.T, rtol=1e-12)
    assert_allclose(np.linalg.norm(generator_weight, axis=0), 1, rtol=1e-6)
    assert np.abs(encoder_bias).max() < 1e-200
    assert np.abs(bias).max() < 1e-200
    (output,) = encoder.inverse_transform(np.zeros((1, 12)))
    assert_allclose(output, digits.mean(0), atol=1e-12)


def test_a_deeper_network_starts_at_the_transposed_weights(digits):
    still = {"hidden_layer_sizes": (20, 15), "learning_rate_init": STILL}
    encoder = TopKEncoder(**SMALL | still).fit(digits)
    up, down = (
        [m for m in network if isinstance(m, torch.nn.Linear)]
        for network in (encoder.generator_, encoder.recognition_)
    )
    assert [tuple(m.weight.shape) for m in down] == [(15, 64), (20, 15), (12, 20)]
    for layer, mirrored in zip(up, down[::-1], strict=True):
        weight = layer.weight.detach().T
        assert_allclose(mirrored.weight.detach(), weight, rtol=1e-12)
        assert mirrored.bias.abs().max() < 1e-200
    assert_allclose(up[0].weight.norm(dim=0).detach(), 1, rtol=1e-6)


def test_loss_and_gradient_against_numpy(fitted, digits, rng):
    encoder, x = clone(fitted).fit(digits), standardised(digits)
    # Columns of other norms, as within an epoch.
    encoder.generator_[0].weight.data *= torch.from_numpy(rng.uniform(0.5, 2, 12))
    weights, factor = arrays_of(encoder), digits.var(0).mean() / 2 / fitted.sigma_**2
    model = encoder._training_model()
    losses, figures, *_ = model.loss(torch.tensor(digits), None, None)
    assert_allclose(losses.mean().item(), factor * mean_loss(x, weights, 3))
    squared_error = figures["squared_error"].mean()
    assert_allclose(squared_error, digits.var(0).mean() * mean_loss(x, weights, 3))
    active = codes_of(x, *weights[:2], 3) > 0
    assert_array_equal(figures["active"], active)
    assert_array_equal(figures["empty"], ~active.any(1))
    losses.mean().backward()
    layer, generator = encoder.recognition_[1], encoder.generator_[0]
    tensors = layer.weight, layer.bias, generator.weight, generator.bias
    for place, tensor in enumerate(tensors):
        # By differences in some random directions.
        for _ in range(3):
            direction = rng.standard_normal(tensor.shape)

            def along(step, place=place, direction=direction):
                moved = list(weights)
                moved[place] = weights[place] + step[0] * direction
                return factor * mean_loss(x, moved, 3)

            (slope,) = approx_fprime([0.0], along, 1e-7)
            found = (tensor.grad.numpy() * direction).sum()
            assert_allclose(found, slope, rtol=1e-4, atol=1e-4 * tensor.grad.norm())
    # The length of a column has no gradient.
    along = (generator.weight.grad * generator.weight).sum(0).detach()
    assert_allclose(along, 0, atol=1e-10 * generator.weight.grad.norm())


def test_epochs_against_an_implementation_of_its_own(digits):
    """Adam on the loss written out, and columns of norm 1 after each epoch."""
    settings = SMALL | {"max_iter": 3, "batch_size": 100, "shuffle": False}
    encoder = TopKEncoder(**settings).fit(digits)
    start = clone(encoder).set_params(learning_rate_init=STILL, max_iter=1)
    weights = [
        torch.from_numpy(w).requires_grad_() for w in arrays_of(start.fit(digits))
    ]
    adam, losses = torch.optim.Adam(weights, lr=0.01), []
    x = torch.from_numpy(standardised(digits))
    unit = digits.var(0).mean() / (2 * encoder.sigma_**2)
    for _ in range(3):
        for batch in x.split(100):
            encoder_weight, encoder_bias, generator_weight, bias = weights
            z = (batch @ encoder_weight.T + encoder_bias).relu()
            largest = z.topk(3, dim=1)
            z = torch.zeros_like(z).scatter(1, largest.indices, largest.values)
            columns = generator_weight / generator_weight.norm(dim=0)
            loss = unit * (batch - z @ columns.T - bias).square().sum(1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        weights[2].data /= weights[2].data.norm(dim=0)
    for found, expected in zip(arrays_of(encoder), weights, strict=True):
        assert_allclose(found, expected.detach(), atol=1e-6)
    assert_allclose(encoder.loss_curve_, np.reshape(losses, (3, 3)).mean(1), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (20,)])
def test_columns_have_norm_one_after_training(hidden_layer_sizes, dtype, digits):
    encoder = TopKEncoder(**SMALL, hidden_layer_sizes=hidden_layer_sizes)
    for fit in (encoder.fit, encoder.partial_fit):
        before = np.array(encoder.loss_curve_ if hasattr(encoder, "n_iter_") else [])
        norms = fit(digits.astype(dtype)).generator_[0].weight.norm(dim=0)
        assert len(encoder.loss_curve_) > len(before)
        assert_allclose(norms.detach(), 1, rtol=1e-6)


def test_a_generator_of_ones_own_keeps_its_scale(digits):
    linear = torch.nn.Linear(12, 64)
    torch.nn.init.constant_(linear.weight, 0.05)
    encoder = TopKEncoder(**SMALL | {"learning_rate_init": STILL})
    encoder.set_params(generator=torch.nn.Sequential(linear)).fit(digits)
    assert_allclose(encoder.generator_[0].weight.detach(), 0.05)
    # Its outputs are data, and the codes are those of the network as they are.
    x = torch.tensor(digits)
    losses, *_ = encoder._training_model().loss(x, None, None)
    error = digits - encoder.inverse_transform(encoder.transform(digits))
    expected = np.square(error).sum(1) / (2 * encoder.sigma_**2)
    assert_allclose(losses.detach(), expected)


def test_sigma_is_the_unit_of_the_loss_alone(fitted, digits):
    assert_allclose(fitted.sigma_, np.sqrt(digits.var(0).sum() / 600))
    other = clone(fitted).set_params(sigma=0.5).fit(digits)
    # Adam adds a small number to the root of the gradient's mean square.
    assert_allclose(other.transform(digits), fitted.transform(digits), atol=1e-3)
    losses = np.array(fitted.loss_curve_) * (fitted.sigma_ / 0.5) ** 2
    assert_allclose(other.loss_curve_, losses, rtol=1e-5)


def test_the_loss_of_rows_that_are_held_out(fitted, digits):
    encoder = clone(fitted).set_params(early_stopping=True, max_iter=2)
    encoder.fit(np.concatenate([digits, digits]))
    codes = encoder.transform(digits)
    error = np.square(digits - encoder.inverse_transform(codes)).sum(1).mean()
    # These are 60 of the 600 rows.
    assert_allclose(
        min(encoder.validation_loss_curve_), error / 2 / encoder.sigma_**2, rtol=0.2
    )


def test_a_fit_of_the_same_seed_has_the_same_bits(fitted, digits):
    again = clone(fitted).fit(digits)
    for found, expected in zip(arrays_of(again), arrays_of(fitted), strict=True):
        assert_array_equal(found, expected)
    assert again.loss_curve_ == fitted.loss_curve_
    other = clone(fitted).set_params(random_state=1).fit(digits)
    assert not np.allclose(arrays_of(other)[0], arrays_of(fitted)[0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["digits", "breast cancer"])
def test_the_defaults_reconstruct(name, digits):
    X = digits if name == "digits" else scale(load_breast_cancer().data)
    encoder = TopKEncoder(max_iter=30, tol=None, random_state=0).fit(X)
    X_hat = encoder.inverse_transform(encoder.transform(X))
    assert r2_score(X, X_hat, multioutput="variance_weighted") > 0.8
