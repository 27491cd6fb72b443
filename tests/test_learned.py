"""The learned start, and generators that contain a dictionary."""

import numpy as np
import pytest
import torch
from conftest import SMALL, unfinished_fits
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from torch import nn

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen._inference.starts import AffineMap, Learned
from sklearn_sparsegen._model.energy import Autograd, evaluate
from sklearn_sparsegen._model.generators import (
    Rescale,
    SkipGenerator,
    atoms_of,
    build_generator,
    mlp_generator,
)
from sklearn_sparsegen._model.linear_layers import SkipLayers, forward
from sklearn_sparsegen._model.priors import PointSpikeSlab
from sklearn_sparsegen._model.scale import fix_slopes, jacobian_at_zero, slopes_at_zero
from sklearn_sparsegen._training.schedules import AlphaSchedule, WithPretraining

pytestmark = unfinished_fits

SETTINGS = SMALL | {
    "max_iter": 8,
    "learning_rate_init": 0.001,
    "decay": 0.033,
    "n_steps": 4,
    "transform_n_steps": None,
}
ONE_PASS = {"n_steps": 0, "n_nonzero_coefs": 2}


def skip_generator(hidden=(9,), output_activation="identity", rescale=True):
    """Return a generator from 5 components to 12 features, with weights at random."""

    def source(k, d):
        output = Rescale(torch.linspace(-1, 2, d), 3.0) if rescale else None
        return mlp_generator(k, d, hidden, "tanh", output_activation, output, True)

    generator = build_generator(source, 5, 12, 0).double()
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in generator.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draws) / 3)
        generator.scale.fill_(1.7)
    return generator


@pytest.mark.parametrize("output_activation", ["identity", "sigmoid"])
@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("hidden", [(), (9,), (8, 7)])
def test_products_are_those_of_autograd(hidden, rescale, output_activation, rng):
    generator = skip_generator(hidden, output_activation, rescale)
    z = torch.from_numpy(rng.normal(size=(7, 5)))
    fast, plain = evaluate(generator, 0.7), Autograd(generator, 0.7)
    assert isinstance(fast, SkipLayers)
    gradient = torch.from_numpy(rng.normal(size=(7, 12)))
    for codes in (z, z[:1]):  # one code for all rows, too
        expected, expected_pullback = plain.output_and_pullback(codes.clone(), 7)
        found, pullback = fast.output_and_pullback(codes.clone(), 7)
        assert_allclose(fast.output(codes), found)
        assert_allclose(found.expand_as(expected), expected, rtol=1e-12)
        assert_allclose(
            pullback(gradient.clone()), expected_pullback(gradient), rtol=1e-10
        )


def test_gradients_of_the_weights_are_those_of_autograd(rng):
    z = torch.from_numpy(rng.normal(size=(7, 5)))
    found = []
    for function in (forward, lambda network, z: network(z)):
        generator, code = skip_generator(), z.clone().requires_grad_()
        function(generator, code).square().sum().backward()
        found.append([code.grad, *(p.grad for p in generator.parameters())])
    for one, two in zip(*found, strict=True):
        assert one.abs().max() > 0
        assert_allclose(one, two, rtol=1e-10, atol=1e-12)


def test_the_jacobian_at_zero_against_differences():
    generator, step = skip_generator(), 1e-6
    unit = step * torch.eye(5, dtype=torch.float64)
    with torch.no_grad():
        expected = (generator(unit) - generator(-unit)).T / (2 * step)
    assert_allclose(jacobian_at_zero(generator, 5), expected, atol=1e-8)


def test_slopes_are_fixed_by_the_scale_and_weights_of_one_norm():
    generator = skip_generator(hidden=())
    z = torch.ones(1, 5, dtype=torch.float64)
    before = generator(z).detach()
    factor = fix_slopes(generator, 5, data_variance=8.0, n_active=2)
    assert_allclose(slopes_at_zero(generator, 5), 2.0)
    # Entries of a root mean square of 0.05, whatever the number of features is.
    assert_allclose(generator.skip.weight.detach().square().mean(0).sqrt(), 0.05)
    assert_allclose(generator(z * factor).detach(), before)


