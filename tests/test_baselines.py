"""The baselines: their mathematics, and what every encoder promises."""

import copy
import dataclasses
import functools
import pickle

import joblib
import numpy as np
import pytest
import torch
from conftest import linear_map, needs_cuda, short_fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, stats
from scipy.spatial import distance
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.utils import check_random_state
from torch import distributions

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder
from sklearn_sparsegen._inference.proximal import proximal_steps
from sklearn_sparsegen._model.energy import DataTerm, stiffest_direction
from sklearn_sparsegen._model.generators import build_generator, mlp_generator
from sklearn_sparsegen._model.likelihoods import NormalLikelihood
from sklearn_sparsegen._model.priors import Exponential
from sklearn_sparsegen.baselines import (
    ABPEncoder,
    ShortRunEncoder,
    TopKEncoder,
    VAEEncoder,
    VarianceSparseEncoder,
    VSCEncoder,
)
from sklearn_sparsegen.baselines._variance_sparse import VarianceHinge
from sklearn_sparsegen.baselines._variational import NormalPosterior
from sklearn_sparsegen.baselines._vsc import (
    PseudoInputPrior,
    SpikeSlabPosterior,
    WarmUp,
)
from sklearn_sparsegen.metrics import peak_signal_noise_ratio

pytestmark = short_fits

COMMON = {
    "n_components": 12,
    "hidden_layer_sizes": (30,),
    "batch_size": 50,
    "learning_rate_init": 0.01,
    "sigma": 0.3,
    "output_activation": "auto",
    "random_state": 0,
    "tol": None,
}
CLOSE = COMMON | {"sigma": 0.2}
METHODS = {
    "short-run": functools.partial(ShortRunEncoder, **COMMON),
    "ABP": functools.partial(ABPEncoder, **COMMON),
    "VAE": functools.partial(VAEEncoder, **CLOSE),
    "beta-VAE": functools.partial(VAEEncoder, **CLOSE, beta=4.0),
    "VSC": functools.partial(VSCEncoder, **CLOSE, alpha=0.2, warmup=3),
    "VSC, pseudo-inputs": functools.partial(
        VSCEncoder, **CLOSE, alpha=0.2, warmup=3, n_pseudo_inputs=5
    ),
    "variance": functools.partial(VarianceSparseEncoder, **COMMON, n_steps=10),
    "TopK": functools.partial(TopKEncoder, **COMMON, n_nonzero_coefs=4),
}
every_method = pytest.mark.parametrize("name", METHODS)
SCORED = [name for name in METHODS if name not in ("variance", "TopK")]


def parameters(encoder):
    return [p.detach().numpy() for p in encoder.generator_.parameters()]


def assert_same(encoder, other):
    for a, b in zip(parameters(encoder), parameters(other), strict=True):
        assert_array_equal(a, b)


# What every encoder promises ----------------------------------------------------------


@every_method
def test_reconstructs_digits(name, digits):
    n_epochs = 40 if name in ("short-run", "VSC") else 20
    encoder = METHODS[name](max_iter=n_epochs).fit(digits)
    assert encoder.loss_curve_[-1] < 0.8 * encoder.loss_curve_[0]
    X_hat = encoder.inverse_transform(encoder.transform(digits))
    mean = np.tile(digits.mean(0), (len(digits), 1))
    gain = peak_signal_noise_ratio(digits, X_hat) - peak_signal_noise_ratio(
        digits, mean
    )
    assert gain.mean() > 1
    if name != "TopK":
        assert encoder.sample(5).shape == digits[:5].shape
        assert_array_equal(encoder.sample(5), encoder.sample(5))


@every_method
def test_codes_depend_on_their_row_alone(name, digits, check_rows_are_alone):
    encoder = METHODS[name](max_iter=4).fit(digits)
    X = digits[:40]
    if name in SCORED:
        assert_allclose(encoder.score_samples(X[:9])[3:], encoder.score_samples(X[3:9]))
    if hasattr(encoder, "recognition_") and name != "TopK":
        codes = encoder.transform(X)
        close = functools.partial(assert_allclose, atol=1e-12, rtol=0)
        close(encoder.transform(X[::-1])[::-1], codes)
        for batch_size in (1, 7, 1000):
            close(encoder.set_params(batch_size=batch_size).transform(X), codes)
    else:
        check_rows_are_alone(encoder, X)


