"""What the scripts of this folder share: options, data, methods and results.

Each script has a function `measure`, which returns the figures of one method, and a
function `draw` where the paper has a picture. Both are given `fit`, which returns a
method fitted to the training images.
"""

import argparse
import functools
import json
import os
import sys
import warnings
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import FunctionTransformer

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder, __version__
from sklearn_sparsegen.baselines import (
    ABPEncoder,
    ShortRunEncoder,
    TopKEncoder,
    VAEEncoder,
    VarianceSparseEncoder,
    VSCEncoder,
)
from sklearn_sparsegen.callbacks import Checkpoint
from sklearn_sparsegen.datasets import load_images

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs/results/paper.jsonl"
PICTURES = ROOT / "docs/images/paper"
# Number of components and hidden layers, as in Section 4 of the paper.
SIZES = {
    "mnist": (200, (400,)),
    "fashion_mnist": (200, (400,)),
    "svhn": (400, (2000, 2000)),
    "celeba64": (800, (2000, 2000)),
}
GREY = "mnist", "fashion_mnist"
COLOUR = "svhn", "celeba64"
# What methods are called in pictures and on the page, where it is not their name.
LABELS = {
    "paper": "proposed",
    "paper, shorter steps": "proposed, shorter steps",
    "defaults": "our defaults",
    "few codes": "ours, few codes",
}
# What identifies a result.
NAMES = "experiment", "data", "method", "seed", "variant", "n_train", "n_test"
NAMES += "epochs", "learning_rate"


def parse_options(description, *, methods, data=GREY + COLOUR, seeds=(0, 1, 2)):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data", nargs="+", choices=SIZES, default=list(data), help="data sets")
    add("--methods", nargs="+", choices=methods, default=list(methods), help="methods")
    add("--seeds", nargs="+", type=int, default=list(seeds), help="random states")
    add("--n-train", type=int, help="number of training images; None: all")
    add("--n-test", type=int, help="number of test images; None: all")
    add("--epochs", type=int, default=40, help="epochs of the paper's methods")
    add("--learning-rate", type=float, default=1e-4, help="of the paper's methods")
    add("--device", default="auto", help="a torch device, or auto")
    add("--results", type=Path, default=RESULTS, help="file of the results")
    text = "folder of the pictures; by default, colour ones are with the fits"
    add("--pictures", type=Path, default=PICTURES, help=text)
    checkpoints = ROOT / "checkpoints"
    add("--checkpoints", type=Path, default=checkpoints, help="folder of the fits")
    return parser.parse_args()


# The defaults when the results were made: a linear start, and no dictionary.
LINEAR = {
    "init": "linear",
    "skip_connection": False,
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "decay": 0.033,
    "n_steps": 4,
    "transform_n_steps": None,
    "max_iter": 200,
    "tol": 0.005,
}


def run(experiment, description, measure, draw=None, *, variants=(None,), **defaults):
    """Run an experiment: append the results that are missing, then draw the pictures.

    Parameters
    ----------
    experiment : str
        Name of the table or figure.

    description : str
        What `--help` says.

    measure : callable
        `measure(images, key, fit)` returns the figures of a result, by name. `key` has
        its method, seed and variant.

    draw : callable or None
        `draw(images, methods, fit)` yields names of pictures, and figures. It is called
        where all methods are run.

    variants : tuple
        Settings that have their own results, such as scales of noise.

    **defaults : dict
        What `parse_options` takes.
    """
    options = parse_options(description, **defaults)
    torch.set_num_threads(1)
    try:
        run_all(experiment, options, measure, draw, variants, defaults["methods"])
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on from here.")


