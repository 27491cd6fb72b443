"""What the score chooses: a grid over sigma and alpha, without labels.

    SPARSEGEN_DATA=folder python tests/benchmarks/score.py [file]

fits encoders to three quarters of the training data, and scores them on the rest. It
shows, for three seeds, the accuracy of MLPClassifier() on the test codes of the encoder
of the highest score, beside the best and the worst accuracy in the grid. Each fit is
written as it comes; fits that are in the file are not run again. It takes about an hour
on one core.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from defaults import SEEDS, accuracy, problems
from settings import LINEAR
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import ParameterGrid, train_test_split

from sklearn_sparsegen import SparseGeneratorEncoder

DATA = (
    "wine, standardised",
    "breast_cancer, standardised",
    "digits, raw",
    "sparse factors",
    "mnist, 3000",
    "fashion_mnist, 3000",
)
# The factor multiplies the value of sigma="auto".
GRID = ParameterGrid({"factor": [0.5, 1.0, 2.0], "alpha": [0.01, 0.05, 0.2]})


def measure(X, y, X_test, y_test, seed, factor, alpha):
    X, X_held_out, y, _ = train_test_split(X, y, random_state=seed, stratify=y)
    ratio = SparseGeneratorEncoder._signal_to_noise
    sigma = factor * np.sqrt(X.var(0).sum() / ratio)
    encoder = SparseGeneratorEncoder(
        **LINEAR, sigma=sigma, alpha=alpha, random_state=seed
    )
    codes, codes_test = encoder.fit_transform(X), encoder.transform(X_test)
    X_hat = encoder.inverse_transform(codes_test)
    return {
        "score": encoder.score(X_held_out),
        "accuracy": accuracy(codes, y, codes_test, y_test, seed),
        "R2": r2_score(X_test, X_hat, multioutput="variance_weighted"),
        "active": float((codes_test != 0).sum(1).mean()),
    }


def table(lines):
    rows = [
        f"{'data':<28} seed  chosen sigma, alpha  active  R2     accuracy  best   "
        "worst  defaults"
    ]
    for name in DATA:
        for seed in SEEDS:
            own = [
                line for line in lines if (line["data"], line["seed"]) == (name, seed)
            ]
            if len(own) < len(GRID):
                continue
            chosen = max(own, key=lambda line: line["score"])
            found = [line["accuracy"] for line in own]
            (default,) = (
                line["accuracy"]
                for line in own
                if (line["factor"], line["alpha"]) == (1.0, 0.05)
            )
            rows.append(
                f"{name:<28} {seed}     {chosen['factor']:.1f} auto, "
                f"{chosen['alpha']:<10.2f} {chosen['active']:<7.1f} "
                f"{chosen['R2']:<6.3f} {chosen['accuracy']:<9.3f} {max(found):.3f}  "
                f"{min(found):.3f}  {default:.3f}"
            )
    return "\n".join(rows)


def main(path):
    warnings.simplefilter("ignore", ConvergenceWarning)
    lines = [json.loads(line) for line in path.open()] if path.exists() else []
    keys = "data", "seed", "factor", "alpha"
    done = {tuple(line[key] for key in keys) for line in lines}
    with path.open("a") as file:
        for seed in SEEDS:
            for name, X, y, X_test, y_test, _ in problems(seed):
                for point in GRID if name in DATA else ():
                    line = {"data": name, "seed": seed, **point}
                    if tuple(line[key] for key in keys) in done:
                        continue
                    line |= measure(X, y, X_test, y_test, seed, **point)
                    lines.append(line)
                    print(json.dumps(line), file=file, flush=True)
    print(table(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "score.jsonl"))