@every_method
def test_random_state_and_global_state(name, digits):
    torch_state = torch.random.get_rng_state()
    numpy_state = check_random_state(None).get_state()
    encoder = METHODS[name](max_iter=3)
    assert_same(clone(encoder).fit(digits), encoder.fit(digits))
    encoder.transform(digits[:3])
    if name != "TopK":
        encoder.sample(3)
    other = clone(encoder).set_params(random_state=1).fit(digits)
    assert (parameters(other)[0] != parameters(encoder)[0]).any()
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    for a, b in zip(check_random_state(None).get_state(), numpy_state, strict=True):
        assert_array_equal(a, b)


@every_method
def test_warm_start_and_partial_fit_go_on(name, digits):
    whole = METHODS[name](max_iter=6).fit(digits)
    halves = METHODS[name](max_iter=4, warm_start=True).fit(digits)
    halves = pickle.loads(pickle.dumps(halves)).set_params(max_iter=2).fit(digits)
    assert halves.loss_curve_ == whole.loss_curve_
    assert_same(whole, halves)
    assert_array_equal(whole.transform(digits[:5]), halves.transform(digits[:5]))
    parts = METHODS[name](max_iter=6)
    if name == "ABP":
        assert not hasattr(parts, "partial_fit")
        return
    for _ in range(6):
        parts.partial_fit(digits)
    assert_same(whole, parts)


@every_method
def test_callbacks_and_grid_search(name, digits):
    def reconstruction(estimator, X, y=None):
        X_hat = estimator.inverse_transform(estimator.transform(X))
        return -np.square(X - X_hat).mean()

    X = digits[:100]
    monitor = ScoringMonitor(scoring={"score": reconstruction})
    encoder = METHODS[name](max_iter=4).set_callbacks(monitor).fit(X)
    log = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len({row["score"] for row in log}) == 4
    assert_allclose(log[-1]["score"], reconstruction(encoder, X))
    scoring = None if name in SCORED else reconstruction
    search = GridSearchCV(
        METHODS[name](max_iter=4), {"sigma": [0.2, 0.4]}, cv=2, scoring=scoring
    ).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@every_method
def test_convolutional_generator(name, digits):
    encoder = METHODS[name](max_iter=4, generator="convolutional", image_shape=(8, 8))
    if name in ("short-run", "ABP"):
        encoder.set_params(step_size=0.02)
    codes = encoder.fit(digits[:100]).transform(digits[:100])
    assert encoder.inverse_transform(codes).shape == (100, 64)


@needs_cuda
@every_method
def test_cuda(name, digits):
    encoder = METHODS[name](max_iter=4, device="cuda").fit(digits)
    codes = encoder.transform(digits)
    on_cpu = METHODS[name](max_iter=4, device="cpu").fit(digits)
    assert_allclose(on_cpu.transform(digits), codes, atol=1e-5)


def test_there_is_no_score_without_a_likelihood():
    assert not hasattr(METHODS["variance"](), "score")
    for method in ("score", "score_samples", "sample"):
        assert not hasattr(METHODS["TopK"](), method)


def test_unfinished_warmup_is_said(digits):
    with pytest.warns(UserWarning, match="warm-up takes 3"):
        METHODS["VSC"](max_iter=2).fit(digits)


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("short-run", "step_size", 0),
        ("ABP", "n_steps", 0),
        ("VAE", "beta", -1),
        ("VAE", "hidden_layer_sizes", (0,)),
        ("VSC", "alpha", 0),
        ("VSC", "alpha", 1),
        ("VSC", "warmup", -1),
        ("VSC", "n_pseudo_inputs", 0),
        ("variance", "rate", 0),
        ("variance", "variance_weight", -1),
        ("variance", "min_scale", -1),
        ("variance", "sparse_output", "csr"),
        ("TopK", "n_nonzero_coefs", 0),
        ("TopK", "n_nonzero_coefs", 13),
        ("TopK", "sparse_output", "csr"),
    ],
)
def test_bad_parameters_are_named(name, parameter, value, digits):
    with pytest.raises(ValueError, match=parameter):
        METHODS[name](**{parameter: value}).fit(digits)


@pytest.mark.parametrize("name", ["VAE", "VSC", "TopK"])
def test_divergence_is_said(name, digits):
    with pytest.raises(ValueError, match="diverged in epoch"):
        METHODS[name](learning_rate_init=1e200).fit(digits)
    encoder = METHODS[name](max_iter=3).fit(digits.astype(np.float32))
    methods = ["transform", "score"] if name in SCORED else ["transform"]
    for method in (getattr(encoder, method) for method in methods):
        with pytest.raises(ValueError, match=r"of rows 0, 1, .* of X are not finite"):
            method(digits.astype(np.float32) * np.float32(3e38))


