"""The scripts that repeat the paper's experiments, on small random images."""

import importlib
import json
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import mode
from skimage.metrics import structural_similarity
from sklearn.metrics import mutual_info_score
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import Bunch

from sklearn_sparsegen.baselines import VSCEncoder

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
        for part, n in ("train", 110), ("test", 40):
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
        names = estimator.get_params()
        if names.get("max_iter", 0) > 5:  # it has its own defaults
            estimator.set_params(max_iter=5, tol=None)
            if "learning_rate_init" in names:
                estimator.set_params(learning_rate_init=0.01)
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
        texts = {*names, "version", "warnings", "attributes"}
        assert all(np.isfinite(line[name]).all() for name in line.keys() - texts)
        assert all(isinstance(text, str) for text in line["warnings"])
    if script not in ("figure_6.py", "table_3.py", "table_4.py"):
        assert list((tmp_path / "pictures").glob("*.png"))
    first, *others = dict.fromkeys(line["method"] for line in lines)
    # All methods once more, in two parts, with which nothing is drawn again.
    for methods in filter(None, ([first], others)):
        again = run(script, tmp_path, monkeypatch, *arguments, "--methods", *methods)
        assert again == lines


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


def test_script_that_is_stopped_says_how_to_go_on(images, tmp_path, monkeypatch):
    def measure(images, key, fit):
        raise KeyboardInterrupt

    folders = "--results", tmp_path / "results.jsonl", "--checkpoints", tmp_path
    monkeypatch.setattr(sys, "argv", list(map(str, ("script", *folders))))
    common = importlib.import_module("common")
    with pytest.raises(SystemExit, match=r"Stopped\. The same command"):
        common.run("figure", "", measure, methods=["PCA"], data=["mnist"], seeds=[0])


# What is measured -----------------------------------------------------------------


class Half:
    """Codes are the rows themselves, and are decoded to half of them."""

    n_components_ = 49

    def transform(self, X):
        return np.asarray(X)

    def inverse_transform(self, Z):
        return Z / 2


@pytest.fixture(params=[(7, 7), (7, 7, 3)])
def case(request, rng):
    """A data set, what identifies a result, and a `fit` that records its calls."""
    n_pixels = int(np.prod(request.param))
    images = Bunch(
        X_train=rng.uniform(size=(30, n_pixels)).astype(np.float32),
        X_test=rng.uniform(size=(20, n_pixels)).astype(np.float32),
        y_train=np.arange(30) % 3,
        y_test=np.arange(20) % 3,
        image_shape=request.param,
    )
    key = {"method": "paper", "seed": 4, "variant": 0.3}
    calls = []

    def fit(method, **settings):
        calls.append((method, settings))
        return Half()

    return Bunch(images=images, key=key, fit=fit, calls=calls)


def noisy_of(case, scale):
    noise = np.random.default_rng(4).standard_normal(
        case.images.X_test.shape, dtype=np.float32
    )
    return case.images.X_test + np.float32(scale) * noise


def psnr(X, X_hat):
    return 10 * np.log10(1 / np.square(np.subtract(X, X_hat, dtype=float)).mean())


def ssim(X, X_hat, shape):
    options = {"data_range": 1.0, "channel_axis": 2 if len(shape) == 3 else None}
    return np.mean(
        [
            structural_similarity(a.reshape(shape), b.reshape(shape), **options)
            for a, b in zip(X, X_hat, strict=True)
        ]
    )


def measured(case, script):
    return importlib.import_module(script).measure(case.images, case.key, case.fit)


def test_table_1_measures_reconstructions(case):
    X = case.images.X_test
    figures = measured(case, "table_1")
    assert case.calls == [("paper", {"seed": 4})]
    active = X > 0.2
    assert_allclose(figures["psnr"], psnr(X, X / 2), rtol=1e-5)
    each = [psnr(row, row / 2) for row in X]
    assert_allclose(figures["mean_psnr"], np.mean(each), rtol=1e-5)
    assert_allclose(figures["sparse_psnr"], psnr(X, X * active / 2), rtol=1e-5)
    assert_allclose(figures["n_active"], active.sum(axis=1).mean())
    case.key["method"] = "mean image"
    figures = measured(case, "table_1")
    mean = case.images.X_train.mean(axis=0)
    for name in "psnr", "sparse_psnr":
        assert_allclose(figures[name], psnr(X, mean), rtol=1e-5)
    assert figures["n_active"] == 0


