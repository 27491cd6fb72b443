import functools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from sklearn_sparsegen._generators import build_generator, mlp_generator


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
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout())
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
            r"to \(2, 4\), .* gave \(2, 5\)",
        ),
        (lambda k, d: nn.Linear(k + 1, d), ValueError, "generator must map .* failed"),
        (lambda k, d: nn.Flatten(0), ValueError, "no parameter to train"),
        (nn.Linear(2, 4), ValueError, "generator must map"),
        (functools.partial(nn.Linear, bias=None), None, None),
    ],
)
def test_what_a_source_may_be(source, error, match):
    if error is None:
        assert build_generator(source, 3, 4, seed=0)(torch.zeros(1, 3)).shape == (1, 4)
    else:
        with pytest.raises(error, match=match):
            build_generator(source, 3, 4, seed=0)
