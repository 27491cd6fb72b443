"""The likelihood estimate against integrals and dense matrices, in float64."""

import copy

import numpy as np
import pytest
import torch
from conftest import short_fits
from numpy.testing import assert_allclose
from scipy import integrate, stats
from sklearn.preprocessing import StandardScaler

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen._inference.model import Model
from sklearn_sparsegen._inference.solvers import GradientSteps
from sklearn_sparsegen._inference.starts import Zeros
from sklearn_sparsegen._model.laplace import Hessian, laplace_log_likelihood
from sklearn_sparsegen._model.likelihoods import NormalLikelihood
from sklearn_sparsegen._model.priors import PointSpikeSlab

SIGMA = 0.5


def log_likelihood(weight, x, z, prior):
    n_features, k = weight.shape
    generator = torch.nn.Sequential(torch.nn.Linear(k, n_features)).double()
    generator[0].weight.data = torch.from_numpy(weight)
    generator[0].bias.data.zero_()
    model = Model(
        generator=generator,
        prior=PointSpikeSlab(1.0),
        likelihood=NormalLikelihood(SIGMA),
        solver=Steps(1, 0.1),
        start=Zeros(k),
        n_components=k,
        seed=(0,),
    )
    model.prior = prior
    return laplace_log_likelihood(torch.from_numpy(x), torch.from_numpy(z), model)


class Steps(GradientSteps):
    @staticmethod
    def check(prior):
        pass


def integral_of_each(weight, x, slab_scale):
    """Return log p(x) of orthogonal columns and half-normal codes, by quadrature."""
    (row,) = x
    norms = np.linalg.norm(weight, axis=0)
    inside = weight / norms @ (weight / norms).T @ row
    rest = row - inside
    n_rest = len(row) - len(norms)
    total = -rest @ rest / (2 * SIGMA**2) - n_rest * np.log(SIGMA * np.sqrt(2 * np.pi))
    for column, norm in zip(weight.T, norms, strict=True):
        projection = column @ row / norm

        def density(z, projection=projection, norm=norm):
            noise = stats.norm.pdf(projection, loc=norm * z, scale=SIGMA)
            return noise * stats.halfnorm.pdf(z, scale=slab_scale)

        total += np.log(integrate.quad(density, 0, 30, limit=200)[0])
    return total


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("start", [0.0, 0.01, 0.5, 2.0])
def test_half_space_is_exact_for_orthogonal_columns(k, start, rng):
    weight = np.linalg.qr(rng.normal(size=(5, k)))[0] * rng.uniform(0.5, 2, size=k)
    prior = PointSpikeSlab(1.0, 1.3, nonnegative=True)
    for _ in range(5):
        x = rng.normal(size=(1, 5))
        found = log_likelihood(weight, x, np.full((1, k), start), prior)
        assert_allclose(found, integral_of_each(weight, x, 1.3), rtol=1e-6)


def test_half_space_is_near_for_three_components(rng):
    """Against the probability that a normal distribution is not negative."""
    weight = rng.normal(size=(6, 3))
    prior = PointSpikeSlab(1.0, nonnegative=True)
    z = np.abs(rng.normal(size=(1, 3)))
    x = z @ weight.T + SIGMA * rng.normal(size=(1, 6))
    precision = weight.T @ weight / SIGMA**2 + np.eye(3)
    mode = np.linalg.solve(precision, weight.T @ x[0] / SIGMA**2)
    covariance = weight @ weight.T + SIGMA**2 * np.eye(6)
    positive = stats.multivariate_normal.cdf(mode, cov=np.linalg.inv(precision))
    exact = stats.multivariate_normal.logpdf(x[0], cov=covariance)
    exact += 3 * np.log(2) + np.log(positive)
    found = log_likelihood(weight, x, mode[None].clip(0), prior)
    assert_allclose(found, exact, atol=0.1)


def test_half_space_is_expanded_where_the_density_is_highest():
    """Of two columns that are nearly parallel, one is at zero at the constrained mode.

    The maximum of the whole space, with its negative entry set to zero, is lower.
    """
    weight = np.array([[1.0, 0.96], [0.0, 0.28], [0.0, 0.0]])
    x = np.array([1.0, -1.5, 0.2])
    z = np.array([x[0] / (1 + SIGMA**2), 0.0])
    precision = weight.T @ weight / SIGMA**2 + np.eye(2)
    gradient = weight.T @ (x - weight @ z) / SIGMA**2 - z
    whole = (z + np.linalg.solve(precision, gradient)).clip(0)
    step = whole - z
    assert gradient @ step - step @ precision @ step / 2 < -0.2
    # So the integral is taken from the mode on, with the slope of the second entry.
    scale = np.sqrt(np.diag(np.linalg.inv(precision)))
    slope = scale[1] * gradient[1]
    expected = (
        stats.halfnorm.logpdf(z).sum()
        + stats.norm.logpdf(x, weight @ z, SIGMA).sum()
        + np.log(2 * np.pi)
        - np.linalg.slogdet(precision)[1] / 2
        + stats.norm.logcdf(z[0] / scale[0])
        + slope**2 / 2
        + stats.norm.logcdf(slope)
    )
    prior = PointSpikeSlab(1.0, nonnegative=True)
    found = log_likelihood(weight, x[None], z[None], prior)
    assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (4, 0)])
def test_hessian_against_a_dense_matrix(shape, rng):
    J = torch.from_numpy(rng.normal(size=(3, *shape)))
    weight = torch.from_numpy(rng.uniform(0.1, 5, size=(3, shape[1])))
    v = torch.from_numpy(rng.normal(size=(3, shape[1])))
    hessian, dense = Hessian(J, weight), J.mT @ J + torch.diag_embed(weight)
    assert_allclose(hessian.half_log_det, dense.logdet() / 2, atol=1e-12)
    assert_allclose(hessian.times(v), torch.einsum("nij,nj->ni", dense, v), rtol=1e-10)
    assert_allclose(hessian.solve(v), torch.linalg.solve(dense, v), rtol=1e-8)
    diagonal = dense.inverse().diagonal(dim1=1, dim2=2)
    assert_allclose(hessian.inverse_diagonal(), diagonal, rtol=1e-8)


@pytest.mark.parametrize("n_components", [12, 100])
@pytest.mark.parametrize("sigma", [0.3, 3e-4, 1e-5])
@pytest.mark.parametrize("spike", [{"spike_scale": 0.1}, {}, {"alpha": 1.0}])
@short_fits
@pytest.mark.filterwarnings("ignore:fit ended")
def test_score_of_float32_is_that_of_float64(n_components, sigma, spike, digits):
    """All of the estimate is computed in float64, whatever the type of the data is."""
    encoder = SparseGeneratorEncoder(
        n_components,
        sigma=sigma,
        hidden_layer_sizes=(20,),
        max_iter=2,
        random_state=0,
        tol=None,
        **spike,
    )
    X = StandardScaler().fit_transform(digits).astype(np.float32)
    model = encoder.fit(X)._inference_model()
    x, z = torch.from_numpy(X), torch.from_numpy(encoder.transform(X))
    generator = copy.deepcopy(encoder.generator_)
    single = laplace_log_likelihood(x, z, model)
    # The encoder's own generator keeps its type.
    assert next(encoder.generator_.parameters()).dtype == torch.float32
    model.generator = generator.double()
    double = laplace_log_likelihood(x.double(), z.double(), model)
    assert_allclose(single, double, rtol=1e-12)
