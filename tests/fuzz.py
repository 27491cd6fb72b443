"""Random data and random parameters, valid and invalid, through all encoders.

    python tests/fuzz.py 10000

tries as many examples. Each call must end with a finite result, or with an error that
names the parameter that is to blame, and may warn as the documentation says. Hypothesis
reduces what fails to a small example. `--seed` chooses other examples.
"""

import argparse
import pickle
import re
import time
import traceback
import warnings
from collections import Counter
from typing import get_args

import numpy as np
import pandas as pd
import polars as pl
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder, baselines
from sklearn_sparsegen._utils.types import LearningRate, SolverName, StartName

CLASSES = [
    SparseGeneratorEncoder,
    *(getattr(baselines, name) for name in baselines.__all__),
]
# They keep an example small, where nothing else is drawn.
SMALL = {"n_components": 3, "hidden_layer_sizes": (4,), "max_iter": 2}


def factory(k, d):
    return torch.nn.Sequential(torch.nn.Linear(k, d), torch.nn.Tanh())


def wrong_factory(k, d):
    return torch.nn.Linear(k, d + 1)


# Valid values, and values that must be rejected.
NO_NUMBERS = [None, "a", np.nan, -1, [1], True, 1.5j]
FRACTIONS = [0.0, 0.05, 0.5, 1, np.float32(0.25)], [-0.1, 1.1, *NO_NUMBERS]
OUT_OF_RANGE = [1e12, 1e-12, 1e300, np.inf]
POSITIVE = [1e-3, 0.1, 1, np.float64(3.0)], [0, *OUT_OF_RANGE, *NO_NUMBERS]
NON_NEGATIVE = [0, *POSITIVE[0]], [1e12, 1e300, np.inf, *NO_NUMBERS]
COUNTS = [1, 2, np.int64(3), np.uint8(5), 40], [0, 1.5, 2**70, *NO_NUMBERS]
FLAGS = [True, False, np.True_], [0, "yes", None]


def also(values, *more):
    """Return the values with more valid ones."""
    none = None in more
    return [*values[0], *more], [v for v in values[1] if not (none and v is None)]


VALUES = {
    "n_components": (COUNTS[0], [*COUNTS[1], 10**13]),
    "sigma": ([*POSITIVE[0], "auto"], [0, 1e300, np.inf, *NO_NUMBERS]),
    "hidden_layer_sizes": (
        [(), (5,), [3, 4], np.array([6]), 7],
        [(0,), (-1,), (1.5,), "a", None, ((1, 2), (3,)), (10**13,), (True, 3)],
    ),
    "activation": (["identity", "relu", "sigmoid", "tanh"], ["swish", None]),
    "output_activation": (["auto", "identity", "sigmoid"], ["relu", None]),
    "generator": (
        [None, factory, torch.nn.Linear, torch.nn.Linear(3, 4)],
        ["convolutional", wrong_factory, "a", 3, torch.nn.ReLU(), lambda k, d: None],
    ),
    "image_shape": ([None, (4, 1), (4, 4)], [(4, 4, 1), (2, 2), (0, 4), "a", 4]),
    "max_iter": ([1, 3, np.int8(2)], [0, *NO_NUMBERS]),
    "learning_rate_init": ([*POSITIVE[0], 100.0, 1e12], [0, np.inf, *NO_NUMBERS]),
    "learning_rate": (get_args(LearningRate), ["adaptive", None]),
    "batch_size": also(COUNTS, "auto", 10**9),
    "shuffle": FLAGS,
    "tol": also(NON_NEGATIVE, None),
    "n_iter_no_change": COUNTS,
    "early_stopping": FLAGS,
    "validation_fraction": ([0.1, 0.5, np.float32(0.9)], [0, 1, *NO_NUMBERS]),
    "warm_start": FLAGS,
    "device": (["cpu", "auto", torch.device("cpu")], ["cuda:9", "mps", "a", None, 3]),
    "random_state": (
        [0, np.int32(4), np.random.RandomState(0), None],
        [-1, "a", 0.5],
    ),
    "verbose": ([False, 0], ["a", None, -1]),
    "alpha": FRACTIONS,
    "alpha_init": FRACTIONS,
    "decay": NON_NEGATIVE,
    "spike_scale": ([0, *POSITIVE[0]], [*OUT_OF_RANGE, *NO_NUMBERS]),
    "slab_scale": POSITIVE,
    "positive_code": FLAGS,
    "solver": (get_args(SolverName), ["newton", None]),
    # 0 is valid with some starts.
    "n_steps": (COUNTS[0], COUNTS[1][1:]),
    "transform_n_steps": ([*COUNTS[0], None], COUNTS[1][1:]),
    "transform_tol": also(NON_NEGATIVE, None),
    "step_size": also(POSITIVE, 0.01, 0.02),
    "init": (get_args(StartName), ["ones", None]),
    "skip_connection": FLAGS,
    "threshold": also(([*NON_NEGATIVE[0], "posterior"], NON_NEGATIVE[1]), None),
    "n_nonzero_coefs": also(COUNTS, None),
    "sparse_output": FLAGS,
    "beta": NON_NEGATIVE,
    "warmup": ([0, *COUNTS[0]], [v for v in COUNTS[1] if v != 0]),
    "n_pseudo_inputs": also(COUNTS, None),
    "rate": POSITIVE,
    "variance_weight": NON_NEGATIVE,
    "min_scale": NON_NEGATIVE,
}
CONTAINERS = {
    "array": lambda X: X,
    "columns first": np.asfortranarray,
    "reversed": lambda X: X[::-1, ::-1],
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "list": lambda X: X.tolist(),
    "masked": lambda X: np.ma.masked_array(X, X.flat[0] == X if X.size else False),
    "pandas": lambda X: pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])]),
    "polars": lambda X: pl.DataFrame(X, schema=[f"f{i}" for i in range(X.shape[1])]),
    "torch": torch.tensor,
    "CSR": lambda X: sparse.csr_array(X.astype(float)),
    "series": lambda X: pd.Series(X.ravel()),
    "one row": lambda X: X[0] if len(X) else X,
    "images": lambda X: X[:, :, None],
    "text": lambda X: X.astype(str),
    "objects": lambda X: X.astype(object),
    "complex": lambda X: X * 1j,
    "none": lambda X: None,
}
TYPES = ["float32", "float64", "float16", "int8", "int64", "uint16", "bool"]
USUAL = [*["array"] * 40, *CONTAINERS]


