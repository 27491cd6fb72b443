import functools

import numpy as np
import pytest
import torch
from conftest import short_fits
from numpy.testing import assert_allclose
from scipy import signal
from torch import nn

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen._model.generators import (
    build_generator,
    check_generator,
    convolutional_generator,
    mlp_generator,
)
from sklearn_sparsegen._utils.random import SeededRandomness
from sklearn_sparsegen.baselines import TopKEncoder, VAEEncoder, VSCEncoder


@pytest.mark.parametrize("activation", ["identity", "relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("output_activation", ["identity", "sigmoid"])
@pytest.mark.parametrize("sizes", [(), (5,), (7, 6)])
def test_mlp_against_numpy(activation, output_activation, sizes, rng):
    functions = {
        "identity": lambda a: a,
        "relu": lambda a: np.maximum(a, 0),
        "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
        "tanh": np.tanh,
    }
    generator = mlp_generator(3, 4, sizes, activation, output_activation).double()
    z = rng.normal(size=(10, 3))
    weights = [p.detach().numpy() for p in generator.parameters()]
    expected = z
    for layer in range(len(sizes) + 1):
        expected = expected @ weights[2 * layer].T + weights[2 * layer + 1]
        last = layer == len(sizes)
        expected = functions[output_activation if last else activation](expected)
    assert_allclose(generator(torch.from_numpy(z)).detach(), expected, rtol=1e-12)


@pytest.mark.parametrize("image_shape", [(8, 8), (4, 12), (8, 4, 3)])
@pytest.mark.parametrize("output_activation", ["identity", "sigmoid"])
def test_convolutions_against_scipy(image_shape, output_activation, rng):
    """A transposed convolution spreads each value over a 4 x 4 patch, two apart."""
    n_features = int(np.prod(image_shape))
    generator = convolutional_generator(
        3, n_features, image_shape, (5, 2), "tanh", output_activation
    ).double()
    z = rng.normal(size=(2, 3))
    linear, first, second = (
        [p.detach().numpy() for p in generator[i].parameters()] for i in (0, 3, 5)
    )

    def convolve(images, weight, bias):
        """Put zeros between the values, convolve, and take the middle."""
        n, n_in, height, width = images.shape
        spread = np.zeros((n, n_in, 2 * height, 2 * width))
        spread[:, :, ::2, ::2] = images
        out = np.zeros((n, weight.shape[1], 2 * height, 2 * width))
        out += bias[:, None, None]
        for row, i, o in np.ndindex(n, *weight.shape[:2]):
            full = signal.convolve2d(spread[row, i], weight[i, o])
            out[row, o] += full[1 : 2 * height + 1, 1 : 2 * width + 1]
        return out

    height, width = image_shape[:2]
    hidden = z @ linear[0].T + linear[1]
    hidden = np.tanh(hidden.reshape(2, 5, height // 4, width // 4))
    expected = convolve(np.tanh(convolve(hidden, *first)), *second)
    expected = np.moveaxis(expected, 1, -1).reshape(2, -1)
    if output_activation == "sigmoid":
        expected = 1 / (1 + np.exp(-expected))
    assert_allclose(generator(torch.from_numpy(z)).detach(), expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["mlp", "convolutional"])
def test_hidden_layers_keep_the_scale_of_codes(name):
    """He's initialisation keeps the mean square from layer to layer."""
    factory = {
        "mlp": functools.partial(mlp_generator, hidden_layer_sizes=(1000, 1000)),
        "convolutional": functools.partial(
            convolutional_generator, image_shape=(32, 32), channels=(64, 64)
        ),
    }[name]
    generator = build_generator(factory, 200, 1024, seed=0)
    values = torch.randn(100, 200, generator=torch.Generator().manual_seed(0))
    mean_squares = []
    for module in generator:
        values = module(values)
        if isinstance(module, nn.ReLU):
            # The border of an image is left out, as it depends on fewer values.
            inner = values[..., 1:-1, 1:-1] if values.ndim == 4 else values
            mean_squares.append(inner.square().mean().item())
    assert_allclose(mean_squares, [1, 1], rtol=0.1)


class Noisy(nn.Module):
    """A module with each kind of random initialisation that torch has."""

    def __init__(self, n_components, n_features):
        super().__init__()
        self.linear = nn.Linear(n_components, n_features)
        self.normal = nn.Parameter(torch.randn(n_features))
        self.uniform = nn.Parameter(torch.rand(n_features))
        self.truncated = nn.Parameter(torch.empty(n_features))
        nn.init.trunc_normal_(self.truncated)
        self.signs = nn.Parameter(torch.bernoulli(torch.full((n_features,), 0.5)))
        self.order = nn.Parameter(torch.randperm(n_features).float())
        self.integers = nn.Parameter(torch.randint(100, (n_features,)).float())

    def forward(self, z):
        return self.linear(z) + self.normal + self.uniform + self.truncated


@pytest.mark.parametrize("factory", [mlp_generator, Noisy])
def test_seeded_without_touching_the_global_generator(factory):
    before = torch.random.get_rng_state()
    first, again, other = (build_generator(factory, 5, 50, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    for a, b, c in zip(
        first.parameters(), again.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_module_is_copied():
    module = nn.Linear(3, 4)
    generator = build_generator(module, 3, 4, seed=0)
    assert torch.equal(generator.weight, module.weight)
    assert generator.weight is not module.weight


def test_evaluation_mode():
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout())
    assert module.training
    assert not build_generator(module, 3, 4, seed=0).training
    assert module.training


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        (lambda k, d: "no module", TypeError, "generator must .* returned str"),
        (
            lambda k, d: nn.Linear(k, d + 1),
            ValueError,
            r"of shape \(2, 4\), but it gave .* of shape \(2, 5\)",
        ),
        (lambda k, d: nn.Linear(k + 1, d), ValueError, "generator must map .* failed"),
        (lambda k, d: nn.Flatten(0), ValueError, "no parameter to train"),
        (nn.Linear(2, 4), ValueError, "generator must map"),
        (functools.partial(nn.Linear, bias=None), None, None),
    ],
)
def test_what_a_source_may_be(source, error, match):
    def build():
        check_generator(build_generator(source, 3, 4, seed=0), 3, 4)

    if error is None:
        build()
    else:
        with pytest.raises(error, match=match):
            build()


class Own(nn.Linear):
    def __init__(self, k, d, change):
        super().__init__(k, d)
        self.change = change

    def forward(self, z):
        return self.change(super().forward(z))


class OfTheBatch(nn.Linear):
    def forward(self, z):
        return super().forward(z - z.mean(0))


class Random(nn.Linear):
    def forward(self, z):
        return super().forward(z) + torch.randn_like(z[:, :1])


class InPlace(nn.Linear):
    def forward(self, z):
        return super().forward(z.mul_(2))


class OneDerivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        return 2 * y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * gradient


@pytest.mark.parametrize(
    ("module", "match"),
    [
        (Own(3, 4, lambda y: (y, y)), "gave a tuple"),
        (Own(3, 4, lambda y: y.detach()), "a first and a second derivative"),
        (Own(3, 4, lambda y: 0 * y.detach() + 1), "a first and a second derivative"),
        (Own(3, 4, OneDerivative.apply), "a first and a second derivative"),
        (Own(3, 4, lambda y: y + 0j), "gave a torch.complex64 tensor"),
        (Own(3, 4, lambda y: y.double()), "gave a torch.float64 tensor"),
        (Own(3, 4, lambda y: y / 0), "not finite"),
        (Own(3, 4, lambda y: y["x"]), "but it failed"),
        (OfTheBatch(3, 4), "whatever the other codes of a batch"),
        (Random(3, 4), "the same output for the same code each time"),
        (InPlace(3, 4), "must not change the codes in place"),
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), "1.running_mean .*LayerN"),
        (
            nn.utils.spectral_norm(nn.Linear(3, 4)),
            "weight_u if it is called",
        ),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)), "training mode"),
    ],
)
def test_generators_that_cannot_be_used(module, match):
    X = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    encoder = SparseGeneratorEncoder(3, generator=module)
    with pytest.raises(ValueError, match=match):
        encoder.fit(X)
    assert not hasattr(encoder, "generator_")


