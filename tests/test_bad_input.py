"""Each bad input raises the error that scikit-learn raises, and names the parameter."""

import functools
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import short_fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import sklearn_sparsegen
from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder, baselines
from sklearn_sparsegen._inference.model import Model
from sklearn_sparsegen._inference.solvers import GradientSteps
from sklearn_sparsegen._inference.starts import Zeros
from sklearn_sparsegen._model.likelihoods import NormalLikelihood
from sklearn_sparsegen._model.priors import PointSpikeSlab

pytestmark = short_fits

PACKAGE = Path(sklearn_sparsegen.__file__).parent
Encoder = functools.partial(
    SparseGeneratorEncoder,
    **PAPER_SETTINGS
    | {
        "n_components": 3,
        "hidden_layer_sizes": (5,),
        "alpha": 0.5,
        "decay": 0.5,
        "max_iter": 2,
        "tol": None,
        "random_state": 0,
    },
)
X = np.random.default_rng(0).uniform(size=(20, 6))


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (np.where(X > 0.9, np.inf, X), ValueError, "X contains infinity"),
        (X[0], ValueError, "Expected 2D array, got 1D"),
        (X[None], ValueError, "dim 3"),
        (X[:0], ValueError, "0 sample"),
        (X[:, :0], ValueError, "0 feature"),
        (X.astype(str), ValueError, "dtype='numeric'"),
        (X.astype(complex), ValueError, "Complex data"),
        ([["a", "b"]], ValueError, "dtype='numeric'"),
        (np.full((2, 6), "2020-01-01", dtype="M8[s]"), TypeError, "numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "score"])
def test_bad_data(bad, error, match, method):
    encoder = Encoder() if "fit" in method else Encoder().fit(X)
    with pytest.raises(error, match=match):
        getattr(encoder, method)(bad)


@pytest.mark.parametrize(
    "method", ["partial_fit", "transform", "score", "score_samples"]
)
def test_wrong_width(method):
    with pytest.raises(ValueError, match=r"X has 5 features, .* expecting 6"):
        getattr(Encoder().fit(X), method)(X[:, 1:])


@pytest.mark.parametrize("method", ["inverse_transform", "slab_proba"])
@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (np.zeros((2, 4)), "X holds codes of 4 components, .* n_components=3"),
        (np.zeros(3), "Expected 2D array"),
        (np.full((2, 3), np.nan), "X contains NaN"),
    ],
)
def test_bad_codes(method, bad, match):
    with pytest.raises(ValueError, match=match):
        getattr(Encoder().fit(X), method)(bad)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n_components", 0),
        ("n_components", 2.5),
        ("alpha", -0.1),
        ("alpha", 1.1),
        ("alpha", float("nan")),
        ("alpha_init", 1.5),
        ("alpha_init", 0.2),  # below alpha
        ("decay", -1),
        ("sigma", 0),
        ("sigma", "small"),
        ("spike_scale", -0.1),
        ("spike_scale", 0),  # the default solver needs a gradient
        ("spike_scale", 1.0),  # as wide as the slab
        ("slab_scale", 0.05),
        ("hidden_layer_sizes", (0,)),
        ("hidden_layer_sizes", (2.5,)),
        ("hidden_layer_sizes", ("a",)),
        ("activation", "swish"),
        ("output_activation", "relu"),
        ("generator", "mlp"),
        ("image_shape", 8),
        ("generator", lambda k, d: torch.nn.Linear(k, d + 1)),
        ("generator", torch.nn.Linear(2, 6)),
        ("solver", "newton"),
        ("n_steps", 0),
        ("step_size", 0.0),
        ("init", "ones"),
        ("max_iter", 0),
        ("learning_rate_init", 0),
        ("batch_size", 0),
        ("shuffle", "yes"),
        ("tol", -1.0),
        ("warm_start", None),
        ("threshold", "slab"),
        ("threshold", -0.1),
        ("n_nonzero_coefs", 0),
        ("n_nonzero_coefs", 2.5),
        ("sparse_output", "csr"),
        ("device", "no such device"),
        ("device", "meta"),
        ("device", "cuda:99"),
        ("device", 1.5),
        ("random_state", "seed"),
        ("verbose", "loud"),
    ],
)
def test_bad_parameters_are_named(parameter, value):
    for method in ("fit", "partial_fit"):
        # An InvalidParameterError of scikit-learn is a ValueError too.
        with pytest.raises(ValueError, match=rf"\b{parameter}\b"):
            getattr(Encoder(**{parameter: value}), method)(X)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_factory_of_no_module(method):
    encoder = Encoder(generator=lambda n_components, n_features: None)
    with pytest.raises(TypeError, match=r"generator must be .* it returned NoneType"):
        getattr(encoder, method)(X)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("solver", ["gradient", "langevin"])
def test_point_mass_needs_the_proximal_solver(solver, method):
    encoder = Encoder(spike_scale=0, solver=solver)
    before = dict(vars(encoder))
    with pytest.raises(ValueError, match=r"spike_scale=0 .* solver='proximal'"):
        getattr(encoder, method)(X)
    assert vars(encoder) == before


def test_model_rejects_a_solver_that_does_not_suit_the_prior():
    with pytest.raises(ValueError, match=r"spike_scale=0 .* solver='proximal'"):
        Model(
            generator=torch.nn.Linear(3, 6),
            prior=PointSpikeSlab(alpha=0.1),
            likelihood=NormalLikelihood(0.3),
            solver=GradientSteps(n_steps=1, step_size=0.1),
            start=Zeros(3),
            n_components=3,
            seed=(0,),
        )