def run_all(experiment, options, measure, draw, variants, methods):
    """Run an experiment on each data set, and draw where all `methods` are run."""
    results = ResultsFile(options)
    for data in options.data:
        images = load(data, options)
        fitted = functools.partial(fit, data=data, images=images, options=options)
        missing = list(results.missing(experiment, data, images, variants))
        print(f"{experiment}, {data}: results to compute: {len(missing)}", flush=True)
        for key in missing:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ConvergenceWarning)
                figures = measure(images, key, fitted)
            results.add(key, figures | {"warnings": texts_of(caught)})
        if draw is None:
            continue
        if set(options.methods) != set(methods):
            print(f"{experiment}, {data}: no picture without all methods", flush=True)
            continue
        fitted = functools.partial(fitted, seed=options.seeds[0])
        sizes = len(images.X_train), len(images.X_test)
        settings = options.epochs, options.learning_rate, options.seeds[:1]
        command = options_of(data, *sizes, *settings)
        folder = options.pictures
        if folder == PICTURES and data in COLOUR:
            # The licences do not allow pictures of these images to be published.
            folder = options.checkpoints
        folder.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # Fits that are read give their warnings again; the results have them.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for name, figure in draw(images, options.methods, fitted):
                # The page shows the options below the picture.
                path, about = folder / f"{name}_{data}.png", {"Description": command}
                figure.savefig(path, dpi=80, metadata=about)
                plt.close(figure)
                print(f"{experiment}, {data}: {path}", flush=True)


def options_of(data, n_train, n_test, epochs, learning_rate, seeds):
    """Return the options of the command line that make a result."""
    return (
        f"--data {data} --n-train {n_train} --n-test {n_test} --epochs {epochs} "
        f"--learning-rate {learning_rate:g} --seeds {' '.join(map(str, seeds))}"
    )


def texts_of(caught):
    """Return each warning up to its advice, which begins with a semicolon."""
    texts = [str(warning.message) for warning in caught]
    return list(dict.fromkeys(text.partition("; ")[0] for text in texts))


def load(name, options):
    """Return a data set with the number of images that the options ask for."""
    images = load_images(name)
    for part, n in ("train", options.n_train), ("test", options.n_test):
        for key in f"X_{part}", f"y_{part}", f"attributes_{part}":
            if key in images:
                images[key] = images[key][:n]
    return images


class ResultsFile:
    """The file of results, to which a line is appended as soon as it is known."""

    def __init__(self, options):
        self.options = options
        self.known, self.start = set(), ""
        if options.results.exists():
            lines = read_results(options.results)
            self.known = {tuple(line[name] for name in NAMES) for line in lines}
            # What was cut off ends where it is, and a new line begins.
            is_whole = options.results.read_text().endswith("\n")
            self.start = "" if is_whole else "\n"

    def missing(self, experiment, data, images, variants):
        """Yield what identifies each result that is not known yet."""
        sizes = len(images.X_train), len(images.X_test)
        settings = self.options.epochs, self.options.learning_rate
        for seed in self.options.seeds:
            for method in self.options.methods:
                for variant in variants:
                    key = experiment, data, method, seed, variant, *sizes, *settings
                    if key not in self.known:
                        yield dict(zip(NAMES, key, strict=True))

    def add(self, key, figures):
        """Append a result to the file, and print it."""
        figures = {
            name: np.round(value, 5).tolist() if np.all(np.isreal(value)) else value
            for name, value in figures.items()
        }
        line = json.dumps(key | figures | {"version": __version__})
        self.options.results.parent.mkdir(parents=True, exist_ok=True)
        with open(self.options.results, "a") as file:
            file.write(f"{self.start}{line}\n")
            file.flush()
            os.fsync(file.fileno())
        self.start = ""
        print(line, flush=True)


def read_results(path):
    """Return the lines of a file of results, without those that were cut off."""
    results = []
    for line in filter(None, path.read_text().splitlines()):
        try:
            results.append(json.loads(line))
        except json.JSONDecodeError:
            print(f"{path}: left out a line that is not whole: {line[:60]}")
    return results