def test_atoms_keep_their_norm_in_each_step(digits, monkeypatch):
    """The noise of Adam would make them grow, and the codes with them."""
    norms, step = [], torch.optim.Adam.step

    def watch(optimizer, *args):
        norms.append(optimizer.param_groups[0]["params"][0].detach().square().mean(0))
        return step(optimizer, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", watch)
    encoder = SparseGeneratorEncoder(**SETTINGS | {"learning_rate_init": 0.1})
    encoder.fit(digits)
    assert len(norms) > 8
    assert_allclose([n.sqrt() for n in norms], 0.05, rtol=1e-9)
    # A spike of positive width fixes the scale of the codes by itself.
    encoder.set_params(spike_scale=0.05).fit(digits)
    assert norms[-1].std() > 1e-3 * norms[-1].mean()


# The encoder --------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [(), (9,)])
def test_components_are_what_a_code_adds(hidden, digits):
    """Without the correction, by differences of what the encoder generates."""
    settings = SETTINGS | {"hidden_layer_sizes": hidden, "max_iter": 4}
    encoder = SparseGeneratorEncoder(**settings).fit(digits)
    assert encoder.components_.shape == (6, 64)
    if hidden:
        with torch.no_grad():
            assert encoder.generator_.layers[-1].weight.any()  # it has learned
            encoder.generator_.layers[-1].weight.zero_()
    unit = np.eye(6)
    added = encoder.inverse_transform(unit) - encoder.inverse_transform(0 * unit)
    assert_allclose(encoder.components_, added, atol=1e-12)


def test_components_of_linear_generators_and_of_others(digits):
    linear = {"hidden_layer_sizes": (), "skip_connection": False}
    encoder = SparseGeneratorEncoder(**SETTINGS | linear).fit(digits)
    unit = np.eye(6)
    added = encoder.inverse_transform(unit) - encoder.inverse_transform(0 * unit)
    assert_allclose(encoder.components_, added, atol=1e-12)
    assert atoms_of(nn.Sequential(nn.Linear(3, 4))).shape == (3, 4)
    other = SparseGeneratorEncoder(**SETTINGS | {"skip_connection": False}).fit(digits)
    assert not hasattr(other, "components_")
    with pytest.raises(AttributeError, match="has no linear part"):
        other.components_  # noqa: B018


@pytest.mark.parametrize("positive_code", [True, False])
def test_one_pass_against_its_formula(positive_code, digits):
    encoder = SparseGeneratorEncoder(**SETTINGS | ONE_PASS, positive_code=positive_code)
    codes = encoder.fit(digits).transform(digits)
    start = encoder.start_
    mean, unit = digits.mean(0), np.sqrt(digits.var(0).mean())
    weight, bias = (p.detach().numpy() for p in start.linear.parameters())
    expected = start.scale.item() * ((digits - mean) / unit @ weight.T + bias)
    if positive_code:
        expected = expected.clip(0)
    kept = np.argsort(-np.abs(expected), axis=1, kind="stable")[:, :2]
    largest = np.zeros_like(expected)
    np.put_along_axis(largest, kept, np.take_along_axis(expected, kept, 1), 1)
    # A proximal step under the slab, as long as the slope of each component allows.
    step = (encoder.sigma_ / start.slopes.numpy()) ** 2
    assert_allclose(codes, largest / (1 + step), rtol=1e-9, atol=1e-12)
    assert ((codes < 0).any()) == (not positive_code)


def test_steps_lower_the_energy_from_there(digits):
    encoder = SparseGeneratorEncoder(**SETTINGS | ONE_PASS).fit(digits)
    x = torch.tensor(digits)
    energies = [
        encoder.set_params(transform_n_steps=n)._inference_model().infer(x).energy
        for n in (0, 2, 10)
    ]
    assert (energies[1] <= energies[0]).all()
    assert energies[2].mean() < energies[1].mean() < energies[0].mean()


def test_a_missing_feature_is_at_its_mean(digits, rng):
    encoder = SparseGeneratorEncoder(**SETTINGS | ONE_PASS).fit(digits)
    hidden = rng.uniform(size=digits.shape) < 0.2
    filled = np.where(hidden, digits.mean(0), digits)
    holes = np.where(hidden, np.nan, digits)
    assert_allclose(encoder.transform(holes), encoder.transform(filled), rtol=1e-9)


def test_the_map_starts_at_matched_filters(rng):
    """A row that is one atom times a number has this number as its code."""
    generator = skip_generator()
    offset = torch.from_numpy(rng.normal(size=12))
    network = AffineMap(5, Rescale(-offset / 2, 0.5)).double()
    network.begin(generator)
    jacobian = jacobian_at_zero(generator, 5)
    x = offset + 3 * jacobian.T
    assert_allclose(network(x).diagonal().detach(), 3, rtol=1e-9)
    assert 0.1 < network.linear.weight.norm(dim=1).mean() < 10


def test_the_gradient_of_the_map_against_differences(rng):
    """Where the set of active codes stays the same, codes are a function of the map."""
    generator = skip_generator()
    network = AffineMap(5, Rescale(torch.zeros(12), 1.0)).double()
    network.begin(generator)
    start = Learned(network, 0.3, 2)
    prior = PointSpikeSlab(1.0, 1.0, True, 2)
    x, weight = torch.from_numpy(rng.normal(size=(8, 12))), network.linear.weight

    def loss():
        z = start.codes(x, None, prior, None)
        return (generator(z) - x).square().sum()

    (gradient,) = torch.autograd.grad(loss(), weight)
    direction = torch.from_numpy(rng.normal(size=weight.shape))
    values = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            weight += step * direction
            values.append(loss().item())
            weight -= step * direction
    slope = (values[0] - values[1]) / 2e-6
    assert_allclose((gradient * direction).sum(), slope, rtol=1e-5)


def test_the_autoencoder_comes_first_and_then_alpha(digits):
    settings = SETTINGS | {"alpha_init": 0.8, "alpha": 0.05, "decay": 0.1}
    encoder = SparseGeneratorEncoder(**settings)
    seen = []

    class Watch(SparseGeneratorEncoder):
        def _training_model(self):
            model = super()._training_model()
            seen.append((model.prior.alpha, model.prior.n_active, model.solver.n_steps))
            return model

    Watch(**encoder.get_params()).fit(digits)
    # One and a half times the root of 6 components is 4, rounded up.
    assert set(seen[:7]) == {(1.0, 4, 0)}
    assert [alpha for alpha, *_ in seen[7:9]] == pytest.approx([0.1, 0.05])
    assert all(n_active is None and n == 4 for _, n_active, n in seen[7:])


def test_the_schedule_tells_what_is_not_finished():
    schedule = WithPretraining(6, 10, AlphaSchedule(0.8, 0.1, 0.08))
    # The loss of epoch 7 cannot be compared with those that follow.
    assert "one of them has inferred codes by steps" in schedule.left(7)
    assert "alpha_=0.16" in schedule.left(8)
    assert schedule.left(9) == ""
    values = [schedule.at(epoch)["_is_pretraining"] for epoch in (1, 6, 7)]
    assert values == [True, True, False]
    # A fit that ends sooner has nothing to compare.
    schedule = WithPretraining(2, 3, AlphaSchedule(0.8, 0.1, 0.3))
    assert schedule.left(2) != "" == schedule.left(3)


def test_the_rate_falls_along_a_cosine(digits):
    rates = []

    class Watch(SparseGeneratorEncoder):
        def _training_model(self):
            rates.append(self._state.optimizer.param_groups[0]["lr"])
            return super()._training_model()

    Watch(**SETTINGS | {"learning_rate_init": 0.01}).fit(digits)
    epochs = np.arange(8) + 0.5
    expected = 0.01 * (1 + np.cos(np.pi * epochs / 8)) / 2
    assert_allclose(rates[1:9], expected)


def test_no_component_stays_without_use(digits):
    encoder = SparseGeneratorEncoder(**SETTINGS | {"n_components": 60, "max_iter": 20})
    encoder.set_params(alpha_init=0.05, learning_rate_init=0.003).fit(digits)
    assert encoder.component_frequency_.min() > 0


def test_rows_alone(digits, check_rows_are_alone):
    encoder = SparseGeneratorEncoder(**SETTINGS | {"hidden_layer_sizes": (32,)})
    encoder.set_params(n_components=32).fit(digits)
    for n_steps in (0, 3):
        check_rows_are_alone(encoder.set_params(transform_n_steps=n_steps), digits)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"init": "zeros", "n_steps": 0}, "n_steps=0 trains an autoencoder"),
        ({"init": "zeros", "transform_n_steps": 0}, "transform_n_steps=0 leaves"),
        (
            {"solver": "gradient", "spike_scale": 0.1, "transform_n_steps": 0},
            "transform_n_steps=0 needs solver='proximal'",
        ),
    ],
)
def test_steps_that_are_needed(change, match, digits):
    with pytest.raises(ValueError, match=match):
        SparseGeneratorEncoder(**SETTINGS | change).fit(digits)


