"""The code in README and in the user guide runs, and its results are of use."""

import ast
import re
import runpy
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import scale

from sklearn_sparsegen import SparseGeneratorEncoder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "user_guide.rst").read_text(encoding="utf-8")

pytestmark = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def without_windows_and_arguments(monkeypatch):
    monkeypatch.setattr("sys.argv", ["example"])
    with matplotlib.rc_context():
        matplotlib.use("agg")
        yield


def run(code, namespace):
    """Run code; return the value of its last line if that is an expression."""
    *statements, last = ast.parse(code).body
    if not isinstance(last, ast.Expr):
        statements, last = [*statements, last], None
    exec(compile(ast.Module(statements, []), "snippet", "exec"), namespace)
    if last is not None:
        expression = compile(ast.Expression(last.value), "snippet", "eval")
        return eval(expression, namespace)
    return None


def assert_useful(encoder, X):
    """Assert what the defaults promise of data that are scaled as the guide says."""
    codes = encoder.transform(X)
    assert (codes != 0).any(1).mean() >= 0.95
    assert (codes != 0).mean() <= 0.2
    X_hat = encoder.inverse_transform(codes)
    assert r2_score(X, X_hat, multioutput="variance_weighted") >= 0.8


def test_the_first_lines_of_readme():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    accuracy = run(code, names := {})
    assert_useful(names["model"]["enc"], names["X_test"])
    pca = make_pipeline(PCA(), clone(names["model"]["clf"]))
    pca.fit(names["X_train"], names["y_train"])
    assert accuracy >= pca.score(names["X_test"], names["y_test"]) - 0.02


def test_the_example_of_readme():
    """The means that README shows are true here, but for their last digits."""
    # PyTorch looks up the file, and expects a text.
    path = ROOT / "examples" / "basics" / "plot_digits_pipeline.py"
    names = runpy.run_path(str(path))
    shown = re.findall(r"^(.*\S) +([\d.]+) \([\d.]+, [\d.]+\)$", README, re.MULTILINE)
    assert [name for name, _ in shown] == list(names["figures"])
    means = {name: np.mean(values) for name, values in names["figures"].items()}
    for name, value in shown:
        tolerance = 1.5 if "codes of" in name else 0.015
        assert abs(means[name] - float(value)) <= tolerance
    assert means["accuracy, sparse codes"] >= means["accuracy, PCA"] - 0.02
    assert_useful(names["encoder"], names["X_test"])


def blocks_of(page):
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", page)
    assert len(blocks) == page.count("code-block:: python") > 2
    return blocks


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_lines_on_saving(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks_of((ROOT / "docs" / "saving.rst").read_text(encoding="utf-8")):
        run(textwrap.dedent(block), names)
    assert_array_equal(
        names["loaded"].transform(names["X"]), names["encoder"].transform(names["X"])
    )
    files = {path.name for path in tmp_path.iterdir()}
    assert files >= {"encoder.skops", "generator.pt2", "generator.onnx", "checkpoints"}
    # The last fit of the search may be the one before.
    assert len(list((tmp_path / "checkpoints").iterdir())) in (5, 6)


def test_the_lines_of_the_user_guide():
    blocks = blocks_of(GUIDE)
    names = {}
    for block in blocks:
        run(textwrap.dedent(block), names)
    assert_useful(names["encoder"], names["X"])


def test_the_lines_on_large_data():
    names = {}
    for block in blocks_of((ROOT / "docs" / "large_data.rst").read_text("utf-8")):
        result = run(textwrap.dedent(block), names)
        if "compute(" in block:
            codes = names["encoder"].transform(names["X"])
            assert_allclose(result, codes, rtol=0, atol=1e-8)
    assert isinstance(names["codes"], torch.Tensor)
    assert_useful(names["encoder"], names["X"])


@pytest.mark.parametrize("load", [load_wine, load_iris, load_diabetes])
def test_the_settings_for_missing_values(load, rng):
    (code,) = re.findall(r"imputer = (SparseGeneratorEncoder\([^)]*\))", GUIDE)
    names = {"SparseGeneratorEncoder": SparseGeneratorEncoder}
    imputer = eval(code, names).set_params(random_state=0, max_iter=300)
    X = scale(load().data)
    missing = rng.uniform(size=X.shape) < 0.2
    holes = np.where(missing, np.nan, X)
    filled = imputer.fit(holes).inverse_transform(imputer.transform(holes))
    mean = np.tile(np.nanmean(holes, axis=0), (len(X), 1))
    errors = [np.square(values - X)[missing].mean() for values in (filled, mean)]
    assert errors[0] < 0.85 * errors[1]