def make_method(name, data, seed, options, n_components=None):
    """Return an estimator that is not fitted.

    The methods of the paper have its settings, and the same generator, number of epochs
    and learning rate. The others have their own defaults, but VarianceSparse 20 epochs
    and the dictionary 5 passes in batches of 256; those that are told how many codes to
    use have a tenth of the number of components.
    """
    n_default, hidden_layer_sizes = SIZES[data]
    n = n_components or n_default
    few = max(n // 10, 1)
    size = {"n_components": n, "device": options.device, "random_state": seed}
    ours = size | {"hidden_layer_sizes": hidden_layer_sizes}
    baseline = ours | {
        "sigma": PAPER_SETTINGS["sigma"],
        "output_activation": "auto",
        "batch_size": 100,
        "max_iter": options.epochs,
        "learning_rate_init": options.learning_rate,
        "tol": None,
    }
    paper = PAPER_SETTINGS | baseline
    sparsegen = SparseGeneratorEncoder
    return {
        "raw pixels": FunctionTransformer,
        "VSC": lambda: VSCEncoder(**baseline, alpha=0.01),
        "VAE": lambda: VAEEncoder(**baseline),
        "beta-VAE": lambda: VAEEncoder(**baseline, beta=4),
        "ABP": lambda: ABPEncoder(**baseline),
        "short-run": lambda: ShortRunEncoder(**baseline),
        "paper": lambda: sparsegen(**paper),
        "alpha = 1": lambda: sparsegen(**paper | {"alpha": 1.0}),
        "alpha = .5": lambda: sparsegen(**paper | {"alpha": 0.5}),
        "Langevin noise": lambda: sparsegen(**paper | {"solver": "langevin"}),
        "constant sparsity": lambda: sparsegen(**paper | {"alpha_init": 0.01}),
        "defaults": lambda: sparsegen(**ours | LINEAR),
        "few codes": lambda: sparsegen(**ours | LINEAR, n_nonzero_coefs=few),
        "variance sparse": lambda: VarianceSparseEncoder(**ours, max_iter=20, tol=None),
        "TopK": lambda: TopKEncoder(**size, n_nonzero_coefs=few),
        "dictionary": lambda: MiniBatchDictionaryLearning(
            n,
            batch_size=256,
            max_iter=5,
            transform_algorithm="omp",
            transform_n_nonzero_coefs=few,
            random_state=seed,
        ),
        "PCA": lambda: PCA(few, random_state=seed),
        "PCA, dense": lambda: PCA(n, random_state=seed),
    }[name]()


def fit(method, *, data, images, seed, options, n_components=None):
    """Return a method fitted to the training images.

    A fit that was stopped goes on, and one that was finished is read from its file.
    """
    estimator = make_method(method, data, seed, options, n_components)
    if hasattr(estimator, "set_callbacks"):
        estimator.set_callbacks(Checkpoint(options.checkpoints, every=5))
        return estimator.fit(images.X_train)
    memory = joblib.Memory(options.checkpoints, verbose=0)
    return memory.cache(type(estimator).fit)(estimator, images.X_train)


def reconstruct(estimator, X):
    """Return images reconstructed from the codes of X."""
    return decode(estimator, estimator.transform(X))


def decode(estimator, codes):
    return np.asarray(estimator.inverse_transform(codes), np.float32)


def add_noise(X, scale, seed):
    """Return images with normal noise, which may leave the range from 0 to 1."""
    noise = np.random.default_rng(seed).standard_normal(X.shape, dtype=np.float32)
    return X + np.float32(scale) * noise


def show(ax, image, image_shape):
    """Draw an image, clipped to the range from 0 to 1."""
    image = image.reshape(image_shape).clip(0, 1)
    ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])


def show_restored(images, methods, fit, scales):
    """Return a figure of images with noise of some scales, and of what is restored."""
    X = images.X_test[:4]
    noisy = np.concatenate([add_noise(X, scale, seed=0) for scale in scales])
    rows = {method: reconstruct(fit(method), noisy) for method in methods}
    titles = [f"noise {scale}" * (i == 0) for scale in scales for i in range(len(X))]
    return show_rows({"noisy": noisy, **rows}, images.image_shape, titles)


def show_rows(rows, image_shape, titles=None):
    """Return a figure with a row of images for each name, and titles of the columns."""
    n = len(next(iter(rows.values())))
    size = {"figsize": (0.8 * n + 1.5, 0.8 * len(rows)), "layout": "constrained"}
    figure, axes = plt.subplots(len(rows), n, squeeze=False, **size)
    for row, (name, images) in zip(axes, rows.items(), strict=True):
        label = LABELS.get(name, name)
        row[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for ax, image in zip(row, images, strict=True):
            show(ax, image, image_shape)
    for ax, title in zip(axes[0], titles or [], strict=False):
        ax.set_title(title, fontsize="medium", loc="left")
    return figure