def test_the_learned_start_needs_training_with_it(digits):
    encoder = SparseGeneratorEncoder(**SETTINGS | {"init": "zeros"}).fit(digits)
    assert encoder.start_ is None
    with pytest.raises(ValueError, match="whose training began with it"):
        encoder.set_params(init="learned").transform(digits)
    # The other way round there is nothing that is missing.
    encoder = SparseGeneratorEncoder(**SETTINGS).fit(digits)
    codes = clone(encoder).set_params(init="learned").fit(digits).transform(digits)
    assert_array_equal(encoder.transform(digits), codes)
    assert encoder.set_params(init="zeros").transform(digits).any()


@pytest.mark.parametrize("kind", ["convolutional", "own", "sigmoid", "smooth"])
def test_other_generators_and_priors(kind, digits):
    """The start learns with any of them, and beats the mean in one pass."""
    change = {
        "convolutional": {"generator": "convolutional", "image_shape": (8, 8)},
        "own": {"generator": lambda k, d: nn.Sequential(nn.Linear(k, d))},
        "sigmoid": {"output_activation": "sigmoid"},
        "smooth": {"spike_scale": 0.05},
    }[kind]
    settings = SETTINGS | {"n_components": 30, "max_iter": 20, "alpha_init": 0.05}
    settings |= {"learning_rate_init": 0.005}
    encoder = SparseGeneratorEncoder(**settings | change)
    codes = encoder.fit(digits).set_params(transform_n_steps=0).transform(digits)
    error = np.square(digits - encoder.inverse_transform(codes)).sum()
    assert error < 0.7 * np.square(digits - digits.mean(0)).sum()
    assert isinstance(encoder.generator_, SkipGenerator) == (
        kind in ("sigmoid", "smooth")
    )
