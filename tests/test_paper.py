"""The scripts that repeat the paper's experiments, on small random images."""

import importlib
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "examples" / "paper"
SCRIPTS = sorted(
    path.name
    for path in PAPER.glob("*.py")
    if path.name.startswith(("figure", "table"))
)


DATA = {"figure_5.py": "fashion_mnist", "figure_9.py": "svhn"}
useless_fits = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"
)


@pytest.fixture(autouse=True)
def path(monkeypatch):
    """Make the modules of the scripts importable, and forget them afterwards."""
    monkeypatch.syspath_prepend(PAPER)
    yield
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "").parent == PAPER:
            del sys.modules[name]


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Make files of small sets of random images, of the shapes of the real ones."""
    rng = np.random.default_rng(0)
    for name, n_pixels in (
        ("mnist", 784),
        ("fashion_mnist", 784),
        ("svhn", 3072),
        ("celeba64", 12288),
    ):
        arrays = {}
        for part, n in ("train", 120), ("test", 40):
            # An image for each class, so that a few epochs are enough for a fit.
            classes = np.random.default_rng(1).integers(2, size=(10, n_pixels))
            X = classes[np.arange(n) % 10] * rng.integers(200, 256, size=(n, n_pixels))
            arrays[f"X_{part}"] = X.astype(np.uint8)
            if name == "celeba64":
                attributes = rng.choice([-1, 1], size=(n, 3)).astype(np.int8)
                arrays[f"attributes_{part}"] = attributes
            else:
                arrays[f"y_{part}"] = np.arange(n) % 10
        if name == "celeba64":
            arrays["attribute_names"] = np.array(["Smiling", "Male", "Bald"])
        np.savez(tmp_path / f"{name}.npz", **arrays)
    monkeypatch.setenv("SPARSEGEN_DATA", str(tmp_path))
    common = importlib.import_module("common")
    for name in common.SIZES:
        monkeypatch.setitem(common.SIZES, name, (12, (8,)))
    make_method = common.make_method

    def make_short(*arguments):
        estimator = make_method(*arguments)
        if estimator.get_params().get("max_iter", 0) > 30:  # it has its own defaults
            estimator.set_params(max_iter=30, tol=None)
        return estimator

    monkeypatch.setattr(common, "make_method", make_short)


def run(script, tmp_path, monkeypatch, *arguments):
    """Run a script in this process; return the lines of its results."""
    results = tmp_path / "results.jsonl"
    folders = "--pictures", tmp_path / "pictures", "--checkpoints", tmp_path / "fits"
    argv = [script, "--epochs", 3, "--learning-rate", 0.03, "--device", "cpu", *folders]
    argv += ["--results", results, *arguments]
    monkeypatch.setattr(sys, "argv", list(map(str, argv)))
    runpy.run_path(str(PAPER / script), run_name="__main__")
    return [json.loads(line) for line in results.read_text().splitlines()]


@useless_fits
@pytest.mark.parametrize("script", SCRIPTS)
def test_script_appends_its_results_once(script, images, tmp_path, monkeypatch):
    arguments = ["--seeds", 0]
    if script == "figure_6.py":
        arguments += ["--methods", "VSC, slab means"]
    else:  # with pictures, where there are any
        arguments += ["--data", DATA.get(script, "mnist")]
    lines = run(script, tmp_path, monkeypatch, *arguments)
    names = importlib.import_module("common").NAMES
    keys = [tuple(line[name] for name in names) for line in lines]
    assert len(set(keys)) == len(keys) > 1
    for line in lines:
        figures = [line[name] for name in line.keys() - {*names, "version"}]
        assert all(np.isfinite(x).all() for x in figures if not isinstance(x, str))
    if script not in ("figure_6.py", "table_3.py", "table_4.py"):
        assert list((tmp_path / "pictures").glob("*.png")) or script == "figure_9.py"
    assert run(script, tmp_path, monkeypatch, *arguments) == lines


@useless_fits
def test_components_are_named_by_attributes(images, tmp_path, monkeypatch):
    arguments = "--seeds", 0, "--data", "celeba64", "--methods", "paper"
    (line,) = run("figure_4.py", tmp_path, monkeypatch, *arguments)
    assert set(line["attributes"].split(", ")) <= {"Smiling", "Male", "Bald"}
    assert len(line["areas"]) == 10


@useless_fits
def test_script_goes_on_after_the_last_result(images, tmp_path, monkeypatch):
    arguments = "figure_1.py", tmp_path, monkeypatch, "--seeds", 0
    lines = run(*arguments)
    results = tmp_path / "results.jsonl"
    results.write_text(json.dumps(lines[0]) + "\n")
    assert run(*arguments) == lines
    # Other settings are other results.
    assert len(run(*arguments, "--n-test", 20)) == 2 * len(lines)


def test_noise_has_the_scale_and_leaves_the_range():
    common = importlib.import_module("common")
    X = np.full((100, 1000), 0.5, np.float32)
    noise = common.add_noise(X, 0.7, seed=0) - X
    assert noise.dtype == np.float32
    assert_allclose(noise.std(), 0.7, rtol=0.02)
    assert abs(noise).max() > 2
    assert (common.add_noise(X, 0.7, seed=1) != X + noise).any()


def test_neighbour_accuracy_leaves_out_the_point_itself():
    figure_7 = importlib.import_module("figure_7")
    points = np.array([[0.0], [1.0], [10.0], [11.0]])
    accuracy = figure_7.neighbour_accuracy
    assert accuracy(points, np.array([0, 0, 1, 1]), n_neighbors=1) == 1
    assert accuracy(points, np.array([0, 1, 0, 1]), n_neighbors=1) == 0


def test_attribute_is_the_one_that_the_code_orders_best():
    figure_4 = importlib.import_module("figure_4")
    code = np.array([0.1, 0.2, 0.8, 0.9])
    attributes = np.array([[1, 1, 1], [-1, 1, 1], [1, -1, 1], [-1, -1, 1]])
    assert figure_4.attribute_of(code, attributes) == 1
    assert [figure_4.area_of(code, a) for a in attributes.T] == [0.25, 0.0, 0.5]


@pytest.fixture
def page():
    return importlib.import_module("results_page")


def line(method, seed=0, n_train=10, **figures):
    settings = {"n_train": n_train, "n_test": 5, "epochs": 1, "learning_rate": 0.1}
    names = {"experiment": "table 1", "data": "mnist", "variant": None}
    return {**names, "method": method, "seed": seed, **settings, **figures}


def results_of(page, tmp_path, *lines):
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return page.Results(path)


def test_page_takes_the_largest_run_of_each_method(page, tmp_path):
    lines = [line("paper", psnr=1.0, n_train=5), line("paper", psnr=2.0)]
    results = results_of(page, tmp_path, *lines, line("paper", 1, psnr=4.0))
    entries = {"experiment": "table 1", "data": "mnist", "method": "paper"}
    assert results.values("psnr", **entries).tolist() == [2.0, 4.0]


def test_cell_has_mean_range_paper_and_difference(page):
    column = page.Column("", "accuracy", scale=100, printed={"paper": 70.0})
    ours = np.array([0.5, 0.75])
    first = "62.50 (50.00 to 75.00)"
    assert column.cell("paper", ours) == [first, "paper 70.00, -7.50"]
    assert column.cell("VAE", ours) == [first]
    assert column.cell("VAE", ours[:1]) == ["50.00"]
    assert column.cell("VAE", ours[:0]) == ["—"]


@pytest.mark.parametrize(
    ("ours", "others", "verdict"),
    [
        (3.0, [1.0, 2.0], "holds"),
        (3.0, [1.0, 4.0], "in 1 of 2 comparisons"),
        (3.0, [4.0, 5.0], "does not hold"),
    ],
)
def test_claim_is_judged_by_the_means(page, tmp_path, ours, others, verdict):
    lines = [
        line(name, psnr=value)
        for name, value in zip(("VSC", "VAE"), others, strict=True)
    ]
    results = results_of(page, tmp_path, *lines)
    Claim = importlib.import_module("claims").Claim
    claim = Claim("text", "table 1", "psnr", ("VSC", "VAE"), data=("mnist",))
    assert claim.row(results, {"mnist": "MNIST"}) is None
    # The mean over two seeds counts.
    lines += [line("paper", seed, psnr=ours + seed - 0.5) for seed in (0, 1)]
    row = claim.row(results_of(page, tmp_path, *lines), {"mnist": "MNIST"})
    assert row[:2] == [["text"], [verdict]]


def test_page_leaves_out_sections_without_results(page, tmp_path):
    figures = {"psnr": 1.0, "n_active": 2.0, "sparse_psnr": 3.0}
    results = results_of(page, tmp_path, line("paper", **figures))
    template = """Title
