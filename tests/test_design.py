"""The design, held: imports run one way, docstrings are whole, imports do no work."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpydoc.validate import validate

import sklearn_sparsegen
from sklearn_sparsegen import (
    SparseGeneratorEncoder,
    baselines,
    datasets,
    metrics,
    plotting,
)

PACKAGE = Path(sklearn_sparsegen.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
ENCODERS = [
    SparseGeneratorEncoder,
    *(getattr(baselines, name) for name in baselines.__all__),
]


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


# what each module may import of the package
IMPORTS = {
    "_torch": set(),
    "_priors": {"_torch"},
    "_generators": {"_torch"},
    "_data_term": set(),
    "_inference": {"_priors", "_data_term"},
    "_linear_generator": {"_data_term"},
    "_fit": {"_torch", "_generators"},
    "_base": {"_torch", "_generators", "_fit"},
    "_posterior": {"_torch", "_priors", "_data_term", "_inference", "_fit", "_base"},
    "_docs": set(),
    "_encoder": {"_priors", "_fit", "_linear_generator", "_posterior", "_docs"},
    "__init__": {"_encoder"},
    "baselines.__init__": {"_langevin", "_variance_sparse", "_variational", "_vsc"},
    "baselines._langevin": {"_torch", "_priors", "_fit", "_posterior", "_docs"},
    "baselines._variational": {
        "_torch",
        "_priors",
        "_generators",
        "_data_term",
        "_fit",
        "_base",
        "_docs",
    },
    "baselines._vsc": {"_torch", "_priors", "_docs", "_variational"},
    "baselines._variance_sparse": {"_priors", "_fit", "_posterior", "_docs"},
    "datasets": set(),
    "metrics": set(),
    "plotting": set(),
}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_run_one_way(path):
    nodes = [
        n
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.ImportFrom)
    ]
    imported = {
        name
        for node in nodes
        if node.level
        for name in ([node.module] if node.module else [a.name for a in node.names])
    }
    assert imported <= IMPORTS[module_name(path)]
    # tensors below _base, arrays above: conversions are in _torch alone
    if path.stem in {
        "_priors",
        "_generators",
        "_data_term",
        "_inference",
        "_linear_generator",
    }:
        assert "numpy" not in path.read_text()


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_files_stay_readable(path):
    assert len(path.read_text().splitlines()) <= 500


def public_objects():
    for module in (sklearn_sparsegen, baselines, datasets, metrics, plotting):
        for name, value in vars(module).items():
            if name.startswith("_") or not getattr(value, "__module__", "").startswith(
                "sklearn_sparsegen"
            ):
                continue
            yield f"{module.__name__}.{name}"
            if inspect.isclass(value):
                for method, function in inspect.getmembers(value, callable):
                    owner = getattr(function, "__module__", "") or ""
                    if not method.startswith("_") and owner.startswith(
                        "sklearn_sparsegen"
                    ):
                        yield f"{module.__name__}.{name}.{method}"


@pytest.mark.parametrize("name", sorted(public_objects()))
def test_docstrings_follow_numpydoc(name):
    # no extended summary, example or "see also" is asked of every method, and
    # what is returned has a name, as in scikit-learn
    waived = {"ES01", "EX01", "RT02", "SA01"}
    assert not [e for e in validate(name)["errors"] if e[0] not in waived]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda e: e.__name__)
def test_every_parameter_and_attribute_is_documented(encoder):
    fitted = encoder(2, max_iter=1, tol=None).fit(np.zeros((2, 2)))
    names = list(fitted.get_params())
    names += [n for n in vars(fitted) if n.endswith("_") and not n.startswith("_")]
    for name in names:
        assert f"\n{name} : " in encoder.__doc__


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda e: e.__name__)
def test_defaults_in_the_docstring_are_the_defaults(encoder):
    doc = encoder.__doc__
    for name, value in encoder().get_params().items():
        line = next(row for row in doc.splitlines() if row.startswith(f"{name} : "))
        shown = line.rsplit("default=", 1)[1].strip('"')
        assert shown == str(value)


def test_importing_does_no_work():
    """No optional dependency is needed, and no thread or seed is set."""
    code = (
        "import sys, torch; threads = torch.get_num_threads();"
        "state = torch.random.get_rng_state();"
        "from sklearn_sparsegen import SparseGeneratorEncoder, plotting, metrics;"
        "assert 'matplotlib' not in sys.modules;"
        "assert torch.get_num_threads() == threads;"
        "assert torch.equal(state, torch.random.get_rng_state())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
