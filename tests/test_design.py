"""The design: one-way imports, small files, constructors, complete docstrings."""

import ast
import graphlib
import inspect
import re
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import each_class, short_fits
from numpydoc.validate import validate
from sklearn.base import clone

import sklearn_sparsegen
from sklearn_sparsegen import (
    SparseGeneratorEncoder,
    baselines,
    callbacks,
    datasets,
    metrics,
    plotting,
)

pytestmark = short_fits

PACKAGE = Path(sklearn_sparsegen.__file__).parent


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


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


# The floors, from the ground up: a module may import from its own floor and below.
FLOORS = [
    {"_utils"},
    {"_data"},
    {"_model"},
    {"_inference"},
    {"_training"},
    {"_base"},
    {"_encoder"},
    {"callbacks", "baselines", "metrics", "datasets", "plotting"},
    {"__init__"},
]
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
HAVE_DOCSTRINGS = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
TENSORS_ALONE = "_model", "_inference"


def floor(name):
    """Return the number of the floor of a module, from 0 for the ground."""
    (number,) = (i for i, parts in enumerate(FLOORS) if name.split(".")[0] in parts)
    return number


def test_imports_form_no_cycle():
    graph = {name: imported_modules(name) for name in FILES}
    assert graph["_encoder"] > {"_base", "_inference.model"}  # the names are resolved
    assert graph["baselines._vsc"] > {"_base", "baselines._variational"}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_go_down(name):
    higher = {other for other in imported_modules(name) if floor(other) > floor(name)}
    assert not higher


@pytest.mark.parametrize(
    "name", [name for name in sorted(FILES) if name.startswith(TENSORS_ALONE)]
)
def test_model_and_inference_know_tensors_alone(name):
    assert "numpy" not in {full.split(".")[0] for full in imported_names(name)}
    assert not [other for other in imported_modules(name) if other.startswith("_data")]


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"_utils.compat"}))
def test_private_names_of_others_stand_in_one_module(name):
    others = [full.split(".") for full in imported_names(name)]
    others = [parts for parts in others if parts[0] in ("sklearn", "torch")]
    assert not [parts for parts in others if any(p.startswith("_") for p in parts)]


@pytest.mark.parametrize(
    "name", sorted(FILES.keys() - {"_data.arrays", "_utils.random"})
)
def test_arrays_become_tensors_in_one_module(name):
    attributes = Counter(
        node.attr for node in ast.walk(TREES[name]) if isinstance(node, ast.Attribute)
    )
    assert attributes["from_numpy"] == 0
    assert attributes["numpy"] == 0


def lines_of_code(name):
    """Return the number of lines with code, so without docstrings and comments."""
    lines = set()
    with FILES[name].open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type not in NO_CODE:
                lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(TREES[name]):
        if isinstance(node, HAVE_DOCSTRINGS) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


@pytest.mark.parametrize("name", FILES)
def test_files_stay_readable(name):
    assert lines_of_code(name) <= 300


# Constructors ---------------------------------------------------------------------


@each_class
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


@each_class
def test_only_n_components_is_positional(encoder):
    assert encoder(7).get_params() == encoder(n_components=7).get_params()
    assert encoder(7).n_components == 7
    with pytest.raises(TypeError, match="positional argument"):
        encoder(7, 0.3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_component'"):
        encoder(n_component=7)


@each_class
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
@each_class
def test_every_parameter_and_attribute_is_documented(encoder):
    doc = inspect.getdoc(encoder)
    names = described_names(doc, "Parameters", "Attributes")
    assert names == list(inspect.signature(encoder).parameters)
    fitted = encoder(2, max_iter=1, tol=None).fit(np.eye(2))
    attributes = {name for name in vars(fitted) if re.fullmatch(r"[a-z]\w*_", name)}
    described = described_names(doc, "Attributes", "See Also")
    # The data have no names of features, no rows are held out, and a property is none.
    absent = {"feature_names_in_", "validation_loss_curve_", "components_"}
    assert attributes == set(described) - absent


def public_objects():
    modules = sklearn_sparsegen, baselines, callbacks, datasets, metrics, plotting
    for module in modules:
        for name in set(module.__all__) - {"PAPER_SETTINGS", "__version__"}:
            value = getattr(module, name)
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


@each_class
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
