"""The defaults on many data sets: are the codes sparse, faithful and useful?

    SPARSEGEN_DATA=folder python tests/benchmarks/defaults.py [file.jsonl [name=value]]

fits `SparseGeneratorEncoder()` with all defaults, and MLPClassifier() with all defaults
on its codes, for three seeds, of which each has a split and an initialisation of its
own, and prints a table in CSV. Each result is written to the file as it comes; results
that are in the file are not computed again. Parameters of the encoder may be added, to
compare them with the defaults. It takes less than an hour on one core.
"""

import ast
import csv
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn import datasets
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.datasets import load_images

torch.set_num_threads(1)
SEEDS = 0, 1, 2


def sparse_factors(n_samples=2000, n_features=50, n_factors=30, seed=0):
    """Return data of non-negative sparse factors, the class and the factors.

    A factor is active in 15 % of the rows. The class is the largest of the first
    five factors, or none of them.
    """
    rng = np.random.default_rng(seed)
    active = rng.uniform(size=(n_samples, n_factors)) < 0.15
    factors = np.abs(rng.normal(size=active.shape)) * active
    directions = rng.normal(size=(n_factors, n_features))
    X = factors @ directions + 0.1 * rng.normal(size=(n_samples, n_features))
    first = factors[:, :5]
    return X, np.where(first.any(1), first.argmax(1), 5), factors


def tables():
    """Yield name, data and class of the data sets that scikit-learn ships."""
    for name in "iris", "wine", "breast_cancer", "diabetes", "digits":
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        if name == "diabetes":
            y = y > 140
        yield f"{name}, raw", X, y
        yield f"{name}, standardised", StandardScaler().fit_transform(X), y
        yield f"{name}, in [0, 1]", MinMaxScaler().fit_transform(X), y
    X, y = datasets.load_digits(return_X_y=True)
    yield "digits * 50 / 16 + 300", X * 50 / 16 + 300, y


def problems(seed):
    """Yield name, training data, classes, test data, classes, and factors or None."""
    for name, X, y in tables():
        split = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
        yield name, *(split[i] for i in (0, 2, 1, 3)), None
    X, y, factors = sparse_factors(seed=seed)
    yield "sparse factors", X[:1500], y[:1500], X[1500:], y[1500:], factors[1500:]
    for name in "mnist", "fashion_mnist":
        try:
            images = load_images(name, download_if_missing=False)
        except FileNotFoundError as error:
            print(error, file=sys.stderr)
            continue
        X, y = images.X_train, images.y_train
        X_test, y_test = images.X_test[:3000], images.y_test[:3000]
        rows = np.random.default_rng(seed).permutation(len(X))
        for n in 3000, 10_000:
            part = rows[:n]
            yield f"{name}, {n}", X[part], y[part], X_test, y_test, None
        part = rows[:3000]
        yield (
            f"{name} * 255, 3000",
            *(X[part] * 255, y[part], X_test * 255, y_test, None),
        )


def accuracy(features, y, features_test, y_test, seed):
    classifier = MLPClassifier(random_state=seed).fit(features, y)
    return classifier.score(features_test, y_test)


def recovery(codes, factors):
    """Return the mean correlation of the factors with the codes matched to them."""
    stacked = np.corrcoef(factors.T, codes.T)[: factors.shape[1], factors.shape[1] :]
    correlation = np.abs(np.nan_to_num(stacked))
    return correlation[linear_sum_assignment(-correlation)].mean()


def measure(X, y, X_test, y_test, factors, seed, parameters):
    start = time.process_time()
    encoder = SparseGeneratorEncoder(random_state=seed, **parameters).fit(X)
    seconds = time.process_time() - start
    codes, codes_test = encoder.transform(X), encoder.transform(X_test)
    active = codes_test != 0
    # Variance weighted, as the columns of raw tables have very different variances.
    r2 = r2_score(
        X_test - X.mean(0),
        encoder.inverse_transform(codes_test) - X.mean(0),
        multioutput="variance_weighted",
    )
    result = {
        "codes": accuracy(codes, y, codes_test, y_test, seed),
        "R2": float(r2),
        "active": float(active.sum(1).mean()),
        "components": active.shape[1],
        "empty": float((~active.any(1)).mean()),
        "scale": float(np.sqrt(np.mean(codes_test[active] ** 2))),
        "in use": int((codes != 0).any(0).sum()),
        "epochs": encoder.n_iter_,
        "seconds": seconds,
    }
    if factors is not None:
        result["recovery"] = float(recovery(codes_test, factors))
    return result


def reference(X, y, X_test, y_test, seed):
    """Return accuracies from raw features, from PCA and from a linear dictionary."""
    pca = PCA(min(200, *X.shape)).fit(X)
    # As in our encoder, the data are centred and divided by one number.
    mean, unit = X.mean(axis=0), np.sqrt(X.var(axis=0).mean())
    dictionary = MiniBatchDictionaryLearning(
        200,
        max_iter=5,
        fit_algorithm="cd",
        transform_n_nonzero_coefs=min(20, X.shape[1]),
        random_state=seed,
    ).fit((X - mean) / unit)
    sparse = [dictionary.transform((part - mean) / unit) for part in (X, X_test)]
    return {
        "raw": accuracy(X, y, X_test, y_test, seed),
        "PCA": accuracy(pca.transform(X), y, pca.transform(X_test), y_test, seed),
        "dictionary": accuracy(sparse[0], y, sparse[1], y_test, seed),
    }


def table(lines):
    """Return a row of cells for each data set: means over the seeds."""
    rows = []
    for name in dict.fromkeys(line["data"] for line in lines):
        own = [line for line in lines if line["data"] == name]
        mean = {
            key: np.mean([line.get(key, np.nan) for line in own])
            for key in own[0]
            if key != "data"
        }
        codes = [line["codes"] for line in own]
        row = {"data": name}
        for baseline in "raw", "PCA", "dictionary":
            row[baseline] = f"{mean.get(baseline, np.nan):.3f}"
        row["codes (range)"] = (
            f"{mean['codes']:.3f} ({min(codes):.3f} to {max(codes):.3f})"
        )
        row["R2"] = f"{mean['R2']:.3f}"
        row["active"] = f"{mean['active']:.1f} of {mean['components']:.0f}"
        row["no code"] = f"{mean['empty']:.1%}"
        row["in use"] = f"{mean['in use']:.0f}"
        row["epochs"] = f"{mean['epochs']:.0f}"
        rows.append(row)
    return rows


def main(path, parameters):
    warnings.simplefilter("ignore", ConvergenceWarning)
    known = [json.loads(line) for line in path.open()] if path.exists() else []
    done = {(line["data"], line["seed"]) for line in known}
    with path.open("a") as file:
        for seed in SEEDS:
            for name, X, y, X_test, y_test, factors in problems(seed):
                if (name, seed) in done:
                    continue
                line = {"data": name, "seed": seed}
                if not parameters:
                    line |= reference(X, y, X_test, y_test, seed)
                line |= measure(X, y, X_test, y_test, factors, seed, parameters)
                print(json.dumps(line), file=file, flush=True)
    rows = table([json.loads(line) for line in path.open()])
    writer = csv.DictWriter(sys.stdout, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "defaults.jsonl")
    pairs = (argument.split("=", 1) for argument in sys.argv[2:])
    main(path, {name: ast.literal_eval(value) for name, value in pairs})
