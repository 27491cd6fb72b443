import multiprocessing
import os
import random
import sys
from pathlib import Path

# One of scikit-learn's common checks needs this. SciPy reads it when it is imported.
os.environ["SCIPY_ARRAY_API"] = "1"
# With small matrices, threads spend most of their time waiting for each other, also in
# the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.random import bit_generator
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits
from sklearn.utils import check_random_state

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder, baselines
from sklearn_sparsegen._model.generators import SkipGenerator, atoms_of
from sklearn_sparsegen._model.linear_layers import linear, row_multiple

torch.set_num_threads(1)

# Derandomised, so that every run tests the same examples. Without a deadline, because
# the time that an example takes depends on the machine.
settings.register_profile("sparsegen", deadline=None, derandomize=True)
settings.load_profile("sparsegen")


def seed_process(number=0):
    """Seed what draws without a `random_state`, which then draws the same in every run.

    NumPy takes fresh entropy from a sequence of its own then, in which no two numbers
    are the same. A process that a test starts calls this with a number of its own.
    """
    check_random_state(None).seed(number)
    torch.manual_seed(number)
    bit_generator.randbits = random.Random(number).getrandbits


def process_context():
    """Return how tests start processes.

    On Linux they are forks of one process, which has imported what takes long, and in
    which nothing else runs. Elsewhere PyTorch cannot be forked safely.
    """
    if not sys.platform.startswith("linux"):
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # PyTorch imports the last one for the first optimiser.
    modules = ["pytest", "hypothesis", "sklearn_sparsegen", "torch._dynamo"]
    context.set_forkserver_preload(modules)
    return context


@pytest.fixture(autouse=True)
def seeds():
    """Make the results of code without a `random_state` the same in every run."""
    source, entropy = check_random_state(None), bit_generator.randbits
    state = source.get_state()
    with torch.random.fork_rng(devices=[]):
        seed_process()
        yield
    source.set_state(state)
    bit_generator.randbits = entropy


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


# Fits of a few epochs give results of no use; test_checks.py tests these warnings.
short_fits = pytest.mark.filterwarnings(
    "ignore:(Only|The (loss|recon)|.*% of (all codes|the training rows))"
)
# Those that end before alpha has fallen to its end are told so too.
unfinished_fits = [short_fits, pytest.mark.filterwarnings("ignore:fit ended")]
needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA GPU"
)


# Encoders of all kinds, small enough to fit each of them in many tests ----------------

CLASSES = [
    SparseGeneratorEncoder,
    *(getattr(baselines, name) for name in baselines.__all__),
]
each_class = pytest.mark.parametrize("encoder", CLASSES, ids=lambda e: e.__name__)
SMALL = {
    "n_components": 6,
    "hidden_layer_sizes": (9,),
    "max_iter": 3,
    "batch_size": 50,
    "tol": None,
    "random_state": 0,
}
# The linear start, and a generator without a dictionary.
LINEAR = {
    "init": "linear",
    "skip_connection": False,
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "decay": 0.033,
    "n_steps": 4,
    "transform_n_steps": None,
}


def small_encoders(**settings):
    """Return an encoder of each class by its name; the main one is called "main"."""
    settings = SMALL | settings
    return {
        "main": SparseGeneratorEncoder(**settings),
        **{name: getattr(baselines, name)(**settings) for name in baselines.__all__},
        "linear": SparseGeneratorEncoder(**LINEAR | settings),
        "pseudo-inputs": baselines.VSCEncoder(n_pseudo_inputs=4, **settings),
    }


def special_encoders(**settings):
    """Return the main encoder with another solver and prior, and another generator."""
    settings = SMALL | settings
    images = {"generator": "convolutional", "image_shape": np.array([8, 8])}
    return {
        "paper": SparseGeneratorEncoder(**PAPER_SETTINGS | settings, step_size=0.02),
        "convolutional": SparseGeneratorEncoder(**settings, **images),
    }


ENCODERS = small_encoders()
each_encoder = pytest.mark.parametrize("name", ENCODERS)


def assert_same_results(encoder, other, X):
    """Assert that two fitted encoders have the same history and give the same bits."""
    codes = encoder.transform(X)
    assert_array_equal(other.transform(X), codes)
    assert_array_equal(other.inverse_transform(codes), encoder.inverse_transform(codes))
    if hasattr(encoder, "sample"):
        assert_array_equal(other.sample(3), encoder.sample(3))
    if hasattr(encoder, "score_samples"):
        # The score takes longer than the rest, and some rows are enough.
        some = X[:20]
        assert_array_equal(other.score_samples(some), encoder.score_samples(some))
    assert other.loss_curve_ == encoder.loss_curve_


class Batches:
    """An iterable of batches that begins anew each time, and knows no length."""

    def __init__(self, *parts):
        self.parts = parts

    def __iter__(self):
        return iter(self.parts)


# What some tests look at --------------------------------------------------------------


def linear_map(generator):
    """Return the weight and the bias of a generator of one layer, in units of data."""
    if isinstance(generator, SkipGenerator):
        bias = generator.output[0](generator.skip.bias)
    else:
        bias = generator[1](generator[0].bias)
    return atoms_of(generator).T.detach().numpy(), bias.detach().numpy()


def rounds_rows_alike(generator):
    """Return whether products of few and of many rows round a row in the same way."""
    n_least = row_multiple(generator)
    weights = [p.detach() for p in generator.parameters() if p.ndim == 2]
    # The linear start multiplies by a matrix of this shape.
    weights.append(torch.ones(len(weights[-1]), weights[0].shape[1]).to(weights[0]))
    for weight in weights + [weight.T for weight in weights]:
        rows = torch.arange(320 * weight.shape[1]).to(weight).sin().view(320, -1)
        whole = linear(rows, weight, None)
        for n in (n_least, 2 * n_least, 288):
            if not torch.equal(linear(rows[:n], weight, None), whole[:n]):
                return False
        # With odd widths `linear` must see to this, and a test fails if it does not.
        if not any(width % 2 for width in weight.shape):
            flipped = linear(rows.flip(0), weight, None)
            if not torch.equal(flipped, whole.flip(0)):
                return False
    return True


@pytest.fixture
def check_rows_are_alone(monkeypatch):
    """Return a function that checks that a code has the same bits in every batch."""

    def check(encoder, X):
        if not rounds_rows_alike(encoder.generator_):
            pytest.skip("on this machine the rounding of a row depends on other rows")
        codes = encoder.transform(X)
        order = np.random.default_rng(0).permutation(len(X))
        assert_array_equal(encoder.transform(X[order]), codes[order])
        # One row at a time takes long, and a few rows are enough for it.
        for n, last in (1, 8), (7, len(X)), (len(X) - 1, len(X)):
            parts = [encoder.transform(X[i : i + n]) for i in range(0, last, n)]
            assert_array_equal(np.concatenate(parts), codes[:last])
        n_least = row_multiple(encoder.generator_)
        for n in (n_least, 2 * n_least):
            monkeypatch.setattr("sklearn_sparsegen._inference.model._CPU_ROWS", n)
            assert_array_equal(encoder.set_params(batch_size=n).transform(X), codes)

    return check