@pytest.mark.parametrize(
    ("name", "method", "steps"),
    [
        ("short-run, 100 steps", "short-run", {"n_steps": 100}),
        ("paper, shorter steps", "paper", {"n_steps": 120, "step_size": 0.05}),
    ],
)
def test_table_1_measures_inference_with_other_steps(case, name, method, steps):
    calls = []

    class Recorder(Half):
        def set_params(self, **params):
            calls.append(params)
            return self

    def fit(method, **settings):
        calls.append(method)
        return Recorder()

    case.key["method"], case.fit = name, fit
    measured(case, "table_1")
    assert calls == [method, steps]


@pytest.mark.parametrize("script", ["table_2", "figure_9"])
def test_restored_images_are_compared_with_noisy_and_clean_ones(case, script):
    X, noisy, shape = case.images.X_test, noisy_of(case, 0.3), case.images.image_shape
    figures = measured(case, script)
    assert case.calls == [("paper", {"seed": 4})]
    assert_allclose(figures["ssim_noisy"], ssim(noisy, noisy / 2, shape), rtol=1e-5)
    assert_allclose(figures["ssim_clean"], ssim(X, noisy / 2, shape), rtol=1e-5)
    assert_allclose(figures["psnr_clean"], psnr(X, noisy / 2), rtol=1e-5)


def test_table_4_has_clean_and_restored_images(case):
    X, shape = case.images.X_test, case.images.image_shape
    noisy = noisy_of(case, 0.5 if len(shape) == 2 else 0.1)
    figures = measured(case, "table_4")
    assert_allclose(figures["psnr"], psnr(X, X / 2), rtol=1e-5)
    assert_allclose(figures["ssim_noisy"], ssim(noisy, noisy / 2, shape), rtol=1e-5)
    assert_allclose(figures["ssim_clean"], ssim(X, noisy / 2, shape), rtol=1e-5)
    assert_allclose(figures["n_active"], (X > 0.2).sum(axis=1).mean())


class Recorder:
    """A classifier that records its data, and scores by their means."""

    made = []

    def __init__(self, **settings):
        self.settings = settings
        Recorder.made.append(self)

    def fit(self, X, y):
        self.data = X, y
        return self

    def score(self, X, y):
        return X.mean() + y.mean()


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(Recorder, "made", [])
    monkeypatch.setattr("sklearn.neural_network.MLPClassifier", Recorder)


def test_table_3_classifies_restored_images(case, recorder):
    images, restored = case.images, noisy_of(case, 0.3) / 2
    figures = measured(case, "table_3")
    # Three fits, and a classifier and noise for each run.
    assert case.calls == [("paper", {"seed": 1})]
    (classifier,) = Recorder.made
    assert classifier.settings["random_state"] == 4
    assert_array_equal(classifier.data[0], images.X_train)
    assert_array_equal(classifier.data[1], images.y_train)
    labels = images.y_test.mean()
    assert_allclose(figures["accuracy"], restored.mean() + labels, rtol=1e-5)
    clean = images.X_test.mean() + labels
    assert_allclose(figures["accuracy_clean"], clean, rtol=1e-5)
    measured(case, "table_3")
    assert len(Recorder.made) == 1


def test_figure_6_classifies_codes_of_test_images(case, recorder, monkeypatch):
    figure_6 = importlib.import_module("figure_6")
    monkeypatch.setattr(figure_6, "N_LABELS", 10)
    case.key["variant"] = 50
    figures = measured(case, "figure_6")
    assert case.calls == [("paper", {"seed": 4, "n_components": 50})]
    images = case.images
    expected = images.X_test.mean() + images.y_test.mean()
    assert_allclose(figures["accuracy"], [expected] * 5, rtol=1e-5)
    draws = set()
    for classifier in Recorder.made:
        X, y = classifier.data
        (_, rows) = np.nonzero((X[:, None] == images.X_train).all(axis=2))
        assert_array_equal(y, images.y_train[rows])
        draws.add(tuple(rows))
    assert {len(set(rows)) for rows in draws} == {10}
    assert len(draws) == 5