@short_fits
def test_a_recognition_network_needs_one_derivative_alone():
    module = Own(3, 4, OneDerivative.apply)
    X = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    for cls in VAEEncoder, VSCEncoder, TopKEncoder:
        encoder = cls(3, generator=module, max_iter=12, tol=None).fit(X)
        getattr(encoder, "score", encoder.transform)(X)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(3),
        lambda: torch.randn(3),
        lambda: torch.randint(5, (3,)),
        lambda: torch.randint(2, 5, (3,)),
        lambda: torch.randperm(5),
        lambda: torch.normal(0.0, 1.0, (3,)),
        lambda: torch.normal(torch.zeros(3), 1.0),
        lambda: torch.bernoulli(torch.full((3,), 0.5)),
        lambda: torch.multinomial(torch.ones(5), 3),
        pytest.param(
            lambda: torch.rand_like(torch.zeros(3)),
            marks=pytest.mark.skipif(
                "generator" not in torch.ops.aten.rand_like.overloads(),
                reason="rand_like takes no generator in this version of PyTorch",
            ),
        ),
        lambda: torch.empty(3).uniform_(),
    ],
)
def test_what_a_factory_draws_depends_on_the_seed(draw):
    def values(seed):
        with SeededRandomness(seed):
            return torch.stack([draw() for _ in range(5)])

    state = torch.random.get_rng_state()
    assert torch.equal(values(0), values(0))
    assert not torch.equal(values(0), values(1))
    assert torch.equal(torch.random.get_rng_state(), state)
