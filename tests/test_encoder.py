"""The encoder: fit loop, transform, likelihood, and what users do with them."""

import functools
import io
import itertools
import pickle
import threading

import cloudpickle
import joblib
import numpy as np
import pytest
import torch
from conftest import linear_map, needs_cuda, short_fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder, baselines
from sklearn_sparsegen._inference.model import Model
from sklearn_sparsegen._inference.solvers import GradientSteps
from sklearn_sparsegen._inference.starts import Zeros
from sklearn_sparsegen._model.likelihoods import NormalLikelihood
from sklearn_sparsegen._model.linear_layers import row_multiple
from sklearn_sparsegen._model.priors import SpikeSlab
from sklearn_sparsegen._training.epoch import train_epoch
from sklearn_sparsegen._training.schedules import AlphaSchedule
from sklearn_sparsegen.metrics import peak_signal_noise_ratio

pytestmark = short_fits

Encoder = functools.partial(
    SparseGeneratorEncoder,
    **PAPER_SETTINGS
    | {
        "n_components": 10,
        "hidden_layer_sizes": (20,),
        "sigma": 0.15,
        "step_size": 0.05,
        "learning_rate_init": 0.01,
        "batch_size": 50,
        "random_state": 0,
        "tol": None,
    },
)
# The schedule takes five epochs.
Short = functools.partial(Encoder, alpha=0.1, decay=0.18, max_iter=6)


@pytest.fixture(scope="module")
def fitted(digits):
    """An encoder some of whose codes are active, and others not."""
    encoder = Short().fit(digits)
    assert 0.05 < encoder.n_active_curve_[-1] / 10 < 0.95
    return encoder


def parameters(encoder):
    return [p.detach().numpy() for p in encoder.generator_.parameters()]


def assert_same(encoder, other):
    for a, b in zip(parameters(encoder), parameters(other), strict=True):
        assert_array_equal(a, b)


# Fit ------------------------------------------------------------------------------


def test_algorithm_1_by_plain_autograd(digits):
    """Two epochs of fit equal Algorithm 1 written out, in float64."""
    Constant = functools.partial(Encoder, shuffle=False, alpha=0.1, n_steps=20)
    encoder = Constant(alpha_init=0.5, decay=0.2, max_iter=2).fit(digits)
    assert 0.05 < encoder.n_active_curve_[-1] / 10 < 0.95

    start = Constant(alpha_init=0.1, max_iter=1, learning_rate_init=1e-300)
    generator = start.fit(digits).generator_
    adam = torch.optim.Adam(generator.parameters(), lr=0.01)
    X = torch.tensor(digits)
    losses, n_active = [], []
    for alpha in (0.3, 0.1):
        prior = SpikeSlab(alpha)
        total, count = 0, 0
        for x in X.split(50):
            z = torch.zeros(50, 10, dtype=torch.float64)
            for _ in range(20):
                z.requires_grad_()
                error = (x - generator(z)).square().sum() / (2 * 0.15**2)
                log_prior = prior.log_prob(z).sum()
                (step,) = torch.autograd.grad(error - log_prior, z)
                z = (z - 0.05**2 / 2 * step).detach()
            error = (x - generator(z)).square().sum() / (2 * 0.15**2)
            total += (error - prior.log_prob(z).sum()).item()
            count += (prior.slab_proba(z) > 0.5).sum().item()
            adam.zero_grad()
            (error / 50).backward()
            adam.step()
        losses.append(total / len(X))
        n_active.append(count / len(X))
    assert_allclose(encoder.loss_curve_, losses, rtol=1e-10)
    assert_allclose(encoder.n_active_curve_, n_active, rtol=1e-10)
    for a, b in zip(parameters(encoder), generator.parameters(), strict=True):
        assert_allclose(a, b.detach(), atol=1e-10)


def test_loss_falls_in_each_epoch(fitted):
    assert (np.diff(fitted.loss_curve_) < 0).all()
    assert len(fitted.loss_curve_) == len(fitted.n_active_curve_) == fitted.n_iter_ == 6