@pytest.mark.parametrize(
    "data",
    [X[:1], X[:, :1], np.zeros_like(X), np.ones_like(X), X[:1, :1], X.tolist()],
    ids=["one sample", "one feature", "zeros", "ones", "one number", "lists"],
)
@pytest.mark.parametrize("init", ["zeros", "linear"])
def test_small_and_constant_data_work(init, data):
    encoder = Encoder(batch_size=1000, init=init).fit(data)
    codes = encoder.transform(data)
    assert codes.shape == (len(data), 3)
    assert np.isfinite(codes).all()
    assert np.isfinite(encoder.score(data))


# Values of any size: what is too large for the arithmetic must say so.
arrays = st.one_of(
    hnp.arrays(
        dtype=st.one_of(
            hnp.floating_dtypes(sizes=(16, 32, 64)),
            hnp.integer_dtypes(),
            hnp.unsigned_integer_dtypes(),
            hnp.boolean_dtypes(),
        ),
        shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
    ),
    hnp.arrays(
        dtype=np.float64,
        shape=hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(-3, 3),
    ),
    hnp.arrays(
        dtype=st.one_of(
            hnp.unicode_string_dtypes(),
            hnp.complex_number_dtypes(),
            hnp.datetime64_dtypes(),
            hnp.timedelta64_dtypes(),
            st.just(np.dtype(object)),
        ),
        shape=hnp.array_shapes(min_dims=1, max_dims=2, max_side=3),
    ),
)


SMALL = {
    "n_components": 3,
    "hidden_layer_sizes": (5,),
    "max_iter": 2,
    "tol": None,
    "random_state": 0,
}


@pytest.mark.parametrize(
    "encoder",
    [
        Encoder(),
        Encoder(solver="proximal", init="linear"),
        *(getattr(baselines, name)(**SMALL) for name in baselines.__all__),
    ],
    ids=lambda e: type(e).__name__,
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(X=arrays)
def test_any_array_gives_an_error_or_finite_codes(encoder, X):
    with warnings.catch_warnings():
        # Inference on such data may end at a higher energy, and warns of it.
        warnings.simplefilter("ignore", category=UserWarning)
        try:
            codes = clone(encoder).fit(X).transform(X)
        except (ValueError, TypeError) as error:
            # Either the validation of X raises it, or the message tells what to do.
            frames = traceback.extract_tb(error.__traceback__)
            last = [f.name for f in frames if PACKAGE in Path(f.filename).parents][-1]
            told = "rescale X" in str(error) or "sigma='auto'" in str(error)
            if last not in ("check", "_validated_array") and not told:
                raise
            return
    assert codes.shape == (len(X), 3)
    assert codes.dtype in (np.float32, np.float64)
    assert np.isfinite(codes).all()


@pytest.mark.parametrize("name", ["SparseGeneratorEncoder", *baselines.__all__])
def test_rows_outside_the_range_of_the_model(name, rng):
    """The model is of float32, and these rows of float64 are infinite there."""
    cls = getattr(baselines, name, SparseGeneratorEncoder)
    X = rng.uniform(size=(40, 6)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=ConvergenceWarning)
        encoder = cls(**SMALL).fit(X)
    far = np.float64(X)
    far[[3, 17]] *= 1e200
    with pytest.raises(ValueError, match=r"rows 3, 17 of X.* rescale X"):
        encoder.transform(far)
    if hasattr(encoder, "score_samples"):
        with pytest.raises(ValueError, match=r"rows 3, 17 of X.* rescale X"):
            encoder.score_samples(far)


def test_codes_of_which_nothing_finite_is_generated(rng):
    encoder = Encoder(output_activation="identity").fit(rng.uniform(size=(40, 6)))
    codes = np.zeros((9, 3))
    codes[4] = 1e308
    with pytest.raises(ValueError, match="result for rows 4 is not finite"):
        encoder.inverse_transform(codes)


@pytest.mark.parametrize(
    ("image_shape", "match"),
    [
        (None, "image_shape"),
        ((2, 2), "image_shape=.* has 4 values, but a row of data has 6"),
        ((2, 3), "image_shape=.* multiples of 4"),
        ((6,), "image_shape"),
        ((1, 2, 3, 1), "image_shape"),
        ((2.0, 3), "image_shape"),
        ((-2, -3), "image_shape"),
    ],
)
def test_bad_image_shape(image_shape, match):
    encoder = Encoder(generator="convolutional", image_shape=image_shape)
    with pytest.raises(ValueError, match=match):
        encoder.fit(X)


@pytest.mark.parametrize(
    ("n_samples", "error"),
    [(0, ValueError), (-1, ValueError), (2.5, TypeError), ("a", TypeError)],
)
def test_bad_n_samples(n_samples, error):
    with pytest.raises(error, match="n_samples"):
        Encoder().fit(X).sample(n_samples)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_masked_values_are_missing_values(dtype):
    values = (10 * X).astype(dtype)
    mask = np.random.default_rng(0).uniform(size=X.shape) < 0.3
    masked = np.ma.masked_array(values, mask)
    holes = np.where(mask, np.nan, values).astype(dtype if dtype != np.int64 else "f4")
    encoder = Encoder(sigma=1.0, step_size=0.01, solver="proximal")
    codes = encoder.fit(masked).transform(masked)
    np.testing.assert_array_equal(codes, encoder.fit(holes).transform(holes))
    assert codes.dtype == holes.dtype
    with pytest.raises(ValueError, match="NaN"):
        baselines.VAEEncoder(3).fit(masked)
