"""The defaults beside a TopK autoencoder, and beside the linear start.

    SPARSEGEN_DATA=folder python tests/benchmarks/learned_start.py

fits each method, one after the other in one process and on one thread, with three
seeds, of which each has a split of its own. It prints a table in CSV: the CPU time of
`fit` over that of the autoencoder, R2 and active codes of rows that were not fitted to,
and the accuracy of logistic regression on standardised codes of all training rows; each
as the mean over the seeds, and the range.
"""

import csv
import sys
import time
import warnings

import numpy as np
import torch
from settings import LINEAR
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.baselines import TopKEncoder
from sklearn_sparsegen.datasets import load_images

torch.set_num_threads(1)
SEEDS = 0, 1, 2
SCHEDULE = {"learning_rate": "cosine", "max_iter": 20, "tol": None}
# What is fitted, and the steps of inference with which its codes are measured.
METHODS = {
    "TopK autoencoder": (
        TopKEncoder(n_nonzero_coefs=26, learning_rate_init=0.01, **SCHEDULE),
        [None],
    ),
    "autoencoder with a correction": (
        SparseGeneratorEncoder(n_nonzero_coefs=26, n_steps=0),
        [0, 2, 10],
    ),
    "defaults": (SparseGeneratorEncoder(), [0, 4, 10]),
    "linear start, no dictionary": (SparseGeneratorEncoder(**LINEAR), [4]),
}


def problems(seed):
    """Yield name, training data, classes, test data and classes."""
    for name, load in ("digits", load_digits), ("breast cancer", load_breast_cancer):
        X, y = load(return_X_y=True)
        X = StandardScaler().fit_transform(X) if name == "breast cancer" else X
        split = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
        yield name, *(split[i] for i in (0, 2, 1, 3))
    for name in "mnist", "fashion_mnist":
        images = load_images(name)
        rows = np.random.default_rng(seed).permutation(len(images.X_train))[:3000]
        train = images.X_train[rows], images.y_train[rows]
        yield name, *train, images.X_test[:3000], images.y_test[:3000]


def measure(encoder, X, y, X_test, y_test):
    Z, Z_test = encoder.transform(X), encoder.transform(X_test)
    X_hat = encoder.inverse_transform(Z_test)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.003))
    return {
        "R2": r2_score(X_test, X_hat, multioutput="variance_weighted"),
        "active": (Z_test != 0).sum(1).mean(),
        "accuracy": classifier.fit(Z, y).score(Z_test, y_test),
    }


def main():
    warnings.simplefilter("ignore")
    results = {}
    for seed in SEEDS:
        for data, *parts in problems(seed):
            base = None
            for method, (encoder, all_steps) in METHODS.items():
                start = time.process_time()
                encoder = clone(encoder).set_params(random_state=seed).fit(parts[0])
                seconds = time.process_time() - start
                base = base or seconds
                for n_steps in all_steps:
                    if n_steps is not None:
                        encoder.set_params(transform_n_steps=n_steps)
                    line = {"fit": seconds / base} | measure(encoder, *parts)
                    results.setdefault((data, method, n_steps), []).append(line)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(
        ["data", "method", "steps", "fit (times)", "R2", "active", "accuracy"]
    )
    for key, lines in results.items():
        cells = []
        for name, digits in ("fit", 1), ("R2", 3), ("active", 1), ("accuracy", 3):
            values = [line[name] for line in lines]
            mean, least, most = np.mean(values), min(values), max(values)
            cells.append(f"{mean:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})")
        writer.writerow([*key, *cells])


if __name__ == "__main__":
    main()