def test_an_epoch_takes_any_iterable_of_batches(digits):
    """A list and a generator, which has no length, give the same figures."""
    X, places = torch.tensor(digits[:20]), torch.arange(20)
    weights = torch.linspace(0.5, 2, 20).to(X)

    def train(batches, learning_rate):
        generator = torch.nn.Linear(3, 64, dtype=torch.float64)
        torch.nn.init.constant_(generator.weight, 0.1)
        torch.nn.init.zeros_(generator.bias)
        model = Model(
            generator=generator,
            prior=SpikeSlab(0.5),
            likelihood=NormalLikelihood(0.3),
            solver=GradientSteps(n_steps=3, step_size=0.1),
            start=Zeros(3),
            n_components=3,
            seed=(0,),
        )
        adam = torch.optim.Adam(generator.parameters(), lr=learning_rate)
        figures, (rows, codes) = train_epoch(model, batches, adam, draw=None)
        assert rows == codes == []
        assert figures.keys() == {"loss", "squared_error", "active", "empty"}
        return {
            name: figure.sum() for name, figure in figures.items()
        }, generator.weight

    sizes = [7, 1, 12]
    parts = (part.split(sizes) for part in (places, X, weights))
    batches = list(zip(*parts, strict=True))
    figures, weight = train(batches, 0.001)
    again, same_weight = train((batch for batch in batches), 0.001)
    assert again == figures
    assert torch.equal(same_weight, weight)
    assert (weight != 0.1).all()
    # Each row counts by its weight, whatever the size of its batch is.
    in_parts, _ = train(batches, 0.0)
    at_once, _ = train([(places, X, weights)], 0.0)
    assert_allclose(list(in_parts.values()), list(at_once.values()), rtol=1e-12)


@pytest.mark.parametrize("shuffle", [True, False])
def test_order_of_the_rows_in_an_epoch(digits, shuffle, monkeypatch):
    orders = []

    def record(model, batches, *args):
        batches = list(batches)
        for rows, x, weights in batches:
            assert_array_equal(x, digits[rows])
            assert_array_equal(weights, 1)
        orders.append(np.concatenate([rows for rows, _, _ in batches]))
        return train_epoch(model, batches, *args)

    monkeypatch.setattr("sklearn_sparsegen._training.fit.train_epoch", record)
    Short(shuffle=shuffle, step_size=0.01).fit(digits)
    assert len(orders) == 6
    assert_array_equal(np.sort(orders), np.tile(np.arange(300), (6, 1)))
    n_different = len({tuple(order) for order in orders})
    assert n_different == (6 if shuffle else 1)
    assert (orders[0] == np.arange(300)).all() == (not shuffle)


def test_schedule_is_a_function_of_the_epoch():
    schedule = AlphaSchedule(alpha_init=1.0, alpha=0.01, decay=0.033)
    alphas = [schedule.at(epoch)["alpha_"] for epoch in range(1, 33)]
    assert_allclose(alphas[:30], 1 - 0.033 * np.arange(1, 31), atol=1e-12)
    assert alphas[29:] == [0.01] * 3  # exactly, and never below
    assert [bool(schedule.left(epoch)) for epoch in (1, 29, 30, 31)] == [1, 1, 0, 0]


def test_every_epoch_takes_its_alpha_from_the_schedule(digits, monkeypatch):
    seen = []

    def record(model, *args):
        seen.append(model.prior.alpha)
        return train_epoch(model, *args)

    monkeypatch.setattr("sklearn_sparsegen._training.fit.train_epoch", record)
    encoder = SparseGeneratorEncoder(3, alpha=0.1, decay=0.3, max_iter=4, n_steps=1)
    encoder.set_params(init="zeros", warm_start=True).fit(digits)
    assert seen == encoder.alpha_curve_ == [0.7, 0.4, 0.1, 0.1]
    encoder.set_params(n_nonzero_coefs=2).fit(digits)
    assert encoder.alpha_curve_ == seen[:4] + [0.1] * 4


def test_constant_schedule(digits):
    encoder = Encoder(alpha=0.2, alpha_init=0.2, max_iter=1).fit(digits)
    assert encoder.alpha_ == 0.2


def test_unfinished_schedule_gives_a_warning(digits):
    with pytest.warns(ConvergenceWarning, match=r"alpha_=0.901 .* increase max_iter"):
        encoder = Encoder(max_iter=3, n_steps=1).fit(digits)
    assert encoder.alpha_ == 0.901


def test_stops_on_tol_only_after_the_schedule(digits):
    # No epoch lowers the loss by so much. The loss of epoch 5, which ends the schedule,
    # is the first that counts, and fit stops after five more epochs.
    encoder = Short(max_iter=50, tol=10.0, n_steps=2).fit(digits)
    assert encoder.alpha_ == 0.1
    assert encoder.n_iter_ == 5 + 5


