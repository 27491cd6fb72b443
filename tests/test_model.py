"""The model: what joins prior, likelihood, generator, start and solver."""

import dataclasses

import pytest
import torch
from conftest import short_fits
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen._inference.model import Model
from sklearn_sparsegen._inference.proximal import ProximalQuasiNewton, StiffestDirection
from sklearn_sparsegen._inference.solvers import GradientSteps
from sklearn_sparsegen._inference.starts import Zeros
from sklearn_sparsegen._model.generators import build_generator, mlp_generator
from sklearn_sparsegen._model.likelihoods import NormalLikelihood
from sklearn_sparsegen._model.priors import Exponential, PointSpikeSlab, SpikeSlab
from sklearn_sparsegen._training.epoch import train_epoch
from sklearn_sparsegen._training.schedules import AlphaSchedule, loss_has_converged

pytestmark = short_fits

SIGMA = 0.3


def make_model(prior, solver="proximal", **options):
    generator = build_generator(mlp_generator, 5, 12, seed=0).double()
    likelihood = NormalLikelihood(SIGMA)
    stiffest = StiffestDirection(5).double()
    stiffest.update(generator, likelihood)
    solvers = {
        "proximal": ProximalQuasiNewton(10, None, stiffest.under(likelihood)),
        "gradient": GradientSteps(10, 0.05),
        "langevin": GradientSteps(10, 0.05, langevin=True),
    }
    return Model(
        generator=generator,
        prior=prior,
        likelihood=likelihood,
        solver=solvers[solver],
        start=Zeros(5),
        n_components=5,
        seed=(0,),
        **options,
    )


@pytest.fixture
def x(rng):
    return torch.from_numpy(rng.uniform(size=(20, 12)))


def seeded_draw(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("solver", ["gradient", "langevin"])
@pytest.mark.parametrize("prior", [PointSpikeSlab(0.1), Exponential(3.0)])
def test_gradient_steps_need_a_gradient(solver, prior):
    with pytest.raises(ValueError, match=r"spike_scale=0 .* solver='proximal'"):
        make_model(prior, solver)
    make_model(prior)  # has a proximal step


def test_loss_is_the_energy_at_inferred_codes(x):
    model = make_model(SpikeSlab(0.2), "gradient")
    z = model.infer(x).z
    loss, figures, _, _, rising = model.loss(x, None, seeded_draw())
    error = (x - model.generator(z)).square().sum(1) / (2 * SIGMA**2)
    assert_allclose(loss.detach(), error.detach(), rtol=1e-12)
    energy = error.detach() - model.prior.log_prob(z).sum(1)
    assert_allclose(figures["loss"], energy, rtol=1e-12)
    active = model.prior.slab_proba(z) > 0.5
    assert_array_equal(figures["active"], active)
    assert_array_equal(figures["empty"], ~active.any(1))
    assert_allclose(figures["squared_error"], 2 * SIGMA**2 * loss.detach())
    assert not rising.any()
    assert make_model(SpikeSlab(0.2)).loss(x, None, seeded_draw()).rising is None
    (gradient,) = torch.autograd.grad(loss.sum(), model.generator[0].weight)
    assert gradient.any()


def test_the_generator_learns_from_a_spike_that_is_drawn_anew(x):
    model = make_model(SpikeSlab(0.2))
    z = model.prior.redraw_spike(model.infer(x).z, seeded_draw())
    assert 0 < (z != model.infer(x).z).double().mean() < 1
    loss = model.loss(x, None, seeded_draw()).loss
    error = (x - model.generator(z)).square().sum(1) / (2 * SIGMA**2)
    assert_allclose(loss.detach(), error.detach(), rtol=1e-12)


@pytest.mark.parametrize(
    ("solver", "spike_scale", "redraws"),
    [("proximal", 0.1, True), ("proximal", 0, False), ("gradient", 0.1, False)],
)
def test_when_the_encoder_draws_the_spike_anew(digits, solver, spike_scale, redraws):
    settings = {"solver": solver, "spike_scale": spike_scale, "init": "zeros"}
    settings["learning_rate_init"] = 0.001
    encoder = SparseGeneratorEncoder(
        3, **settings, step_size=0.01, alpha=1.0, max_iter=5, tol=None, random_state=0
    ).fit(digits)
    assert encoder._training_model().redraws_spike == redraws


def test_a_code_of_several_pieces_is_that_of_each(x, monkeypatch):
    model = make_model(SpikeSlab(0.2))
    whole = model.infer(x)
    monkeypatch.setattr("sklearn_sparsegen._inference.model._CPU_ROWS", 8)
    pieces = model.infer(x)
    for name in ("z", "energy", "not_converged"):
        assert_allclose(getattr(pieces, name), getattr(whole, name), atol=1e-9)


def test_an_epoch_moves_the_weights_by_the_optimiser(x):
    """Against Adam on the loss written out, one step per batch."""
    model, reference = (make_model(SpikeSlab(0.2), "gradient") for _ in range(2))
    weights = torch.linspace(0.5, 2, len(x)).to(x)
    batches = [(None, x[:10], weights[:10]), (None, x[10:], weights[10:])]
    optimizer = torch.optim.Adam(model.generator.parameters(), lr=0.01)
    train_epoch(model, batches, optimizer, seeded_draw())
    adam = torch.optim.Adam(reference.generator.parameters(), lr=0.01)
    for _, batch, weight in batches:
        z = reference.infer(batch).z
        error = (batch - reference.generator(z)).square().sum(1) / (2 * SIGMA**2)
        adam.zero_grad()
        (weight / weight.sum() @ error).backward()
        adam.step()
    for a, b in zip(
        model.generator.parameters(), reference.generator.parameters(), strict=True
    ):
        assert_allclose(a.detach(), b.detach(), rtol=1e-9)


def test_schedule_of_alpha_falls():
    with pytest.raises(ValueError, match=r"alpha_init=0.2 .* alpha=0.5"):
        AlphaSchedule(0.2, 0.5, 0.1)
    assert "alpha_=0.043 " in AlphaSchedule(1.0, 0.01, 0.033).left(29)


@pytest.mark.parametrize(
    ("losses", "converged"),
    [
        ([], False),
        ([5.0], False),
        ([5.0] * 5, False),  # nothing came before the first
        ([5.0] * 6, True),
        ([5.0, 5, 5, 5, 5, 4.9], False),
        ([5.0, 5, 5, 5, 5, 4.99], True),  # by less than a hundredth
        ([-5.0, -5, -5, -5, -5, -5.1], False),
        ([5.0, 3, 4, 4, 4, 4, 4], True),  # below the last one, above the best
    ],
)
def test_when_the_loss_has_converged(losses, converged):
    assert loss_has_converged(losses, tol=0.01, n_epochs=5) == converged


def test_epochs_in_which_the_loss_may_stay():
    assert loss_has_converged([5.0, 5, 5], tol=0.01, n_epochs=2)
    assert not loss_has_converged([5.0, 5, 5], tol=0.01, n_epochs=3)


def test_a_model_is_what_its_objects_are(x):
    """Another prior gives other codes with the same generator."""
    model = make_model(SpikeSlab(0.9))
    sparser = dataclasses.replace(model, prior=SpikeSlab(0.01))
    assert sparser.infer(x).z.abs().mean() < 0.9 * model.infer(x).z.abs().mean()
