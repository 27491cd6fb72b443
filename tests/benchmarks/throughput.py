"""Rows a second of `transform` on one core, and core-hours of a thousand million rows.

    SPARSEGEN_DATA=folder python tests/benchmarks/throughput.py OUTPUT

fits two encoders with one torch thread: one with all defaults to 10,000 images of
MNIST, and one with the paper's network for CelebA, float32, to the images of CelebA
that there are. Their schedules are shorter than the default, so that few epochs are
enough for sparse codes. The rate is the median of seven calls of `transform` on test
images, after one that is not timed; beside it stand the smallest and the largest. The
results are written to OUTPUT as they come. It takes about ten minutes.
"""

import platform
import sys
import time
import warnings

import numpy as np
import torch
from settings import LINEAR
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.datasets import load_images

warnings.simplefilter("ignore", ConvergenceWarning)
torch.set_num_threads(1)

N_REPEATS = 7
SHARED = LINEAR | {"tol": None, "sparse_output": True, "random_state": 0}
# The set, the number of training and of test images, and the encoder.
PROBLEMS = {
    "MNIST, 200-400-784": (
        "mnist",
        10_000,
        4096,
        SparseGeneratorEncoder(**SHARED | {"decay": 0.1, "max_iter": 15}),
    ),
    "CelebA, 800-2000-2000-12288": (
        "celeba64",
        8000,
        512,
        SparseGeneratorEncoder(
            800,
            hidden_layer_sizes=(2000, 2000),
            **SHARED | {"decay": 1.0, "max_iter": 2},
        ),
    ),
}


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(encoder, X):
    """Return the cells of a line of the table."""
    codes = encoder.transform(X)
    times = [seconds(lambda: encoder.transform(X)) for _ in range(N_REPEATS)]
    slowest, rate, fastest = (len(X) / f(times) for f in (np.max, np.median, np.min))
    return (
        f"{encoder.transform_n_steps:<6} {codes.nnz / len(X):<7.1f} {rate:<8.0f} "
        f"{f'{slowest:.0f} to {fastest:.0f}':<15} {1e9 / rate / 3600:.0f}"
    )


def main(path):
    with open(path, "w") as file:

        def write(line):
            for place in (None, file):
                print(line, file=place, flush=True)

        write(f"{platform.machine()}, one thread, torch {torch.__version__}")
        write(
            "generator                    steps  active  rows/s   spread          "
            "core-hours for 1e9 rows"
        )
        for name, (data, n_train, n_test, encoder) in PROBLEMS.items():
            images = load_images(data)
            encoder.fit(images.X_train[:n_train])
            for n_steps in (4, 30):
                encoder.set_params(transform_n_steps=n_steps)
                write(f"{name:<28} {measure(encoder, images.X_test[:n_test])}")


if __name__ == "__main__":
    main(sys.argv[1])