def test_loss_that_has_not_converged_gives_a_warning(digits):
    with pytest.warns(ConvergenceWarning, match="max_iter=6 .* tol=1e-12"):
        Short(tol=1e-12).fit(digits)


def interrupted_in_pass(number):
    """Return a factory of generators that interrupt, as Ctrl-C does, in one pass."""

    class Interrupted(torch.nn.Linear):
        n_passes = 0

        def forward(self, z):
            self.n_passes += 1
            if self.n_passes == number:
                # As where the interrupt comes within torch's own switches.
                torch.set_grad_enabled(False)
                raise KeyboardInterrupt
            return super().forward(z)

    return Interrupted


def test_interrupt_keeps_whole_epochs(digits):
    generator = interrupted_in_pass(200)
    encoder = Encoder(generator=generator, max_iter=50, n_steps=3, decay=0.5)
    with pytest.raises(KeyboardInterrupt):  # a script or a grid search ends here
        encoder.fit(digits)
    assert torch.is_grad_enabled()
    assert 0 < encoder.n_iter_ < 50
    assert len(encoder.loss_curve_) == encoder.n_iter_
    # The part of an epoch that was interrupted is undone.
    whole = Encoder(generator=interrupted_in_pass(0), n_steps=3, tol=None, decay=0.5)
    whole.set_params(max_iter=encoder.n_iter_).fit(digits)
    assert_array_equal(encoder.transform(digits), whole.transform(digits))


def test_interrupt_before_the_end_of_an_epoch_changes_nothing(digits):
    encoder = Short(generator=interrupted_in_pass(6), n_steps=1)
    with pytest.raises(KeyboardInterrupt):
        encoder.fit(digits)
    with pytest.raises(NotFittedError):
        encoder.transform(digits)


@pytest.mark.filterwarnings("ignore:fit ended")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_goes_on_after_an_interrupt_as_if_there_were_none(digits, method):
    # The first passes check the generator. Each of the six batches of an epoch takes
    # four passes or more, so this one is in the second epoch.
    encoder = Short(generator=interrupted_in_pass(40), n_steps=1, warm_start=True)
    with pytest.raises(KeyboardInterrupt):
        encoder.fit(digits)
    assert encoder.n_iter_ == 1
    twin = Short(generator=interrupted_in_pass(0), n_steps=1, warm_start=True)
    twin.set_params(max_iter=3, tol=None).fit(digits)
    encoder.set_params(max_iter=1, tol=None)
    for epoch, alpha in (2, 0.64), (3, 0.46):
        getattr(encoder, method)(digits)
        assert encoder.n_iter_ == epoch
        assert encoder.alpha_ == alpha
    assert_array_equal(encoder.transform(digits), twin.transform(digits))


