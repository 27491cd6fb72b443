"""The design: one-way imports, small files, few classes, complete docstrings."""

import ast
import graphlib
import importlib
import inspect
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import short_fits
from numpydoc.validate import validate
from sklearn.base import BaseEstimator, clone

import sklearn_sparsegen
from sklearn_sparsegen import (
    SparseGeneratorEncoder,
    baselines,
    callbacks,
    datasets,
    metrics,
    plotting,
)
from sklearn_sparsegen._proximal import ProximalQuasiNewton
from sklearn_sparsegen._solvers import GradientSteps

pytestmark = short_fits

PACKAGE = Path(sklearn_sparsegen.__file__).parent
ENCODERS = [
    SparseGeneratorEncoder,
    *(getattr(baselines, name) for name in baselines.__all__),
]


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}
# The modules that work on arrays. All others work on tensors.
ARRAY_LEVEL = {
    "__init__",
    "_arrays",
    "_base",
    "_checks",
    "_data",
    "_describe",
    "_docs",
    "_encoder",
    "_files",
    "_fitting",
    "_inference",
    "_mixins",
    "_random",
    "_state",
    "_types",
    "callbacks",
    *(
        name
        for name in FILES
        if name.startswith(("baselines.", "datasets.", "metrics.", "plotting."))
    ),
}


def imported_names(name):
    """Return the full names of what a module of the package imports, as far as known.

    `from a import b` gives both `a` and `a.b`, of which the second may be no module.
    """
    package = ["sklearn_sparsegen", *name.split(".")[:-1]]
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            found |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return found


def imported_modules(name):
    """Return the modules of the package that a module of it imports."""
    names = {full.removeprefix("sklearn_sparsegen.") for full in imported_names(name)}
    packages = {f"{imported}.__init__" for imported in names}
    return FILES.keys() & (names | packages)


def test_imports_form_no_cycle():
    graph = {name: imported_modules(name) for name in FILES}
    assert graph["_encoder"] > {"_base", "_model"}  # the names are resolved
    assert graph["baselines._vsc"] > {"_base", "baselines._variational"}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("name", sorted(FILES.keys() - ARRAY_LEVEL))
def test_tensor_level_knows_no_arrays(name):
    assert "numpy" not in {full.split(".")[0] for full in imported_names(name)}
    # Streams of noise for each row, and seeded factories, are made of NumPy's streams.
    allowed = {"_random"} if name in ("_model", "_generators") else set()
    assert imported_modules(name) & ARRAY_LEVEL <= allowed


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"_arrays", "_random"}))
def test_arrays_become_tensors_in_one_module(name):
    attributes = Counter(
        node.attr for node in ast.walk(TREES[name]) if isinstance(node, ast.Attribute)
    )
    assert attributes["from_numpy"] == 0
    assert attributes["numpy"] == 0


@pytest.mark.parametrize("name", FILES)
def test_files_stay_readable(name):
    assert len(FILES[name].read_text().splitlines()) <= 400


# Classes --------------------------------------------------------------------------


def library_classes():
    """Return all classes that the package defines."""
    classes = set()
    for name in FILES:
        module = "sklearn_sparsegen." + name.removesuffix("__init__")
        members = vars(importlib.import_module(module.removesuffix("."))).values()
        classes |= {member for member in members if inspect.isclass(member)}
    return {cls for cls in classes if cls.__module__.startswith("sklearn_sparsegen")}


def test_estimators_have_few_classes():
    parts = {cls for encoder in ENCODERS for cls in encoder.__mro__}
    estimators = {
        cls
        for cls in library_classes()
        if cls in parts or issubclass(cls, BaseEstimator)
    }
    assert len(ENCODERS) < len(estimators) <= 11


def test_few_methods_are_overridden():
    def methods(cls):
        """Return the methods whose code is written in a file of the package."""
        return {
            name
            for name, value in vars(cls).items()
            if inspect.isfunction(value)
            and str(PACKAGE) in inspect.unwrap(value).__code__.co_filename
        }

    classes = library_classes()
    overridden = {
        method
        for cls in classes
        for base in classes.intersection(cls.__mro__[1:])
        for method in methods(cls) & methods(base)
    }
    assert "_make_model" in overridden  # the search finds one
    assert len(overridden) <= 4


@pytest.mark.parametrize(
    ("name", "solver"), [("gradient", GradientSteps), ("proximal", ProximalQuasiNewton)]
)
def test_path_from_transform_to_the_solver_is_short(name, solver, monkeypatch):
    X = np.random.default_rng(0).normal(size=(20, 6))
    settings = {"alpha": 0.9, "decay": 0.1, "spike_scale": 0.1, "sigma": 1.0}
    encoder = SparseGeneratorEncoder(3, solver=name, step_size=0.02, **settings)
    encoder.set_params(tol=None, max_iter=1, random_state=0).fit(X)
    solve, paths = solver.solve, []

    def record(self, *args, **kwargs):
        frames = inspect.stack()
        last = next(i for i, f in enumerate(frames) if f.function == "transform")
        files = [Path(frame.filename) for frame in frames[: last + 1]]
        paths.append(sum(PACKAGE in file.parents for file in files))
        return solve(self, *args, **kwargs)

    monkeypatch.setattr(solver, "solve", record)
    encoder.transform(X)
    assert len(paths) == 1
    # The frame of `solve` itself comes after this record.
    assert 1 < paths[0] + 1 <= 4