def test_slab_means_are_those_of_the_posterior(rng):
    X = rng.uniform(size=(50, 6)).astype(np.float32)
    encoder = VSCEncoder(4, sigma=0.1, alpha=0.5, max_iter=12, tol=None, random_state=0)
    encoder.fit(X)
    means = importlib.import_module("figure_6").slab_means(encoder, X)
    outputs = encoder.recognition_(torch.from_numpy(X)).detach().numpy()
    # The mean of the posterior is the slab's mean times the probability of the slab.
    codes = encoder.transform(X)
    assert means.shape == codes.shape
    assert_array_equal(means, outputs[:, :4])
    ratio = codes / means
    assert ((ratio >= 0) & (ratio <= 1)).all()


def test_figures_1_and_5_and_7(case, monkeypatch):
    images, X, y = case.images, case.images.X_test, case.images.y_test
    active = X > 0.2
    figures = measured(case, "figure_1")
    assert_allclose(figures["psnr"], psnr(X, X / 2), rtol=1e-5)
    assert_allclose(figures["n_active"], active.sum(axis=1).mean())
    size = np.sqrt(X.shape[1])
    norms = abs(X).sum(axis=1, dtype=float) / np.sqrt(np.square(X, dtype=float).sum(1))
    assert_allclose(figures["hoyer"], ((size - norms) / (size - 1)).mean(), rtol=1e-5)
    figures = measured(case, "figure_5")
    assert case.calls[-1] == ("paper", {"seed": 4, "n_components": 30})
    information = [mutual_info_score(y, column) for column in active.T]
    assert_allclose(figures["information"], np.mean(information), rtol=1e-5)
    assert_allclose(figures["largest_information"], max(information), rtol=1e-5)
    figure_7 = importlib.import_module("figure_7")
    embedded = []

    class Plane:
        def __init__(self, random_state):
            assert random_state == 4

        def fit_transform(self, codes):
            embedded.append(codes)
            return codes[:, :2]

    monkeypatch.setattr(figure_7, "TSNE", Plane)
    figures = figure_7.measure(images, case.key, case.fit)
    assert_array_equal(embedded[0], X)
    search = NearestNeighbors(n_neighbors=6).fit(X[:, :2])
    neighbours = search.kneighbors(X[:, :2], return_distance=False)[:, 1:]
    expected = (mode(y[neighbours], axis=1).mode == y).mean()
    assert_allclose(figures["accuracy"], expected)


