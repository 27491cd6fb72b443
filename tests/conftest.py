import os
from pathlib import Path

# One of scikit-learn's common checks asks for this; scipy reads it on import.
os.environ["SCIPY_ARRAY_API"] = "1"

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits

from sklearn_sparsegen import _posterior
from sklearn_sparsegen._data_term import full_rows, linear, linear_layers

# Many threads on small matrices wait for each other, the more so on a busy machine.
torch.set_num_threads(1)

# Derandomised, so that a run shows what the last one showed; time is no property.
settings.register_profile("sparsegen", deadline=None, derandomize=True)
settings.load_profile("sparsegen")


@pytest.fixture(scope="session")
def digits():
    """300 images of digits, 8x8 pixels in [0, 1], float64."""
    X = load_digits(return_X_y=True)[0][:300] / 16
    X.flags.writeable = False
    return X


@pytest.fixture(scope="session")
def data_home():
    """Folder of the paper's image sets."""
    folder = Path(os.environ.get("SPARSEGEN_DATA", "missing"))
    if not folder.is_dir():
        pytest.skip(
            "the image sets are not part of the repository: set the environment "
            "variable SPARSEGEN_DATA to their folder"
        )
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def rounds_rows_alike(generator):
    """Whether products of few rows and of many round a row alike on this machine."""
    n_least = full_rows(linear_layers(generator))
    weights = [p.detach() for p in generator.parameters() if p.ndim == 2]
    # as the linear start multiplies
    weights.append(torch.ones(len(weights[-1]), weights[0].shape[1]).to(weights[0]))
    for weight in weights + [weight.T for weight in weights]:
        rows = torch.arange(320 * weight.shape[1]).to(weight).sin().view(320, -1)
        whole = linear(rows, weight, None)
        for n in (n_least, 2 * n_least, 288):
            if not torch.equal(linear(rows[:n], weight, None), whole[:n]):
                return False
    return True


@pytest.fixture
def check_rows_are_alone(monkeypatch):
    """Check that a row's code is the same, to the last bit, in every batch."""

    def check(encoder, X):
        if not rounds_rows_alike(encoder.generator_):
            pytest.skip("this machine rounds a row's products by the rows beside it")
        codes = encoder.transform(X)
        order = np.random.default_rng(0).permutation(len(X))
        assert_array_equal(encoder.transform(X[order]), codes[order])
        for n in (1, 7, len(X) - 1):
            parts = [encoder.transform(X[i : i + n]) for i in range(0, len(X), n)]
            assert_array_equal(np.concatenate(parts), codes)
            monkeypatch.setattr(_posterior, "_CPU_ROWS", n)
            strides = encoder.set_params(batch_size=n).transform(X)
            assert_array_equal(strides, codes)

    return check