# Constructors ---------------------------------------------------------------------

each_encoder = pytest.mark.parametrize("encoder", ENCODERS, ids=lambda e: e.__name__)


@each_encoder
def test_constructor_sets_every_parameter(encoder):
    defaults = encoder().get_params()
    assert list(defaults) == sorted(inspect.signature(encoder).parameters)
    values = {name: f"value of {name}" for name in defaults}
    given = encoder(**values)
    assert vars(given).items() >= values.items()
    assert given.get_params() == values
    copy = clone(given)
    assert type(copy) is encoder
    assert copy is not given
    assert copy.get_params() == values
    assert encoder().set_params(**values).get_params() == values


@each_encoder
def test_only_n_components_is_positional(encoder):
    assert encoder(7).get_params() == encoder(n_components=7).get_params()
    assert encoder(7).n_components == 7
    with pytest.raises(TypeError, match="positional argument"):
        encoder(7, 0.3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_component'"):
        encoder(n_component=7)


@each_encoder
def test_encoders_are_shown_and_compared_as_in_scikit_learn(encoder):
    assert repr(encoder(7)) == f"{encoder.__name__}(n_components=7)"
    assert encoder(7) != encoder(7)
    assert len({encoder(7), encoder(7)}) == 2


def test_subclass_with_a_constructor_of_its_own():
    class Small(SparseGeneratorEncoder):
        def __init__(self, n_components=3, factor=2.0):
            super().__init__(
                n_components, alpha=0.5, decay=0.5, max_iter=1, tol=None, random_state=0
            )
            self.factor = factor

        def transform(self, X):
            return self.factor * super().transform(X)

    X = np.random.default_rng(0).normal(size=(20, 6))
    encoder = clone(Small(2).set_params(factor=3.0))
    assert encoder.get_params() == {"n_components": 2, "factor": 3.0}
    assert encoder.alpha == 0.5
    codes = encoder.fit(X).transform(X)
    expected = SparseGeneratorEncoder(
        2, alpha=0.5, decay=0.5, max_iter=1, tol=None, random_state=0
    ).fit_transform(X)
    np.testing.assert_array_equal(codes, 3 * expected)


# Docstrings -----------------------------------------------------------------------


def described_names(doc, section, after):
    """Return the names that a section of a docstring describes, in its order."""
    body = doc.split(f"{section}\n{'-' * len(section)}\n")[1].split(f"\n{after}\n")[0]
    return re.findall(r"^(\w+) : ", body, flags=re.MULTILINE)


def test_source_of_the_main_class_describes_its_parameters():
    """A reader of the file finds every parameter, in the order of the signature."""
    (source,) = (
        node
        for node in TREES["_encoder"].body
        if isinstance(node, ast.ClassDef) and node.name == "SparseGeneratorEncoder"
    )
    names = described_names(ast.get_docstring(source), "Parameters", "Attributes")
    assert names == list(inspect.signature(SparseGeneratorEncoder).parameters)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@each_encoder
def test_every_parameter_and_attribute_is_documented(encoder):
    doc = inspect.getdoc(encoder)
    names = described_names(doc, "Parameters", "Attributes")
    assert names == list(inspect.signature(encoder).parameters)
    fitted = encoder(2, max_iter=1, tol=None).fit(np.eye(2))
    attributes = {name for name in vars(fitted) if re.fullmatch(r"[a-z]\w*_", name)}
    described = described_names(doc, "Attributes", "See Also")
    # The data have no names of features, and no rows are held out.
    absent = {"feature_names_in_", "validation_loss_curve_"}
    assert attributes | absent == set(described)


def public_objects():
    modules = sklearn_sparsegen, baselines, callbacks, datasets, metrics, plotting
    for module in modules:
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
    # Not every method needs an extended summary, an example or "See Also". What is
    # returned has a name, as in scikit-learn.
    waived = {"ES01", "EX01", "RT02", "SA01"}
    assert not [e for e in validate(name)["errors"] if e[0] not in waived]


@each_encoder
def test_defaults_in_the_docstring_are_the_defaults(encoder):
    doc = inspect.getdoc(encoder)
    for name, value in encoder().get_params().items():
        line = next(row for row in doc.splitlines() if row.startswith(f"{name} : "))
        shown = line.rsplit("default=", 1)[1].strip('"')
        assert shown == str(value)


# Import ---------------------------------------------------------------------------


def test_importing_does_no_work():
    """Nothing is set, and neither an optional dependency nor a docstring is needed."""
    code = (
        "import sys, torch; threads = torch.get_num_threads();"
        "state = torch.random.get_rng_state();"
        "from sklearn_sparsegen import baselines, datasets, metrics, plotting;"
        "unchanged = torch.equal(state, torch.random.get_rng_state());"
        "unchanged &= torch.get_num_threads() == threads;"
        "optional = {'matplotlib', 'PIL', 'skimage'} & sys.modules.keys();"
        "sys.exit(bool(optional) or not unchanged)"
    )
    subprocess.run([sys.executable, "-OO", "-c", code], check=True)
