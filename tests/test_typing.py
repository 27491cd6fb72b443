"""The type hints: what a type checker accepts, what it infers and what it reports.

mypy checks this file as if it were the code of a user, and pytest runs it. mypy reports
a comment `type: ignore` that is not needed, so that each one tests that a wrong use is
reported.
"""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import assert_type, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_sparsegen import (
    PAPER_SETTINGS,
    SparseGeneratorEncoder,
    baselines,
    callbacks,
    datasets,
    metrics,
    plotting,
)
from sklearn_sparsegen._inference.memories import Chains, CodeMoments, Memory
from sklearn_sparsegen._inference.model import CodeModel, Model
from sklearn_sparsegen._inference.proximal import ProximalQuasiNewton
from sklearn_sparsegen._inference.solvers import GradientSteps, Solver
from sklearn_sparsegen._inference.starts import (
    AffineMap,
    Learned,
    Linear,
    PriorDraw,
    StandardNormal,
    Start,
    Zeros,
)
from sklearn_sparsegen._model.energy import DataTerm
from sklearn_sparsegen._model.generators import ACTIVATIONS, Rescale
from sklearn_sparsegen._model.likelihoods import NormalLikelihood
from sklearn_sparsegen._model.priors import Exponential, PointSpikeSlab, SpikeSlab
from sklearn_sparsegen._model.protocols import DataTerm as DataTermProtocol
from sklearn_sparsegen._model.protocols import (
    Likelihood,
    Prior,
    ScoredPrior,
    SmoothPrior,
)
from sklearn_sparsegen._training.schedules import (
    AlphaSchedule,
    ConstantSchedule,
    Schedule,
    WithPretraining,
)
from sklearn_sparsegen._utils.types import Activation, ImageSet, ScorerName
from sklearn_sparsegen.baselines._topk import TopKModel
from sklearn_sparsegen.baselines._variance_sparse import VarianceHinge
from sklearn_sparsegen.baselines._variational import VariationalModel
from sklearn_sparsegen.baselines._vsc import WarmUp
from sklearn_sparsegen.datasets import _images
from sklearn_sparsegen.metrics import _scorer

ROOT = Path(__file__).parents[1]