def test_pseudo_inputs_are_different_rows(digits):
    encoder = METHODS["VSC"](n_pseudo_inputs=40, max_iter=3).fit(digits[:60])
    weight = encoder.pseudo_inputs_.weight.detach().numpy()
    assert len(np.unique(weight, axis=0)) == 40
    # They start at rows of the data and are learned.
    fixed = METHODS["VSC"](n_pseudo_inputs=40, max_iter=3, learning_rate_init=1e-300)
    start = fixed.fit(digits[:60]).pseudo_inputs_.weight.detach().numpy()
    assert distance.cdist(start, digits[:60]).min(1).max() < 1e-12
    assert distance.cdist(weight, digits[:60]).min(1).min() > 1e-3
    with pytest.raises(ValueError, match=r"n_pseudo_inputs=61 .* n_samples=60"):
        METHODS["VSC"](n_pseudo_inputs=61).fit(digits[:60])
    with pytest.raises(ValueError, match="alpha"):
        encoder.set_params(alpha=7).sample(2)


def test_advice_names_only_what_there_is(digits):
    with pytest.raises(ValueError, match="step_size") as error:
        METHODS["ABP"](step_size=5.0).fit(digits * 50)
    assert "solver" not in str(error.value)


def test_noise_of_equal_rows_is_equal(digits):
    encoder = METHODS["short-run"](max_iter=1).fit(digits)
    negative = np.where(digits == 0, -0.0, digits)
    assert_array_equal(encoder.transform(negative[:9]), encoder.transform(digits[:9]))


# Features that are not observed -------------------------------------------------------

OPEN = {
    "main": functools.partial(
        SparseGeneratorEncoder,
        **PAPER_SETTINGS
        | COMMON
        | {
            "learning_rate_init": 0.003,
            "alpha": 0.1,
            "decay": 0.2,
            "step_size": 0.05,
        },
    ),
    "exact": functools.partial(
        SparseGeneratorEncoder,
        **COMMON,
        alpha=0.1,
        decay=0.1,
        n_steps=30,
        init="zeros",
    ),
    "variance": METHODS["variance"],
    **{
        name: functools.partial(METHODS[name], n_steps=100)
        for name in ("short-run", "ABP")
    },
}


def with_holes(X, rng, share=0.3):
    return np.where(rng.uniform(size=X.shape) < share, np.nan, X)


@pytest.mark.parametrize("name", OPEN)
def test_missing_values_are_filled_in(name, digits, rng):
    X = with_holes(digits, rng)
    n_epochs = 40 if name == "main" else 20
    encoder = OPEN[name](max_iter=n_epochs).fit(X)
    assert np.isfinite(encoder.loss_curve_).all()
    X_hat = encoder.inverse_transform(encoder.transform(X))
    missing = np.isnan(X)
    error = np.square(X_hat - digits)[missing].mean()
    mean = np.tile(np.nanmean(X, axis=0), (len(X), 1))
    assert error < 0.8 * np.square(mean - digits)[missing].mean()
    with pytest.raises(ValueError, match="infinity"):
        encoder.transform(np.where(missing, np.inf, X))


@pytest.mark.parametrize(("cls", "n_rows"), [(ShortRunEncoder, 300), (ABPEncoder, 500)])
def test_defaults_fill_missing_values_better_than_the_mean(cls, n_rows, rng):
    digits = load_digits(return_X_y=True)[0][:n_rows] / 16
    X = with_holes(digits, rng)
    encoder = cls(random_state=0).fit(X)
    X_hat, missing = encoder.inverse_transform(encoder.transform(X)), np.isnan(X)
    mean = np.tile(np.nanmean(X, axis=0), (len(X), 1))
    errors = [np.square(filled - digits)[missing].mean() for filled in (X_hat, mean)]
    assert errors[0] < 0.93 * errors[1]


@pytest.mark.parametrize("by_hand", [True, False])
def test_energy_leaves_missing_features_out(by_hand, rng):
    generator = build_generator(mlp_generator, 4, 9, 0).double()
    x = torch.from_numpy(with_holes(rng.uniform(size=(6, 9)), rng))
    z = torch.from_numpy(rng.standard_normal((6, 4)))
    module = generator if by_hand else torch.nn.Sequential(generator)
    term = DataTerm(x, module, NormalLikelihood(0.3))
    value, gradient = term.value_and_gradient(z)
    for row in range(6):
        seen = ~x[row].isnan()
        part = z[row].clone().requires_grad_()
        expected = (generator(part)[seen] - x[row, seen]).square().sum() / (2 * 0.3**2)
        assert_allclose(value[row], expected.detach(), rtol=1e-12)
        (reference,) = torch.autograd.grad(expected, part)
        assert_allclose(gradient[row], reference, atol=1e-12 * reference.abs().max())
    term.keep(torch.arange(6) > 2)
    assert_allclose(term.value(z[3:]), value[3:], rtol=1e-12)