@pytest.mark.parametrize("solver", ["gradient", "proximal"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_that_are_not_finite_are_an_error(digits, solver, dtype):
    X = digits[:60].astype(dtype)
    encoder = Short(solver=solver).fit(X)
    with torch.no_grad():
        encoder.generator_[0].weight[3, 4] = np.nan
    with pytest.raises(
        ValueError, match=r"Inference diverged for rows 0, 1, 2, 3, 4, \.\.\."
    ):
        encoder.transform(X)


def test_fit_where_gradients_are_off(fitted, digits):
    with torch.no_grad():
        assert_same(Short().fit(digits), fitted)
        assert Short().partial_fit(digits).n_iter_ == 1
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("init", ["zeros", "linear"])
def test_partial_fit_is_an_epoch_of_fit(init, digits):
    once = Short(alpha=0.64, max_iter=2, init=init).fit(digits)
    twice = Short(alpha=0.64, init=init).partial_fit(digits).partial_fit(digits)
    assert twice.n_iter_ == 2
    assert twice.alpha_ == 0.64
    assert_same(once, twice)


@pytest.mark.parametrize("init", ["zeros", "linear"])
def test_warm_start_continues(init, digits):
    whole = Short(max_iter=8, init=init).fit(digits)
    halves = Short(max_iter=6, init=init, warm_start=True).fit(digits)
    halves.set_params(max_iter=2).fit(digits)
    assert halves.n_iter_ == 8
    assert halves.loss_curve_ == whole.loss_curve_
    assert_same(whole, halves)
    with pytest.raises(ValueError, match="features"):
        halves.fit(digits[:, 1:])
    with pytest.raises(ValueError, match="n_components=3 cannot take effect"):
        halves.set_params(n_components=3).fit(digits)


def test_random_state(digits):
    assert_same(Short().fit(digits), Short().fit(digits))
    other = Short(random_state=1).fit(digits)
    assert (parameters(other)[0] != parameters(Short().fit(digits))[0]).any()
    first, second = (Short(random_state=None, max_iter=5).fit(digits) for _ in "ab")
    assert (parameters(first)[0] != parameters(second)[0]).any()


def test_global_state_stays_untouched(digits):
    torch_state = torch.random.get_rng_state()
    numpy_state = check_random_state(None).get_state()
    n_threads = torch.get_num_threads()
    module = torch.nn.Linear(10, 64)
    weight = module.weight.detach().clone()
    torch.random.set_rng_state(torch_state)
    for extra in ({}, {"generator": torch.nn.Linear}, {"generator": module}):
        encoder = Short(solver="langevin", init="prior", random_state=None, **extra)
        encoder.fit(digits)
        encoder.score(digits)
        encoder.sample(3)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    for a, b in zip(check_random_state(None).get_state(), numpy_state, strict=True):
        assert_array_equal(a, b)
    assert torch.get_num_threads() == n_threads
    assert torch.equal(module.weight, weight)
    assert module.training


def test_verbose_prints_a_line_per_epoch(digits, capsys):
    Short(verbose=True).fit(digits)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("Epoch 1: loss ")


def test_generator_of_a_user(digits):
    class Deep(torch.nn.Module):
        def __init__(self, n_components, n_features):
            super().__init__()
            self.first = torch.nn.Linear(n_components, 20)
            self.norm = torch.nn.LayerNorm(20)
            self.last = torch.nn.Linear(20, n_features)

        def forward(self, z):
            return torch.sigmoid(
                self.last(torch.nn.functional.gelu(self.norm(self.first(z))))
            )

    encoder = Short(generator=Deep, step_size=0.01, max_iter=10).fit(digits)
    assert encoder.loss_curve_[-1] < encoder.loss_curve_[5]
    assert np.isfinite(encoder.score(digits))
    # A module starts from its own weights.
    again = clone(encoder).set_params(
        generator=encoder.generator_, learning_rate_init=1e-300
    )
    assert_same(again.fit(digits), encoder)


def test_output_activation(digits):
    assert Short().fit(digits).output_activation_ == "sigmoid"
    assert Short().fit(digits - 0.5).output_activation_ == "identity"
    with pytest.warns(UserWarning, match="output_activation='sigmoid'"):
        Short(output_activation="sigmoid").fit(digits * 2)


# Codes ----------------------------------------------------------------------------

SOLVERS = [
    {},
    {"init": "normal"},
    {"init": "prior"},
    {"solver": "langevin"},
    {"solver": "langevin", "init": "prior"},
    {"solver": "proximal", "init": "linear"},
    {"solver": "proximal", "init": "linear", "hidden_layer_sizes": (9,)},
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("params", SOLVERS, ids=str)
def test_a_code_depends_on_its_row_alone(
    fitted, digits, params, dtype, check_rows_are_alone
):
    # Some CPUs round rows of an odd number of values by their place.
    X = digits[:, 1:].astype(dtype)
    encoder = clone(fitted).set_params(**params).fit(X)
    check_rows_are_alone(encoder, X[:60])


@pytest.mark.parametrize("widths", [(10, 20, 64), (3, 7), (64, 32), (1,)], ids=str)
def test_filled_batches_fill_vector_instructions(widths):
    """The entries of a filled batch fill whole vector instructions in every layer."""
    layers = [torch.nn.Linear(*pair) for pair in itertools.pairwise((*widths, 5))]
    multiple = row_multiple(torch.nn.Sequential(*layers))
    assert 4 <= multiple <= 32
    assert all(multiple * width % 32 == 0 for width in (*widths, 5))


def test_starts_are_drawn_from_their_distributions(fitted, digits):
    """After one minute step, codes are where inference starts."""
    encoder = pickle.loads(pickle.dumps(fitted)).set_params(n_steps=1, step_size=1e-9)

    def p_value(init, distribution):
        codes = encoder.set_params(init=init).transform(digits)
        return stats.kstest(codes.ravel(), distribution).pvalue

    def prior(z):
        return 0.1 * stats.norm.cdf(z) + 0.9 * stats.norm.cdf(z, scale=0.1)

    assert p_value("prior", prior) > 1e-4
    assert p_value("normal", stats.norm.cdf) > 1e-4
    assert p_value("prior", stats.norm.cdf) < 1e-100  # the test tells them apart
    assert_allclose(encoder.set_params(init="zeros").transform(digits), 0, atol=1e-12)


def test_noise_of_langevin_dynamics(digits):
    """The noise of a row is standard normal, and its own under each seed."""
    X = digits.copy()
    X[1] = X[0]
    generator = torch.nn.Linear(10, 64)  # the same weights for all seeds

    def noise(seed):
        encoder = Short(generator=generator, random_state=seed).fit(digits)
        encoder.set_params(n_steps=1)
        steps = encoder.transform(X)
        return (encoder.set_params(solver="langevin").transform(X) - steps) / 0.05

    first, second = noise(0), noise(1)
    assert_allclose(first[1], first[0], atol=1e-12)  # equal rows have equal noise
    others = np.concatenate([first[1:], second[1:]])
    assert stats.kstest(others.ravel(), stats.norm.cdf).pvalue > 1e-4
    correlations = np.corrcoef(others)[~np.eye(len(others), dtype=bool)]
    assert np.abs(correlations).max() < 0.999


def test_noise_differs_from_epoch_to_epoch(digits):
    Constant = functools.partial(
        Encoder,
        generator=torch.nn.Linear(10, 64),
        learning_rate_init=1e-300,  # the weights stay the same
        alpha=0.1,
        alpha_init=0.1,
        shuffle=False,
        max_iter=3,
    )
    assert len(set(Constant().fit(digits).loss_curve_)) == 1
    noisy = Constant(solver="langevin").fit(digits).loss_curve_
    assert len(set(noisy)) == 3
    assert Constant(solver="langevin").fit(digits).loss_curve_ == noisy


def test_inference_parameters_take_effect_after_fit(fitted, digits):
    encoder = pickle.loads(pickle.dumps(fitted))
    codes = fitted.transform(digits)
    for params in (
        {"solver": "langevin"},
        {"n_steps": 5},
        {"step_size": 0.03},
        {"init": "normal"},
        {"init": "prior"},
        {"solver": "proximal"},
        {"solver": "proximal", "transform_tol": 0.1},
        {"solver": "proximal", "transform_n_steps": 1000},
        {"threshold": 0.2},
        {"solver": "proximal", "n_nonzero_coefs": 2},
    ):
        changed = encoder.set_params(**params).transform(digits)
        assert not np.allclose(changed, codes)
        encoder.set_params(**{name: fitted.get_params()[name] for name in params})
    assert_array_equal(encoder.transform(digits), codes)
    # alpha is the one that fit has reached.
    assert_array_equal(encoder.set_params(alpha=0.9).transform(digits), codes)
    assert_array_equal(encoder.slab_proba(codes), fitted.slab_proba(codes))
    with pytest.raises(ValueError, match="n_steps"):
        encoder.set_params(n_steps=0).transform(digits)


def test_a_sparse_array_that_is_larger_than_a_dense_one_is_told(digits):
    encoder = Short(sigma=0.1, step_size=0.05, sparse_output=True).fit(digits)
    with pytest.warns(UserWarning, match=r"100% .* not zero, .* threshold='posterior'"):
        encoder.transform(digits)
    encoder.set_params(threshold="posterior").transform(digits)


@pytest.mark.filterwarnings("ignore:fit ended")
def test_weights_chains_and_samples_have_numbers_of_their_own(digits):
    """One seed must not give the same numbers to different things."""
    encoder = baselines.ABPEncoder(10, max_iter=1, n_steps=1, random_state=3)
    encoder.set_params(hidden_layer_sizes=(), sigma=1e6, learning_rate_init=1e-12)
    encoder.fit(digits)
    generator = torch.Generator().manual_seed(encoder._state.seed)
    own = torch.randn(3000, generator=generator, dtype=torch.float64).numpy()
    noise = encoder.sample(50).ravel()[:3000] / 1e6
    starts = encoder.codes_.ravel()  # one small step from the start
    for numbers in (starts, noise):
        assert abs(np.corrcoef(numbers, own[: len(numbers)])[0, 1]) < 0.1
    assert abs(np.corrcoef(noise, starts)[0, 1]) < 0.1


def test_threshold_and_sparse_output(digits):
    encoder = Short(sigma=0.1, step_size=0.05).fit(digits)
    codes = encoder.transform(digits)
    by_size = encoder.set_params(threshold=0.2).transform(digits)
    assert_array_equal(by_size != 0, np.abs(codes) >= 0.2)
    posterior = encoder.set_params(threshold="posterior").transform(digits)
    active = encoder.slab_proba(codes) >= 0.5
    assert_array_equal(posterior != 0, active)
    assert 0 < active.mean() < 1
    # The other entries are inferred again, and reconstruct the data better.
    psnr = [
        peak_signal_noise_ratio(digits, encoder.inverse_transform(z)).mean()
        for z in (np.where(active, codes, 0), posterior)
    ]
    assert psnr[1] > psnr[0] + 0.3
    csr = encoder.set_params(sparse_output=True).transform(digits)
    assert sparse.issparse(csr)
    assert csr.format == "csr"
    assert csr.nnz == np.count_nonzero(posterior)
    assert_array_equal(csr.toarray(), posterior)
    for method in (encoder.inverse_transform, encoder.slab_proba):
        assert_array_equal(method(csr), method(posterior))


def test_slab_proba_against_scipy(fitted, digits):
    codes = fitted.transform(digits)
    slab = 0.1 * stats.norm.pdf(codes)
    spike = 0.9 * stats.norm.pdf(codes, scale=0.1)
    assert_allclose(fitted.slab_proba(codes), slab / (slab + spike), rtol=1e-10)


def test_inverse_transform_is_the_generator(fitted, digits):
    codes = fitted.transform(digits)
    expected = fitted.generator_(torch.from_numpy(codes)).detach().numpy()
    assert_allclose(fitted.inverse_transform(codes), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_types_are_kept(digits, dtype):
    X = digits.astype(dtype)
    encoder = Short().fit(X)
    codes = encoder.transform(X)
    assert codes.dtype == dtype
    assert encoder.inverse_transform(codes).dtype == dtype
    assert encoder.slab_proba(codes).dtype == dtype
    assert encoder.sample(2).dtype == dtype
    assert encoder.score_samples(X[:5]).dtype == np.float64
    assert next(encoder.generator_.parameters()).numpy(force=True).dtype == dtype
    # The type of the training data has no effect.
    for other in (np.float32, np.float64):
        assert encoder.transform(X.astype(other)).dtype == other


def test_float32_agrees_with_float64(fitted, digits):
    encoder = pickle.loads(pickle.dumps(fitted))
    codes = encoder.transform(digits)
    encoder.generator_.float()
    assert_allclose(encoder.transform(digits.astype(np.float32)), codes, atol=1e-4)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint32, np.int64])
def test_integers_become_float32(digits, dtype):
    X = (digits > 0.5).astype(dtype)
    encoder = Short(n_steps=5)
    codes = encoder.fit(X).transform(X)
    assert codes.dtype == np.float32
    assert_array_equal(codes, encoder.fit(X.astype("f4")).transform(X.astype("f4")))


@pytest.mark.parametrize(
    "layout", ["read-only", "fortran", "strided", "memmap", "big-endian"]
)
def test_layouts(fitted, digits, layout, tmp_path):
    X = {
        "read-only": lambda: digits,
        "fortran": lambda: np.asfortranarray(digits),
        "strided": lambda: np.repeat(digits, 2, axis=1)[::-1, ::2],
        "memmap": lambda: joblib.load(
            joblib.dump(digits, tmp_path / "X")[0], mmap_mode="r"
        ),
        "big-endian": lambda: digits.astype(">f8"),
    }[layout]()
    codes = Short().fit(X).transform(X)
    expected = Short().fit(np.array(X, dtype=float)).transform(np.array(X, dtype=float))
    assert_allclose(codes, expected, atol=1e-12)


# Likelihood and samples -----------------------------------------------------------


def linear_gaussian(X):
    """A linear generator under a normal prior, and its exact distribution."""
    encoder = Encoder(
        n_components=3,
        alpha=1.0,
        hidden_layer_sizes=(),
        output_activation="identity",
        max_iter=20,
        sigma=0.4,
    ).fit(X)
    weight, bias = linear_map(encoder.generator_)
    covariance = weight @ weight.T + 0.4**2 * np.eye(X.shape[1])
    return encoder, stats.multivariate_normal(bias, covariance)


def test_score_is_exact_for_a_linear_generator(digits):
    encoder, exact = linear_gaussian(digits)
    assert_allclose(encoder.score_samples(digits), exact.logpdf(digits), atol=1e-6)
    assert_allclose(encoder.score(digits), exact.logpdf(digits).mean(), atol=1e-6)


def test_samples_follow_the_model(digits):
    encoder, exact = linear_gaussian(digits)
    X = encoder.sample(20_000)
    assert X.shape == (20_000, 64)
    assert_allclose(X.mean(0), exact.mean, atol=0.03)
    assert_allclose(np.cov(X.T), exact.cov, atol=0.03)
    assert_array_equal(encoder.sample(20_000), X)
    with pytest.raises(ValueError, match="n_samples"):
        encoder.sample(0)


def test_score_does_not_depend_on_the_pieces(fitted, digits, monkeypatch):
    scores = fitted.score_samples(digits[:60])
    monkeypatch.setattr(
        "sklearn_sparsegen._model.laplace._PIECE_BYTES", 3 * 64 * 10 * 8
    )
    assert_allclose(fitted.score_samples(digits[:60]), scores, rtol=1e-12)


def test_score_orders_sensibly(fitted, digits):
    assert fitted.score(digits) > fitted.score(digits[:, ::-1])


# Divergence -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "transform", "score"])
def test_divergence_is_an_error_that_tells_a_stable_step(digits, method):
    def run(**params):
        encoder = Short(output_activation="identity", alpha=1.0, sigma=0.05)
        if method == "fit":
            return encoder.set_params(**params).fit(digits)
        encoder.set_params(step_size=0.01).fit(digits)
        return getattr(encoder.set_params(**params), method)(digits)

    with pytest.raises(
        ValueError, match=r"diverged .* step_size=2\.0 .*sigma=0\.05"
    ) as e:
        run(step_size=2.0, n_steps=300)
    stable = float(str(e.value).split("a step_size below ")[1].split()[0])
    run(step_size=stable / 2)


def test_energy_above_the_start_gives_a_warning(fitted, digits):
    encoder = pickle.loads(pickle.dumps(fitted)).set_params(step_size=0.4)
    with pytest.warns(
        ConvergenceWarning, match=r"energy of \d+ of 300 rows .* step_size"
    ):
        encoder.transform(digits)


# scikit-learn ---------------------------------------------------------------------


def pipeline(**params):
    encoder = Short(**params)
    return Pipeline([("enc", encoder), ("clf", LogisticRegression())])


@pytest.fixture(scope="module")
def labels():
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)[1][:300]


def test_grid_search_in_a_pipeline(digits, labels):
    grid = {"enc__alpha": [0.1, 0.28], "enc__decay": [0.18, 0.9]}
    searches = [
        GridSearchCV(pipeline(), grid, cv=2, n_jobs=n_jobs).fit(digits, labels)
        for n_jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    assert np.isfinite(scores[0]).all()
    assert np.ptp(scores[0]) > 0
    assert_array_equal(*scores)


def test_grid_search_by_its_own_score(digits):
    grid = {"alpha": [0.1, 0.28], "sigma": [0.2, 0.4]}
    search = GridSearchCV(Short(), grid, cv=2).fit(digits)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) == 4
    assert np.isfinite(scores).all()
    assert search.score(digits) == search.best_estimator_.score(digits)


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_pickle(fitted, digits, dumps):
    loaded = pickle.loads(dumps(fitted))
    assert_array_equal(loaded.transform(digits), fitted.transform(digits))


def test_joblib(fitted, digits, tmp_path):
    joblib.dump(fitted, tmp_path / "encoder")
    loaded = joblib.load(tmp_path / "encoder")
    assert_array_equal(loaded.transform(digits), fitted.transform(digits))


@pytest.mark.parametrize("init", ["zeros", "linear"])
def test_training_continues_after_pickle(init, digits):
    encoder = Short(init=init).partial_fit(digits).partial_fit(digits)
    loaded = pickle.loads(pickle.dumps(encoder))
    assert_same(encoder.partial_fit(digits), loaded.partial_fit(digits))


def test_pickle_holds_the_optimiser_state_only_for_a_warm_start(digits):
    sizes = [
        len(pickle.dumps(Short(warm_start=warm, hidden_layer_sizes=(200,)).fit(digits)))
        for warm in (False, True)
    ]
    assert sizes[1] > 2.5 * sizes[0]


@needs_cuda
def test_cuda(fitted, digits):
    encoder = Short(device="cuda", warm_start=True).fit(digits)
    codes = encoder.transform(digits)
    assert_allclose(codes, fitted.transform(digits), atol=1e-6)
    # On a machine without the GPU, every storage must load on the CPU.
    buffer = io.BytesIO(pickle.dumps(encoder))
    loaded = pickle.Unpickler(buffer).load()
    loaded.generator_.cpu()
    assert_allclose(loaded.transform(digits), codes, atol=1e-6)


@pytest.mark.parametrize("method", ["transform", "score_samples"])
def test_threads_share_a_fitted_encoder(fitted, digits, method):
    method = getattr(fitted, method)
    expected, results = method(digits), []
    threads = [
        threading.Thread(target=lambda: results.append(method(digits)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        assert_array_equal(result, expected)
    assert len(results) == 4


@pytest.mark.parametrize(
    "method", ["transform", "inverse_transform", "slab_proba", "score", "score_samples"]
)
def test_unfitted(digits, method):
    with pytest.raises(NotFittedError):
        getattr(Encoder(), method)(digits)
    with pytest.raises(NotFittedError):
        Encoder().sample()


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_data_frames(fitted, digits, output):
    frames = pytest.importorskip(output)
    X = frames.DataFrame(
        digits,
        **(
            {
                "schema" if output == "polars" else "columns": [
                    f"p{i}" for i in range(64)
                ]
            }
        ),
    )
    encoder = Short().set_output(transform=output).fit(X)
    codes = encoder.transform(X)
    assert isinstance(codes, frames.DataFrame)
    assert list(codes.columns)[:2] == [
        "sparsegeneratorencoder0",
        "sparsegeneratorencoder1",
    ]
    assert_array_equal(codes.to_numpy(), fitted.transform(digits))
    assert_allclose(
        encoder.inverse_transform(codes),
        fitted.inverse_transform(fitted.transform(digits)),
    )


# Callbacks ------------------------------------------------------------------------


def test_scoring_monitor(digits):
    monitor = ScoringMonitor(scoring={"score": lambda e, X, y: e.score(X)})
    encoder = Short().set_callbacks(monitor).fit(digits)
    log = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert [row["task_id"] for row in log] == list(range(6))
    scores = [row["score"] for row in log]
    assert len(set(scores)) == 6
    assert_allclose(scores[-1], encoder.score(digits))


def test_scoring_monitor_in_a_pipeline_and_a_grid_search(digits, labels):
    def reconstruction(estimator, X, y):
        return -np.square(
            X - estimator.inverse_transform(estimator.transform(X))
        ).mean()

    monitor = ScoringMonitor(scoring={"score": reconstruction})
    steps = pipeline().set_params(enc=Short().set_callbacks(monitor))
    steps.fit(digits, labels)
    assert sum(row["task_name"] == "epoch" for row in monitor.get_logs().data) == 6

    monitor = ScoringMonitor(scoring={"score": reconstruction})
    search = GridSearchCV(Short().set_callbacks(monitor), {"alpha": [0.1, 0.28]}, cv=2)
    search.fit(digits)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == 6 * (2 * 2 + 1)
    assert np.isfinite([row["score"] for row in rows]).all()


@pytest.mark.parametrize("kind", ["estimator", "pipeline", "search"])
def test_progress_bar(digits, labels, kind, capsys):
    estimator = {
        "estimator": Short,
        "pipeline": pipeline,
        "search": lambda: GridSearchCV(pipeline(), {"enc__alpha": [0.1, 0.28]}, cv=2),
    }[kind]()
    estimator.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(digits, labels)
    out = capsys.readouterr().out
    assert "SparseGeneratorEncoder" in out
    assert "100%" in out


def test_a_callback_can_stop_fit(digits):
    class Stop:
        def setup(self, estimator, context):
            self.snapshots = []

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            self.snapshots.append(fitted_estimator)
            return estimator.n_iter_ == 3

    stop = Stop()
    with pytest.warns(ConvergenceWarning, match="ended after 3 epochs, but alpha_"):
        encoder = Short().set_callbacks(stop).fit(digits)
    assert encoder.n_iter_ == 3
    # A snapshot is the encoder as it was then.
    first = stop.snapshots[0]
    assert first.n_iter_ == len(first.loss_curve_) == 1
    assert (parameters(first)[0] != parameters(encoder)[0]).any()
    assert_same(stop.snapshots[-1], encoder)