def test_mypy_finds_no_error():
    command = [sys.executable, "-m", "mypy"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_parts_have_what_their_protocols_say() -> None:
    """mypy compares names and arguments; an own part can be held to it in this way."""
    priors: list[Prior] = [SpikeSlab(0.1), PointSpikeSlab(0.1), Exponential(1.0)]
    smooth: SmoothPrior = SpikeSlab(0.1)
    scored: list[ScoredPrior] = [SpikeSlab(0.1), PointSpikeSlab(0.1)]
    likelihood: Likelihood = NormalLikelihood(1.0)
    solvers: list[Solver] = [GradientSteps(1, 0.1), ProximalQuasiNewton(1, None, ())]
    moments, chains = CodeMoments(), Chains(2, torch.zeros(1))
    memories: list[Memory] = [moments, chains]
    starts: list[Start] = [Zeros(2), StandardNormal(), PriorDraw(), chains]
    learned = Learned(AffineMap(2, Rescale(torch.zeros(3), 1.0)), 1.0, 1)
    starts += [Linear(moments, 1.0, 2), learned]
    schedules: list[Schedule] = [ConstantSchedule(), WarmUp(3)]
    schedules.append(AlphaSchedule(1.0, 0.1, 0.1))
    schedules.append(WithPretraining(3, 4, schedules[0]))
    term = DataTerm(torch.zeros(1, 4), torch.nn.Linear(2, 4), likelihood)
    terms: list[DataTermProtocol] = [term, VarianceHinge(term, 1.0, 1.0)]
    models: list[type[CodeModel]] = [Model, TopKModel, VariationalModel]
    assert all([priors, smooth, scored, solvers, memories, starts, schedules])
    assert all([terms, models])


def small_encoder() -> SparseGeneratorEncoder:
    return SparseGeneratorEncoder(
        3,
        alpha=0.5,
        decay=0.5,
        sigma=1.0,
        hidden_layer_sizes=[4],
        solver="proximal",
        threshold="posterior",
        max_iter=1,
        tol=None,
        device=torch.device("cpu"),
        random_state=0,
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_types_of_results(rng: np.random.Generator) -> None:
    X = rng.normal(size=(20, 6))
    encoder = small_encoder()
    fitted = encoder.fit(X, sample_weight=np.ones(20))
    assert_type(fitted, SparseGeneratorEncoder)
    assert fitted is encoder
    codes = encoder.partial_fit(X).transform(X)
    restored: NDArray[np.float64] = encoder.inverse_transform(codes)
    score = encoder.score(torch.from_numpy(X))
    assert_type(score, float)
    assert isinstance(score, float)
    counts = metrics.active_codes(codes)
    assert_type(counts, NDArray[np.intp])
    assert counts.dtype == np.intp
    errors = metrics.reconstruction_error(X, restored)
    assert_type(errors, NDArray[np.float64])
    assert errors.dtype == np.float64
    error = metrics.reconstruction_error(X, restored, pooled=True)
    assert_type(error, float)
    assert isinstance(error, float)


def test_parameters_have_types() -> None:
    assert_type(SparseGeneratorEncoder().alpha, float)
    assert_type(SparseGeneratorEncoder().n_components, int)
    assert_type(baselines.TopKEncoder().n_nonzero_coefs, int | None)
    paper = SparseGeneratorEncoder(**PAPER_SETTINGS)
    assert paper.solver == "gradient"
    for encoder in SparseGeneratorEncoder, baselines.VSCEncoder:
        assert encoder(generator=lambda k, d: torch.nn.Linear(k, d)).alpha > 0


def test_wrong_uses_are_reported() -> None:
    X = np.eye(4)
    with pytest.raises(InvalidParameterError, match="'solver'"):
        SparseGeneratorEncoder(solver="newton").fit(X)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match="'n_components'"):
        SparseGeneratorEncoder(n_components="many").fit(X)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match="'beta'"):
        baselines.VAEEncoder(beta=None).fit(X)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match="'sigma'"):
        baselines.VAEEncoder(sigma="small").fit(X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threshold"):
        metrics.active_codes(X, threshold="0.2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name must be one of"):
        datasets.load_images("cifar")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name must be one of"):
        metrics.make_encoder_scorer("accuracy")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="folder"):
        callbacks.Checkpoint(7)  # type: ignore[arg-type]


def public_functions():
    for module in datasets, metrics, plotting, callbacks, baselines:
        names = getattr(module, "__all__", ["Checkpoint"])
        for owner in [getattr(module, name) for name in names]:
            members = [owner, *vars(owner).values()]
            yield from (getattr(member, "__func__", member) for member in members)
    for owner in SparseGeneratorEncoder.__mro__:
        if owner.__module__.startswith("sklearn_sparsegen"):
            yield from vars(owner).values()


def test_public_functions_have_type_hints():
    functions = {
        function
        for function in public_functions()
        if inspect.isfunction(function) and not function.__name__.startswith("_")
    }
    # The search finds functions, methods and class methods.
    assert functions >= {metrics.active_codes, SparseGeneratorEncoder.transform}
    assert plotting.TrainingDisplay.from_estimator.__func__ in functions
    for function in functions:
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty, function
        for name, parameter in signature.parameters.items():
            is_typed = parameter.annotation is not parameter.empty
            assert is_typed or name in ("self", "cls"), function


def test_texts_that_are_typed_are_those_that_are_accepted():
    assert set(get_args(Activation)) == ACTIVATIONS.keys()
    assert set(get_args(ImageSet)) == _images._IMAGE_SHAPES.keys()
    assert set(get_args(ScorerName)) == _scorer._FUNCTIONS.keys()


def test_package_says_that_it_is_typed():
    assert Path(inspect.getfile(datasets)).parents[1].joinpath("py.typed").exists()
