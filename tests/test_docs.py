"""README's code runs, and the build of the documentation runs that of its pages."""

import ast
import contextlib
import csv
import re
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import scale
from sphinx.errors import ExtensionError

from sklearn_sparsegen import SparseGeneratorEncoder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
sys.path.append(str(ROOT / "docs"))
import page_code
from page_code import PAGES, assert_useful, blocks_of, run

pytestmark = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def without_windows_and_arguments(monkeypatch):
    monkeypatch.setattr("sys.argv", ["example"])
    with matplotlib.rc_context():
        matplotlib.use("agg")
        yield


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
    assert {len(row) for row in rows} == {len(header)}


def page_of(*blocks):
    """Return the text of a page with some blocks of code."""
    code = (textwrap.indent(block, 4 * " ") for block in blocks)
    return "".join(f".. code-block:: python\n\n{block}\n\nText.\n" for block in code)


@pytest.mark.parametrize(
    ("last", "error"),
    [
        ("codes = encoder.transform(X)", None),
        ("encoder.codes", AttributeError),
        ("warnings.warn('of no use', stacklevel=1)", UserWarning),
        ("encoder.set_params(n_nonzero_coefs=6)", AssertionError),  # they are not few
        (  # all are zero
            "encoder.set_params(transform_n_steps=0).start_.scale.zero_()",
            AssertionError,
        ),
    ],
)
def test_the_code_of_a_page_must_be_of_use(last, error):
    """The build of the documentation runs the pages in this way."""
    first = (
        "import warnings\n"
        "from sklearn.datasets import load_digits\n"
        "from sklearn_sparsegen import SparseGeneratorEncoder\n"
        "X = load_digits().data[:100]"
    )
    second = (
        "encoder = SparseGeneratorEncoder(20, n_nonzero_coefs=4, random_state=0)\n"
        "encoder.set_params(max_iter=10, tol=None, learning_rate_init=0.01).fit(X)"
    )
    page = page_of(first, second, last)
    with contextlib.nullcontext() if error is None else pytest.raises(error):
        page_code.run_page(page, page_code.check_encoder)


def test_a_page_whose_code_fails_ends_the_build(monkeypatch):
    app = SimpleNamespace(config=SimpleNamespace(page_code_is_tested=["index"]))
    pages = {"index": "fails()", "good": "pass", "bad": "fails()"}
    pages = {name: page_of(code) for name, code in pages.items()}
    monkeypatch.setattr(page_code, "PAGES", pages)
    ran = []

    def process(command, **options):
        ran.append(command[2])
        failed = command[2] == "bad"
        return SimpleNamespace(returncode=int(failed), stderr="NameError: fails")

    monkeypatch.setattr(page_code.subprocess, "run", process)
    page_code.run_pages(app, None, ["index", "good", "generated/name"])
    with pytest.raises(ExtensionError, match=r"(?s)bad\.rst fails.*NameError"):
        page_code.run_pages(app, None, ["bad", "index", "good"])
    assert sorted(ran) == ["bad", "good", "good"]


def test_the_build_runs_the_code_of_all_pages():
    """But for the front page, whose code is that of README."""
    lines = ast.parse((ROOT / "docs" / "conf.py").read_text(encoding="utf-8")).body
    values = {
        line.targets[0].id: line.value
        for line in lines
        if isinstance(line, ast.Assign)
        if isinstance(line.targets[0], ast.Name)
    }
    assert "page_code" in ast.literal_eval(values["extensions"])
    assert ast.literal_eval(values["page_code_is_tested"]) == ["index"]


@pytest.mark.parametrize("load", [load_wine, load_iris, load_diabetes])
def test_the_settings_for_missing_values(load, rng):
    (code,) = re.findall(
        r"imputer = (SparseGeneratorEncoder\([^)]*\))", PAGES["choosing_parameters"]
    )
    names = {"SparseGeneratorEncoder": SparseGeneratorEncoder}
    imputer = eval(code, names).set_params(random_state=0)
    X = scale(load().data)
    missing = rng.uniform(size=X.shape) < 0.2
    holes = np.where(missing, np.nan, X)
    filled = imputer.fit(holes).inverse_transform(imputer.transform(holes))
    mean = np.tile(np.nanmean(holes, axis=0), (len(X), 1))
    errors = [np.square(values - X)[missing].mean() for values in (filled, mean)]
    assert errors[0] < 0.85 * errors[1]