@pytest.mark.parametrize("data", ["mnist", "svhn"])
def test_methods_have_their_settings(data):
    """Those of the paper, and nothing but the size of the network for our defaults."""
    common = importlib.import_module("common")
    options = Bunch(epochs=7, learning_rate=0.5, device="cpu")
    n, hidden = {"mnist": (200, (400,)), "svhn": (400, (2000, 2000))}[data]

    def settings(name):
        """Return the parameters of a method that are not its defaults."""
        estimator = common.make_method(name, data, 3, options)
        defaults = type(estimator)().get_params()
        params = estimator.get_params()
        return {key: params[key] for key in params if params[key] != defaults[key]}

    own = {"device": "cpu", "random_state": 3}
    if data == "svhn":
        own |= {"n_components": n, "hidden_layer_sizes": hidden}
    trained = own | {"sigma": 0.3, "output_activation": "auto", "batch_size": 100}
    trained |= {"max_iter": 7, "learning_rate_init": 0.5, "tol": None}
    paper = trained | {"alpha": 0.01, "spike_scale": 0.1, "positive_code": False}
    paper |= {"solver": "gradient", "n_steps": 30, "init": "zeros"}
    paper |= {"skip_connection": False, "transform_n_steps": None, "decay": 0.033}
    paper |= {"learning_rate": "constant"}
    del paper["tol"]  # None is the default
    assert settings("paper") == paper
    assert settings("alpha = 1") == paper | {"alpha": 1.0}
    assert settings("alpha = .5") == paper | {"alpha": 0.5}
    assert settings("constant sparsity") == paper | {"alpha_init": 0.01}
    assert settings("Langevin noise") == paper | {"solver": "langevin"}
    assert settings("beta-VAE") == settings("VAE") | {"beta": 4}
    for name in "VAE", "VSC", "ABP", "short-run":
        params = common.make_method(name, data, 3, options).get_params()
        shared = {"n_components": n, "hidden_layer_sizes": hidden, **trained}
        assert shared.items() <= params.items()
    assert common.make_method("VSC", data, 3, options).alpha == 0.01
    assert settings("defaults") == own | common.LINEAR
    assert settings("few codes") == own | common.LINEAR | {"n_nonzero_coefs": n // 10}
    assert settings("TopK").get("n_nonzero_coefs", 20) == n // 10
    for name in "PCA", "PCA, dense":
        expected = n if "dense" in name else n // 10
        assert settings(name)["n_components"] == expected
    dictionary = common.make_method("dictionary", data, 3, options)
    assert dictionary.transform_n_nonzero_coefs == n // 10


def test_no_warning_is_lost():
    common = importlib.import_module("common")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for text in "It is so; do this.", "Another", "It is so; do that.":
            warnings.warn(text, UserWarning, stacklevel=1)
    assert common.texts_of(caught) == ["It is so", "Another"]


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


def test_page_shows_one_setting_of_an_experiment(page, tmp_path):
    """It is the largest of the proposed method; other methods may have larger ones."""
    lines = [line("paper", psnr=1.0, n_train=5), line("paper", psnr=2.0)]
    lines += [line("VAE", psnr=5.0, n_train=20), line("VAE", psnr=6.0)]
    lines += [line("paper", psnr=7.0) | {"learning_rate": 0.5}, line("VSC", n_train=5)]
    results = results_of(page, tmp_path, *lines, line("paper", 1, psnr=4.0))
    entries = {"experiment": "table 1", "data": "mnist"}
    assert results.methods(**entries) == ["VAE", "paper"]
    assert results.values("psnr", **entries, method="paper").tolist() == [2.0, 4.0]
    assert results.values("psnr", **entries, method="VAE").tolist() == [6.0]
    results = results_of(page, tmp_path, *lines[2:4])
    assert results.values("psnr", **entries, method="VAE").tolist() == [5.0]


def test_a_line_that_was_cut_off_is_left_out(page, tmp_path, capsys):
    common = importlib.import_module("common")
    path = tmp_path / "results.jsonl"
    whole = line("paper", psnr=1.0)
    path.write_text(json.dumps(whole) + "\n" + json.dumps(line("VAE"))[:40])
    assert common.read_results(path) == [whole]
    assert "not whole" in capsys.readouterr().out
    results = common.ResultsFile(Bunch(results=path))
    key = {name: whole[name] for name in common.NAMES}
    results.add(key | {"method": "VSC"}, {"psnr": np.float32(2), "warnings": ["text"]})
    added = common.read_results(path)[1]
    assert added["psnr"] == 2
    assert added["warnings"] == ["text"]
    assert added["method"] == "VSC"


def test_cell_has_mean_range_paper_and_difference(page):
    column = page.Column("", "accuracy", scale=100, printed={"paper": 70.0})
    ours = np.array([0.5, 0.75])
    first = "62.50 (50.00 to 75.00)"
    assert column.cell("paper", ours) == [first, "paper 70.00, -7.50"]
    assert column.cell("VAE", ours) == [first]
    assert column.cell("VAE", ours[:1]) == ["50.00"]
    assert column.cell("VAE", ours[:0]) == ["—"]
    # The difference is that of the figures that are shown.
    column = page.Column("", "psnr", printed={"paper": 16.366})
    assert column.cell("paper", np.array([16.874])) == ["16.87", "paper 16.37, +0.50"]


@pytest.mark.parametrize(
    ("ours", "others", "verdict"),
    [
        (3.0, [1.0, 2.0], "holds in 2 of 2"),
        (3.0, [1.0, 4.0], "holds in 1 of 2"),
        (3.0, [3.0, 1.0], "holds in 1 of 2, level in 1"),
        (3.0, [2.996, 1.0], "holds in 1 of 2, level in 1"),
        (3.0, [1.0], "holds in 1 of 1; 1 not run"),
        (3.0, [4.0, 5.0], "holds in 0 of 2"),
    ],
)
def test_claim_is_judged_by_the_means(page, tmp_path, ours, others, verdict):
    lines = [
        line(name, psnr=value)
        for name, value in zip(("VSC", "VAE"), others, strict=False)
    ]
    results = results_of(page, tmp_path, *lines)
    Claim = importlib.import_module("claims").Claim
    claim = Claim("text", "table 1", "psnr", ("VSC", "VAE"), data=("mnist",))
    assert claim.row(results, {"mnist": "MNIST"}) is None
    # The mean over two seeds counts.
    lines += [line("paper", seed, psnr=ours + seed - 0.5) for seed in (0, 1)]
    row = claim.row(results_of(page, tmp_path, *lines), {"mnist": "MNIST"})
    assert row[:2] == [["text"], [verdict]]
    assert row[2][0].startswith(f"MNIST, 10 images: proposed {ours:.2f}, VSC ")


def test_claims_are_about_what_the_scripts_measure(case, recorder):
    """A claim whose names are misspelt would be left out of the page silently."""
    measured_of = {}
    claims = importlib.import_module("claims")
    for claim in claims.CLAIMS + claims.ADDITIONS:
        script = claim.experiment.replace(" ", "_")
        module = importlib.import_module(script)
        assert {claim.method, *claim.others} <= set(module.METHODS)
        variants = getattr(module, "SCALES", getattr(module, "SIZES", (None,)))
        assert set(claim.variants) <= set(variants)
        if script in ("figure_6", "figure_7"):  # their functions are replaced elsewhere
            assert claim.figure == "accuracy"
            continue
        if script not in measured_of:
            measured_of[script] = module.measure(case.images, case.key, case.fit)
        assert claim.figure in measured_of[script]


@pytest.mark.parametrize(("ours", "n_true"), [(0.331, 1), (0.326, 1), (0.324, 0)])
def test_claim_of_at_least_the_paper(page, tmp_path, ours, n_true):
    """Figures are equal if they are so to the digits that are shown."""
    Claim = importlib.import_module("claims").Claim
    claim = Claim("", "table 1", "psnr", data=("mnist",), printed=lambda *_: 0.33)
    results = results_of(page, tmp_path, line("paper", psnr=ours))
    assert claim.row(results, {"mnist": "MNIST"})[1] == [f"holds in {n_true} of 1"]
    claim = Claim(
        "", "table 1", "psnr", data=("mnist", "svhn"), printed=lambda *_: 0.33
    )
    assert claim.row(results, {"mnist": "MNIST"})[1][0].endswith("; 1 not run")


def test_warnings_are_below_the_table(page, tmp_path):
    figures = {"psnr": 1.0, "n_active": 2.0, "sparse_psnr": 3.0}
    lines = [line(name, **figures, warnings=["It is so"]) for name in ("VSC", "VAE")]
    made = page.table_1(results_of(page, tmp_path, *lines), "mnist")
    assert made.endswith("\n\nWarning of VAE, VSC: It is so.")


def test_methods_with_other_seeds_are_named(page):
    lines = [line("paper"), line("VAE"), line("VSC")]
    assert page._seeds(lines) == ""
    lines += [line("paper", 2), line("paper", 2, psnr=1.0)]
    assert page._seeds(lines) == "\n\nSeeds: 0 of VAE, VSC; 0, 2 of **proposed**."


def test_warnings_that_differ_in_numbers_are_one(page):
    texts = "9 of 100 rows (1, 2, ...) are 5%", "12 of 100 rows (7) are 7.5%.", "{5}"
    lines = [line("paper", warnings=[text]) for text in texts]
    lines += [line("VAE", warnings=[texts[0]]), line("defaults")]
    assert page._warnings(lines).split("\n\n") == [
        "",
        "Warning of **proposed**: 12 of 100 rows are 7.5% (and 1 alike).",
        "Warning of **proposed**: {5}.",
        "Warning of VAE: 9 of 100 rows are 5%.",
        "Warnings were not recorded for **our defaults**.",
    ]


def test_text_has_figures_of_the_results(page, tmp_path):
    lines = [line("paper", psnr=1.0), line("paper", 1, psnr=2.5)]
    lines.append(line("short-run, 100 steps", n_active=7.6) | {"variant": 0.3})
    lines.append(line("paper", accuracy=0.5) | {"experiment": "table 3"})
    results = results_of(page, tmp_path, *lines)
    text = (
        "{=psnr|table 1|mnist|paper}, {=accuracy|table 3|mnist|paper} %, {=psnr|x|y|z}"
    )
    assert page.fill_in(results, text) == "1.8, 50.0 %, —"
    text = "{=n_active|table 1|mnist|short-run, 100 steps|.3} codes"
    assert page.fill_in(results, text) == "8 codes"


def test_figure_6_has_the_number_of_active_codes(page, tmp_path):
    entries = {"experiment": "figure 6", "variant": 50}
    lines = [line("VSC", accuracy=[0.5, 0.7], n_active=25.4) | entries]
    made = page.figure_6(results_of(page, tmp_path, *lines), "mnist")
    assert "     - | 60.0 (50.0 to 70.0)\n       | 25 active\n" in made


def test_last_of_lines_with_the_same_names_counts(page, tmp_path):
    results = results_of(page, tmp_path, line("VAE", psnr=1.0), line("VAE", psnr=5.0))
    entries = {"experiment": "table 1", "data": "mnist", "method": "VAE"}
    assert results.values("psnr", **entries).tolist() == [5.0]


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


@pytest.mark.parametrize("data", ["mnist", "svhn"])
def test_pictures_of_colour_images_are_not_published(
    data, images, tmp_path, monkeypatch
):
    common = importlib.import_module("common")
    fits, pictures = tmp_path / "fits", tmp_path / "pictures"
    monkeypatch.setattr(common, "PICTURES", pictures)
    folders = "--checkpoints", fits, "--results", tmp_path / "results.jsonl"
    monkeypatch.setattr(sys, "argv", list(map(str, ("script", *folders))))

    def measure(images, key, fit):
        return {"psnr": 1.0}

    def draw(images, methods, fit):
        yield "name", common.show_rows({"test": images.X_test[:1]}, images.image_shape)

    options = {"methods": ["PCA"], "data": [data], "seeds": [0]}
    common.run("figure", "", measure, draw, **options)
    folder = pictures if data == "mnist" else fits
    assert [*tmp_path.glob("*/*.png")] == [folder / f"name_{data}.png"]


@useless_fits
def test_page_of_other_files(page, images, tmp_path, monkeypatch):
    run("figure_1.py", tmp_path, monkeypatch, "--data", "mnist", "--seeds", 0)
    made = tmp_path / "page.rst"
    files = {"results": "results.jsonl", "pictures": "pictures", "page": made.name}
    argv = [text for name, file in files.items() for text in (f"--{name}", file)]
    monkeypatch.setattr(sys, "argv", ["results_page.py", *argv])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(PAPER / "results_page.py"), run_name="__main__")
    text = made.read_text()
    assert ".. figure:: pictures/figure_1_mnist.png\n" in text
    settings = "--epochs 3 --learning-rate 0.03 --seeds 0``"
    options = f"``--data mnist --n-train 110 --n-test 40 {settings}"
    assert text.count(options) == 2  # of the table and the picture
    # The sentences are about other results.
    assert "In short" not in text
    assert "What is better" not in text
    assert "{" not in text
    assert "alpha = 0.5 leaves fewer active codes" in text
    assert (tmp_path / "pictures/figure_1_mnist.png").exists()


def test_printed_tables_are_in_standard_units():
    """The paper's PSNR is halved, and Tables 1 and 4 have the same model."""
    printed = importlib.import_module("printed")
    for data in "mnist", "fashion_mnist":
        assert printed.TABLE_1["paper"][data] == printed.TABLE_4_PSNR["paper"][data]
    assert printed.TABLE_1["paper"]["mnist"] == 18.6
    # Twice the ratio is what the paper prints: 20 log10(1 / MSE) of an error with four
    # decimals, up to the rounding of halves and the paper's own.
    errors = np.arange(1, 10000) / 10000
    rows = [printed.TABLE_1["paper"], printed.TABLE_1["short-run"]]
    rows += [
        printed.TABLE_4_PSNR["Langevin noise"],
        printed.TABLE_4_PSNR["constant sparsity"],
    ]
    for ratio in (value for row in rows for value in row.values()):
        assert abs(2 * ratio + 20 * np.log10(errors)).min() <= 0.015
    # The paper has these two the other way round in its two tables.
    table_1, table_4 = printed.TABLE_1["paper"], printed.TABLE_4_PSNR["paper"]
    assert (table_1["svhn"], table_1["celeba64"]) == (
        table_4["celeba64"],
        table_4["svhn"],
    )