def test_likelihood_of_what_is_observed(rng):
    """With a linear generator and alpha = 1 it is the marginal of a normal."""
    X = rng.standard_normal((40, 7))
    encoder = SparseGeneratorEncoder(
        3,
        alpha=1.0,
        sigma=0.3,
        hidden_layer_sizes=(),
        positive_code=False,
        n_steps=500,
        transform_n_steps=None,
        max_iter=3,
        random_state=0,
    ).fit(X)
    holes = with_holes(X, rng)
    holes[0] = np.nan
    scores = encoder.score_samples(holes)
    weight, bias = linear_map(encoder.generator_)
    covariance = weight @ weight.T + 0.3**2 * np.eye(7)
    for row in range(1, 40):
        seen = ~np.isnan(holes[row])
        expected = stats.multivariate_normal.logpdf(
            X[row, seen], bias[seen], covariance[np.ix_(seen, seen)]
        )
        assert_allclose(scores[row], expected, atol=1e-8)
    assert_allclose(scores[0], 0, atol=1e-12)  # the likelihood of no feature is 1


@pytest.mark.parametrize("solver", ["gradient", "proximal"])
def test_a_row_of_nothing_gets_the_priors_mode(digits, solver):
    encoder = OPEN["main"](max_iter=6, solver=solver).fit(digits)
    nothing = np.full((2, 64), np.nan)
    assert_array_equal(encoder.transform(nothing), np.zeros((2, 12)))
    encoder.set_params(init="normal", n_steps=3000)
    # Inference goes to the maximum at zero, the only one, wherever it starts.
    assert_allclose(encoder.transform(nothing), np.zeros((2, 12)), atol=1e-3)


@pytest.mark.parametrize("name", ["VAE", "VSC", "TopK"])
def test_recognition_needs_all_features(name, digits, rng):
    with pytest.raises(ValueError, match="X contains NaN"):
        METHODS[name]().fit(with_holes(digits, rng))


# Langevin dynamics --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["short-run", "ABP"])
def test_codes_are_draws_from_the_posterior(name, digits):
    """If the generator ignores the codes, the posterior is the prior."""
    constant = torch.nn.Linear(12, 64)
    torch.nn.init.zeros_(constant.weight)
    encoder = METHODS[name](
        generator=constant, step_size=0.3, max_iter=2, learning_rate_init=1e-300
    ).fit(digits)
    # Steps of this size enlarge the variance of a standard normal posterior.
    expected = stats.norm(scale=(1 - 0.3**2 / 4) ** -0.5)
    codes = encoder.transform(digits).ravel()
    assert stats.kstest(codes, expected.cdf).pvalue > 0.01
    assert encoder.n_active_curve_ == [12, 12]  # all, under a normal prior


@pytest.mark.parametrize("name", ["short-run", "ABP"])
def test_codes_start_at_a_draw_from_the_prior(name, digits):
    """With steps that are too short to matter, codes stay where they start."""
    encoder = METHODS[name](step_size=1e-9, max_iter=1).fit(digits)
    codes = encoder.transform(digits)
    assert stats.kstest(codes.ravel(), stats.norm.cdf).pvalue > 0.001
    if name == "short-run":
        x = torch.tensor(digits)
        epochs = [encoder._training_model().infer(x).z]
        encoder.partial_fit(digits)
        epochs.append(encoder._training_model().infer(x).z)
        assert abs(np.corrcoef(*[z.ravel() for z in epochs])[0, 1]) < 0.1


def test_chains_go_on_from_epoch_to_epoch(digits, monkeypatch):
    """With steps that are too short to matter, chains stay where they were drawn."""
    still = METHODS["ABP"](step_size=1e-9, max_iter=3).fit(digits)
    assert_allclose(still.codes_.std(), 1, atol=0.05)
    again = METHODS["ABP"](step_size=1e-9, max_iter=5, shuffle=False)
    with monkeypatch.context() as patch:  # in pieces of a batch, too
        patch.setattr("sklearn_sparsegen._inference.model._CPU_ROWS", 64)
        again.set_params(batch_size=300).fit(digits)
    assert_allclose(again.codes_, still.codes_, atol=1e-6)
    # Many epochs of a few steps get closer than one: the chains do not start anew.
    trained = METHODS["VAE"](max_iter=20).fit(digits).generator_
    fixed = {"generator": trained, "n_steps": 2, "learning_rate_init": 1e-12}
    near, far = (METHODS["ABP"](**fixed, max_iter=n).fit(digits) for n in (30, 1))
    errors = [
        np.square(digits - e.inverse_transform(e.codes_)).sum(1).mean()
        for e in (near, far)
    ]
    assert errors[0] < 0.7 * errors[1]
    # Other data get other chains.
    near.set_params(warm_start=True, max_iter=1).fit(digits[:70])
    assert near.codes_.shape == (70, 12)