=====

A line.

One
---

{table_1:mnist}

{table_1:svhn}

Two
---

{table_2:mnist}

Three
-----

Text.
"""
    made = page.make_page(results, template)
    assert "A line.\n\nOne\n---\n\nMNIST: 10" in made
    assert made.endswith("\n\nThree\n-----\n\nText.\n")
    assert "Two" not in made


def test_page_is_what_the_results_give(page):
    results = page.Results(ROOT / "docs" / "results" / "paper.jsonl")
    template = (PAPER / "page.rst").read_text()
    assert page.make_page(results, template) == (ROOT / "docs/paper.rst").read_text()


def test_printed_tables_are_in_standard_units():
    """The paper's PSNR is halved, and Tables 1 and 4 have the same model."""
    printed = importlib.import_module("printed")
    for data in "mnist", "fashion_mnist":
        assert printed.TABLE_1["paper"][data] == printed.TABLE_4_PSNR["paper"][data]
    assert printed.TABLE_1["paper"]["mnist"] == 18.6
    # The paper has these two the other way round in its two tables.
    table_1, table_4 = printed.TABLE_1["paper"], printed.TABLE_4_PSNR["paper"]
    assert (table_1["svhn"], table_1["celeba64"]) == (
        table_4["celeba64"],
        table_4["svhn"],
    )