@st.composite
def data_sets(draw, n_features=None):
    """Draw data: mostly an array of ordinary numbers, and anything else at times."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    d = n_features or draw(st.sampled_from([4, 4, 4, 1, 2, 16]))
    n = draw(st.sampled_from([12, 12, 12, 30, 1, 2, 0]))
    X = rng.normal(size=(n, d)) if draw(st.booleans()) else rng.uniform(size=(n, d))
    unusual = draw(st.sampled_from([None] * 6 + ["scale", "nan", "inf", "constant"]))
    if unusual == "scale":
        scales = [1e-300, 1e-25, 1e-8, 1e-3, 1e3, 1e8, 1e18, 1e25, 1e150, 1e308]
        with np.errstate(over="ignore"):
            X = X * draw(st.sampled_from(scales))
        X += draw(st.sampled_from([0, 1, 1e6, -1e30]))
    elif unusual == "constant":
        X[:, : draw(st.integers(1, d))] = draw(st.sampled_from([0, 1, 0.1, 1e30]))
    elif unusual is not None and X.size:
        value = np.nan if unusual == "nan" else draw(st.sampled_from([1, -1])) * np.inf
        X[rng.uniform(size=X.shape) < draw(st.sampled_from([0.01, 0.3, 1.0]))] = value
    kind = draw(st.sampled_from(["float32", "float64", *TYPES]))
    container = draw(st.sampled_from(USUAL))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return CONTAINERS[container](X.astype(kind))


@st.composite
def parameter_sets(draw, cls):
    """Draw values of a few parameters, most of which are valid."""
    names = [name for name in cls().get_params() if name in VALUES]
    assert len(names) == len(cls().get_params())
    chosen = draw(st.lists(st.sampled_from(names), max_size=4, unique=True))
    is_valid = st.sampled_from([True] * 9 + [False])
    invalid = [name for name in chosen if not draw(is_valid)]
    values = {
        name: draw(st.sampled_from(VALUES[name][name in invalid])) for name in chosen
    }
    return values, invalid


CALLS = [
    *("fit", "fit", "partial_fit", "transform", "score_samples", "inverse_transform"),
    *("sample", "slab_proba", "set_params", "pickle", "fit_transform"),
]


@st.composite
def scenarios(draw):
    """Draw an encoder and some calls of its methods, with their arguments."""
    cls = draw(st.sampled_from(CLASSES[:1] * 3 + CLASSES))
    start = dict(SMALL)
    if cls is SparseGeneratorEncoder and draw(st.booleans()):
        start = PAPER_SETTINGS | start
    (parameters, invalid), X = draw(parameter_sets(cls)), draw(data_sets())
    calls = [("fit", X), ("transform", X)]
    for name in draw(st.lists(st.sampled_from(CALLS), max_size=4)):
        argument = X
        if name == "set_params":
            argument, _ = draw(parameter_sets(cls))
        elif name == "sample":
            argument = draw(st.sampled_from([1, 3, 0, -1, 2.5, None]))
        elif name in ("inverse_transform", "slab_proba"):
            argument = draw(data_sets(n_features=draw(st.sampled_from([3, 3, 4]))))
        elif draw(st.integers(0, 3)) == 0:
            argument = draw(data_sets(n_features=draw(st.sampled_from([None, 4]))))
        calls.append((name, argument))
    return cls, start | parameters, calls, invalid


class Finding(AssertionError):
    """An outcome that no user should meet."""


# What an error of the data may name instead of X: these are scikit-learn's texts.
_DATA = r"\bX\b|[Ff]eature|[Ss]ample|Expected 2D|dim 3|[Cc]omplex|convert|sparse|dtype"


def is_clear(error, names):
    """Return whether an error names one of some parameters, or the data."""
    names = "|".join(map(re.escape, names))
    return bool(re.search(rf"\b({names}|n_samples)\b|{_DATA}", str(error)))


def run(cls, parameters, calls, invalid=()):
    """Make the calls; raise a `Finding` for a bad outcome, return their kinds.

    The first call, of `fit`, must reject the `invalid` parameters, if there are any,
    and name one that is given.
    """
    encoder, outcomes = cls(**parameters), []
    # The shape of an image matters to the convolutional generator alone.
    invalid = [name for name in invalid if name != "image_shape"]
    for name, argument in calls:
        text = f"{cls.__name__}({parameters}) {name}"
        if name not in ("set_params", "pickle") and not hasattr(encoder, name):
            continue
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                if name == "pickle":
                    encoder, result = pickle.loads(pickle.dumps(encoder)), None
                elif name == "set_params":
                    encoder, result = encoder.set_params(**argument), None
                else:
                    result = getattr(encoder, name)(argument)
        except (ValueError, TypeError) as error:
            # A given value may be at odds with another one, or with a default.
            names = [*parameters, "image_shape"] if invalid else VALUES
            invalid = []
            if not (isinstance(error, NotFittedError) or is_clear(error, names)):
                raise Finding(f"{text}: no name in {error!r}") from error
            outcomes.append(type(error).__name__)
            continue
        except MemoryError:
            invalid = []
            outcomes.append("MemoryError")
            continue
        except (AttributeError, pickle.PicklingError) as error:
            if name != "pickle" or "lambda" not in str(error):
                raise Finding(f"{text}: {error!r}") from error
            continue
        except Exception as error:
            raise Finding(f"{text}: {traceback.format_exc(limit=-3)}") from error
        if invalid:
            raise Finding(f"{text}: accepted invalid {invalid}")
        for warning in caught:
            if warning.category not in (ConvergenceWarning, UserWarning):
                raise Finding(f"{text}: {warning.category.__name__} {warning.message}")
        values = result.data if sparse.issparse(result) else result
        if isinstance(values, np.ndarray) and not np.isfinite(values).all():
            raise Finding(f"{text}: a result that is not finite")
        if not np.isfinite(getattr(encoder, "loss_curve_", 0.0)).all():
            raise Finding(f"{text}: a loss that is not finite")
        outcomes.append("warning" if caught else "result")
    return outcomes


def fuzz(n_examples, seed=0):
    """Try examples; return how many calls had which outcome, or raise a `Finding`."""
    outcomes = Counter()

    @with_seed(seed)
    @settings(
        max_examples=n_examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(scenarios())
    def examples(scenario):
        outcomes["examples"] += 1
        outcomes.update(run(*scenario))

    examples()
    return outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n_examples", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    outcomes = fuzz(arguments.n_examples, arguments.seed)
    print(f"seed {arguments.seed}, {time.perf_counter() - start:.0f} s")
    for name, number in outcomes.most_common():
        print(f"{number:8,} {name}")


if __name__ == "__main__":
    main()
