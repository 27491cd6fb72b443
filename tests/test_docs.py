"""The code in README and in the user guide runs, and its results are of use."""

import ast
import csv
import re
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
PAGES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.rst")
}

pytestmark = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def without_windows_and_arguments(monkeypatch):
    monkeypatch.setattr("sys.argv", ["example"])
    with matplotlib.rc_context():
        matplotlib.use("agg")
        yield


def blocks_of(page):
    """Return the code of a page, block by block."""
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", page)
    assert len(blocks) == page.count("code-block:: python")
    return [textwrap.dedent(block).strip() for block in blocks]


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


def test_the_first_lines_of_readme(capsys):
    """They are those of the front page, and print what both say."""
    first, second = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks_of(PAGES["index"]) == [first.strip()]
    run(first, names := {})
    shown = re.search(r"```\n(\(1797.*)\n```", README)[1]
    assert shown in PAGES["index"]
    printed = capsys.readouterr().out
    pattern = r"\(1797, 200\) (\d+) active in a row"
    n_active, expected = (
        int(re.fullmatch(pattern, line.strip())[1]) for line in (printed, shown)
    )
    assert abs(n_active - expected) <= 1
    accuracy = run(second, names)
    assert_useful(names["model"]["enc"], names["X_test"])
    pca = make_pipeline(PCA(), clone(names["model"]["clf"]))
    pca.fit(names["X_train"], names["y_train"])
    assert accuracy >= pca.score(names["X_test"], names["y_test"]) - 0.02


def test_the_table_of_the_defaults_is_whole():
    lines = (ROOT / "docs" / "results" / "defaults.csv").read_text().splitlines()
    header, *rows = csv.reader(lines)
    assert header[:5] == ["data", "raw", "PCA", "dictionary", "codes (range)"]
    assert len(rows) > 20
    assert {len(row) for row in rows} == {len(header)}


# Torch warns of its own code where it exports a generator.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "name",
    [name for name, page in PAGES.items() if blocks_of(page) and name != "index"],
)
def test_the_code_of_the_pages(name, tmp_path, monkeypatch):
    """It runs, and what it fits has codes that are of use."""
    monkeypatch.chdir(tmp_path)
    names, results = {}, {}
    for block in blocks_of(PAGES[name]):
        results[block] = run(block, names)
    globals().get(f"check_{name}", check_encoder)(names, results)


def check_encoder(names, results):
    """The encoder has codes of use."""
    encoder = names["encoder"].set_output(transform="default")
    assert_useful(encoder, names["X"])


def check_saving(names, results):
    """All files are there, and the loaded encoder has the same codes."""
    assert_array_equal(
        names["loaded"].transform(names["X"]), names["encoder"].transform(names["X"])
    )
    files = {path.name for path in Path.cwd().iterdir()}
    assert files >= {"encoder.skops", "generator.pt2", "generator.onnx", "checkpoints"}
    assert (names["encoder"].transform(names["X"]) != 0).any(1).mean() >= 0.95
    # The last fit of the search may be the one before.
    assert len(list(Path("checkpoints").iterdir())) in (5, 6)


def check_large_data(names, results):
    """Codes that Dask computes are those of the encoder."""
    (computed,) = (value for code, value in results.items() if "compute(" in code)
    codes = names["encoder"].transform(names["X"])
    assert_allclose(computed, codes, rtol=0, atol=1e-8)
    assert isinstance(names["codes"], torch.Tensor)
    check_encoder(names, results)


def check_choosing_parameters(names, results):
    """The search ends with an encoder of use."""
    check_encoder(
        {"encoder": names["search"].best_estimator_, "X": names["X"]}, results
    )


@pytest.mark.parametrize("load", [load_wine, load_iris, load_diabetes])
def test_the_settings_for_missing_values(load, rng):
    (code,) = re.findall(
        r"imputer = (SparseGeneratorEncoder\([^)]*\))", PAGES["choosing_parameters"]
    )
    names = {"SparseGeneratorEncoder": SparseGeneratorEncoder}
    imputer = eval(code, names).set_params(random_state=0, max_iter=300)
    X = scale(load().data)
    missing = rng.uniform(size=X.shape) < 0.2
    holes = np.where(missing, np.nan, X)
    filled = imputer.fit(holes).inverse_transform(imputer.transform(holes))
    mean = np.tile(np.nanmean(holes, axis=0), (len(X), 1))
    errors = [np.square(values - X)[missing].mean() for values in (filled, mean)]
    assert errors[0] < 0.85 * errors[1]