def test_chains_go_on_from_codes_that_cannot_be_written_to(digits, tmp_path):
    """joblib gives its workers read-only memory maps of large arrays."""
    encoder = METHODS["ABP"](max_iter=2, warm_start=True).fit(digits)
    joblib.dump(encoder, tmp_path / "encoder")
    loaded = joblib.load(tmp_path / "encoder", mmap_mode="r")
    assert_same(loaded.fit(digits), encoder.fit(digits))
    assert_array_equal(loaded.codes_, encoder.codes_)


def test_a_copy_has_chains_of_its_own(digits):
    encoder = METHODS["ABP"](max_iter=2, warm_start=True).fit(digits)
    before = copy.copy(encoder)
    codes = before.codes_.copy()
    encoder.fit(digits)
    assert_array_equal(before.codes_, codes)


# Posteriors and their divergences -----------------------------------------------------


def posterior_of(rng, n, k, **kwargs):
    heads = torch.from_numpy(rng.standard_normal((3, n, k)))
    return SpikeSlabPosterior(*heads, **kwargs), heads


def seeded_normal(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def noise(rng, *shape):
    return lambda: torch.from_numpy(rng.standard_normal(shape))


def test_divergence_of_the_normal_posterior(rng):
    mean, log_variance = torch.from_numpy(rng.standard_normal((2, 5, 4)))
    posterior = NormalPosterior(mean, log_variance)
    normal = distributions.Normal(mean, (log_variance / 2).exp())
    expected = distributions.kl_divergence(normal, distributions.Normal(0.0, 1.0))
    assert_allclose(posterior.divergence(), expected, rtol=1e-12)
    # The scale is positive and finite, whatever a network returns.
    extreme = NormalPosterior(mean, torch.tensor([-1e4, 1e4, 0.0, 0.0]).double())
    assert extreme.divergence().isfinite().all()


def monte_carlo(log_ratio):
    return log_ratio.mean(0), 5 * log_ratio.std(0) / len(log_ratio) ** 0.5


def test_divergence_of_the_spike_and_slab_against_monte_carlo(rng):
    posterior, (mean, log_variance, logit) = posterior_of(rng, 1, 6)
    alpha, n = 0.2, 400_000
    # The reference is written with scipy and numpy alone.
    active = rng.uniform(size=(n, 6)) < 1 / (1 + np.exp(-logit.numpy()))
    scale = np.exp(log_variance.numpy() / 2)
    z = mean.numpy() + scale * rng.standard_normal((n, 6))
    slab = 1 / (1 + np.exp(-logit.numpy()))
    log_q = np.where(active, np.log(slab) + stats.norm.logpdf(z, mean, scale), 0)
    log_q = np.where(active, log_q, np.log(1 - slab))
    log_p = np.where(active, np.log(alpha) + stats.norm.logpdf(z), np.log(1 - alpha))
    estimate, error = monte_carlo(log_q - log_p)
    assert (np.abs(posterior.divergence(alpha).numpy()[0] - estimate) < error).all()
    assert error.max() < 0.03


def test_divergence_from_pseudo_inputs_against_monte_carlo(rng):
    posterior, _ = posterior_of(rng, 1, 3)
    pseudo, _ = posterior_of(rng, 4, 3)
    n = 200_000
    z = posterior.sample(noise(rng, n, 3))
    log_q = posterior.log_prob(z).sum(1)
    densities = []
    for part in range(4):
        log_part = pseudo[[part]].log_prob(z).sum(1)
        densities.append(log_part.exp().numpy())
        log_ratio = log_q - log_part
        estimate, error = monte_carlo(log_ratio.numpy())
        divergence = posterior.divergences_from(pseudo)[0, part].item()
        assert abs(divergence - estimate) < error
    prior = PseudoInputPrior(pseudo)
    log_prior = prior.log_prob(z)[:, 0].numpy()
    assert_allclose(log_prior, np.log(np.mean(densities, axis=0)), rtol=1e-9)
    estimate, error = monte_carlo(log_q.numpy() - log_prior)
    bound = prior.divergence(posterior).item()
    assert bound > estimate - error
    assert bound < divergence + np.log(4) + 1e-12
    # The bound is exact if the mixture has one part.
    alone = PseudoInputPrior(pseudo[[3]])
    assert_allclose(alone.divergence(posterior), divergence, rtol=1e-12)
    # Samples of the mixture are active as often as those of its parts.
    share = (prior.sample(noise(rng, n, 3)) != 0).double().mean(0)
    assert_allclose(share, pseudo.log_slab.exp().mean(0), atol=0.01)


def test_samples_and_log_prob_of_the_spike_and_slab(rng):
    posterior, (*_, logit) = posterior_of(rng, 1, 4)
    z = posterior.sample(noise(rng, 200_000, 4))
    assert_allclose((z != 0).double().mean(0), torch.sigmoid(logit)[0], atol=0.01)
    assert_allclose(z.mean(0), posterior.mean[0], atol=0.02)
    # The density of active entries and the mass of the others add up to one.
    grid = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    grid = grid[grid != 0][:, None].expand(-1, 4)
    density = posterior.log_prob(grid).exp().sum(0) * 0.001
    mass = posterior.log_prob(torch.zeros(1, 4)).exp()[0]
    assert_allclose(density + mass, np.ones(4), atol=1e-3)
    # A sharp relaxation gives nearly the same samples.
    sharp, _ = posterior_of(np.random.default_rng(0), 1, 4, sharpness=1e7)
    exact, _ = posterior_of(np.random.default_rng(0), 1, 4)
    draws = [np.random.default_rng(1) for _ in "ab"]
    relaxed = sharp.relaxed_sample(noise(draws[0], 5000, 4))
    hard = exact.sample(noise(draws[1], 5000, 4))
    assert (
        abs((relaxed.abs() > 1e-3).double().mean() - (hard != 0).double().mean()) < 0.02
    )


def divergence_of(heads, others):
    """Return the divergence of each row, by those of normals and Bernoullis."""
    normal, other = (
        distributions.Normal(mean, (log_variance / 2).exp())
        for mean, log_variance, _ in (heads, others)
    )
    slab, other_slab = (distributions.Bernoulli(logits=h[2]) for h in (heads, others))
    entries = slab.probs * distributions.kl_divergence(normal, other)
    return (entries + distributions.kl_divergence(slab, other_slab)).sum(-1)


@pytest.mark.parametrize("name", ["VAE", "beta-VAE", "VSC", "VSC, pseudo-inputs"])
def test_loss_against_its_formula(name, digits):
    is_dense = "VAE" in name
    settings = {"max_iter": 3} if is_dense else {"max_iter": 3, "alpha": 0.6}
    encoder = METHODS[name](**settings).fit(digits)
    x, noise = torch.tensor(digits[:20]), seeded_normal(20, 12)
    model = encoder._training_model()
    loss, figures, *_ = model.loss(x, None, lambda *shape: noise)
    n_heads = 2 if is_dense else 3
    mean, log_variance, *logit = heads = encoder.recognition_(x).chunk(n_heads, dim=1)
    z, zeros = mean + (log_variance / 2).exp() * noise, torch.zeros_like(mean)
    if is_dense:
        logit = torch.full_like(mean, torch.inf)  # the slab alone
        divergence = divergence_of((*heads, logit), (zeros, zeros, logit))
        divergence *= {"VAE": 1.0, "beta-VAE": 4.0}[name]
    else:
        # In the third of three epochs, two thirds of the warm-up are over.
        z *= torch.sigmoid(150 * (torch.special.ndtr(noise) - 1 + logit[0].sigmoid()))
        active = logit[0] > 0
        assert_array_equal(figures["active"], active)
        assert_array_equal(figures["empty"], ~active.any(1))
        assert 0 < active.double().mean() < 1
        alpha = torch.full_like(mean, 0.6)
        divergence = divergence_of(heads, (zeros, zeros, alpha.logit()))
    if "pseudo" in name:
        layers = encoder.recognition_[1:]
        pseudo = layers(encoder.pseudo_inputs_.weight).chunk(3, dim=1)
        parts = divergence_of(
            [head[:, None].expand(-1, 5, -1) for head in heads],
            [head.expand(20, -1, -1) for head in pseudo],
        )
        share = distributions.Bernoulli(pseudo[2].sigmoid().mean())
        penalty = distributions.kl_divergence(share, distributions.Bernoulli(alpha[0]))
        divergence = np.log(5) - (-parts).logsumexp(1) + penalty.sum()
    error = (x - encoder.generator_(z)).square().sum(1) / (2 * 0.2**2)
    assert_allclose(loss.detach(), (error + divergence).detach(), rtol=1e-9)
    assert_array_equal(figures["loss"].detach(), loss.detach())


def test_the_relaxed_spike_becomes_sharper_in_the_warm_up():
    warm_up = WarmUp(3)
    slopes = [warm_up.at(epoch)["_sharpness"] for epoch in range(1, 6)]
    assert_allclose(slopes, [50, 100, 150, 200, 200])
    assert [warm_up.left(epoch) != "" for epoch in (1, 2, 3)] == [True, True, False]
    assert WarmUp(0).at(1)["_sharpness"] == 200


def test_codes_are_the_mean_of_the_posterior(digits):
    x = torch.tensor(digits[:20])
    for name, n_heads in ("VAE", 2), ("VSC", 3):
        encoder = METHODS[name](max_iter=3).fit(digits)
        mean, _, *logit = encoder.recognition_(x).detach().chunk(n_heads, dim=1)
        expected = mean * logit[0].sigmoid() if logit else mean
        assert_allclose(encoder.transform(digits[:20]), expected, rtol=1e-9)
    # The last encoder has the prior of the paper, with no pseudo-inputs.
    assert encoder.pseudo_inputs_ is None


def test_recognition_network_mirrors_the_generator(digits):
    first, second = (
        METHODS["VSC"](
            hidden_layer_sizes=(30, 20),
            activation="tanh",
            max_iter=3,
            learning_rate_init=1e-300,
            random_state=seed,
        )
        .fit(digits)
        .recognition_
        for seed in (0, 1)
    )
    kinds = [type(module).__name__ for module in first]
    layers = ["Linear", "Tanh", "Linear", "Tanh", "Linear", "Identity"]
    assert kinds == ["Rescale", *layers]
    weights = [p for p in first.parameters() if p.ndim == 2]
    assert [tuple(w.shape) for w in weights] == [(20, 64), (30, 20), (36, 30)]
    assert not torch.equal(weights[0], next(second.parameters()))


@pytest.mark.parametrize("name", ["VAE", "VSC"])
def test_score_is_exact_where_the_posterior_is(name, monkeypatch, rng):
    """One component and a linear generator: p(x, z) / q(z | x) is then p(x) itself."""
    X = rng.standard_normal((30, 5))
    encoder = METHODS[name](
        n_components=1, hidden_layer_sizes=(), output_activation="identity", max_iter=3
    ).fit(X)
    weight, bias = linear_map(encoder.generator_)
    noise = np.eye(5) * 0.2**2
    alpha = {"VAE": 1.0, "VSC": 0.2}[name]
    terms = [
        np.log(share) + stats.multivariate_normal.logpdf(X, bias, covariance)
        if share
        else np.full(30, -np.inf)
        for share, covariance in (
            (1 - alpha, noise),
            (alpha, weight @ weight.T + noise),
        )
    ]
    expected = np.logaddexp.reduce(terms)

    # The exact posterior is normal, or a spike with a probability that depends on x.
    precision = 1 + (weight**2).sum() / 0.2**2
    centre = (X - bias) @ weight[:, 0] / 0.2**2 / precision

    def posterior_of_rows(width, x):
        rows = [np.flatnonzero((row == X).all(1))[0] for row in x.numpy()]
        mean = torch.from_numpy(centre[rows, None])
        log_variance = torch.full_like(mean, np.log(width**2 / precision))
        if name == "VAE":
            return NormalPosterior(mean, log_variance)
        logit = torch.from_numpy((terms[1] - terms[0])[rows, None])
        return SpikeSlabPosterior(mean, log_variance, logit)

    model = encoder._inference_model()

    def score_samples(width):
        encode = functools.partial(posterior_of_rows, width)
        changed = dataclasses.replace(model, encode=encode)
        monkeypatch.setattr(encoder, "_inference_model", lambda: changed)
        return encoder.score_samples(X)

    assert_allclose(score_samples(1), expected, rtol=1e-9)
    # Twice as wide, it still gives nearly p(x) by the mean of 100 importance weights.
    # The mean of their logarithms would be off by the divergence, 0.8.
    assert_allclose((score_samples(2) - expected).mean(), 0, atol=0.1)


# Variance regularisation --------------------------------------------------------------


def test_hinge_against_autograd(rng):
    generator = build_generator(mlp_generator, 4, 9, 0).double()
    x = torch.from_numpy(rng.uniform(size=(6, 9)))
    z = torch.from_numpy(0.5 * rng.standard_normal((6, 4))).requires_grad_()
    term = VarianceHinge(DataTerm(x, generator, NormalLikelihood(0.3)), 7.0, 0.5)
    error = (x - generator(z)).square().sum() / (2 * 0.3**2)
    deviation = z.std(0, correction=0)
    hinge = 7.0 * (0.5 - deviation).clamp_min(0).square().sum()
    assert hinge > 0
    (expected,) = torch.autograd.grad(error + hinge, z)
    with torch.no_grad():
        value, gradient = term.value_and_gradient(z)
        assert_allclose(value.sum(), (error + hinge).detach(), rtol=1e-10)
        assert_allclose(term.value(z), value, rtol=1e-12)
        assert_allclose(gradient, expected, atol=1e-8)
        # Where all codes are equal, as at the start, the gradient is still finite.
        value, gradient = term.value_and_gradient(
            torch.zeros(6, 4, dtype=torch.float64)
        )
        assert gradient.isfinite().all()


@pytest.mark.parametrize("weight", [300.0, 3000.0])
def test_rows_that_a_hinge_couples_descend_together(digits, weight):
    encoder = METHODS["variance"](max_iter=5, variance_weight=weight).fit(digits)
    prior, generator = encoder._inference_model().prior, encoder.generator_
    x = torch.tensor(digits[:100])
    likelihood = NormalLikelihood(0.3)
    term = encoder._training_model().coupling(DataTerm(x, generator, likelihood))
    stiffest = stiffest_direction(x.new_zeros(1, 12), generator, likelihood)

    def total(z):
        return (term.value(z) + prior.energy(z)).sum().item()

    totals = []
    with torch.no_grad():
        for n_steps in (5, 30, 300):
            z, energy, _ = proximal_steps(
                term,
                x.new_zeros(1, 12),
                prior,
                n_steps=n_steps,
                tol=1e-3,
                stiffest=stiffest,
            )
            assert_allclose(energy.sum(), total(z), rtol=1e-9)
            totals.append(total(z))
        # The reference takes plain proximal steps on all rows, of one stable length.
        z = torch.zeros(100, 12, dtype=torch.float64)
        for _ in range(2000):
            z = (z - 1e-3 * (term.value_and_gradient(z)[1] + prior.rate)).clamp_min(0)
    assert totals[2] < totals[1] < totals[0]
    assert totals[2] < total(z) + 0.02 * abs(total(z))


def test_hinge_is_of_the_whole_batch(digits, monkeypatch):
    """The hinge couples all rows of a batch, however many a CPU infers at once."""
    encoder = METHODS["variance"](batch_size=300, max_iter=2, shuffle=False)
    whole = clone(encoder).fit(digits)
    monkeypatch.setattr("sklearn_sparsegen._inference.model._CPU_ROWS", 64)
    assert_same(whole, clone(encoder).fit(digits))


def test_exponential_prior_against_scipy(rng):
    prior = Exponential(1.7)
    v = torch.from_numpy(rng.standard_normal(20) * 2)
    for step in (0.1, 1.0):
        expected = [
            optimize.minimize_scalar(
                lambda u, v=v, step=step: (u - v) ** 2 / (2 * step) + 1.7 * u,
                bounds=(0, 10),
                method="bounded",
                options={"xatol": 1e-10},
            ).x
            for v in v.numpy()
        ]
        u, slope = prior.prox(v, step, v)
        assert_allclose(u, expected, atol=1e-5)
        assert_allclose(slope, np.array(expected) > 1e-4)
    samples = prior.sample(noise(rng, 5000, 2)).numpy().ravel()
    assert stats.kstest(samples, stats.expon(scale=1 / 1.7).cdf).pvalue > 0.01
    assert_allclose(
        prior.energy(torch.ones(3, 4)) - prior.energy(torch.zeros(3, 4)),
        -stats.expon(scale=1 / 1.7).logpdf(np.ones((3, 4))).sum(1)
        + stats.expon(scale=1 / 1.7).logpdf(np.zeros((3, 4))).sum(1),
    )


def test_variance_keeps_codes_from_collapsing(digits):
    kept, collapsed = (
        METHODS["variance"](max_iter=30, variance_weight=weight)
        .fit(digits)
        .transform(digits)
        for weight in (300.0, 0.0)
    )
    assert (kept >= 0).all()
    assert 0.05 < (kept == 0).mean() < 0.95
    assert np.median(kept.std(0)) > 2 * np.median(collapsed.std(0))
    csr = METHODS["variance"](max_iter=2, sparse_output=True).fit_transform(digits)
    assert csr.nnz < csr.shape[0] * csr.shape[1]
