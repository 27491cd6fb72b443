"""How much faster several processes train, and how long they wait for each other.

    python tests/benchmarks/processes.py docs/results/processes.txt

Each process has one thread, and the same number of rows of its own, so that two of them
train on twice the rows. Runs of one process, of two, and of two that do not belong
together, take turns. A step waits for the sum of the gradients over all processes, and
the time of this sum is measured by itself.
"""

import datetime
import multiprocessing
import platform
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from settings import LINEAR

from sklearn_sparsegen import SparseGeneratorEncoder

MNIST = "MNIST's shape: 784 features, 200 components, 400 hidden units"
COLOUR = "the paper's for colour: 12,288 features, 800 components, 2,000 + 2,000 units"
# The features, the rows of a process, the repeats of each way, and the parameters.
CASES = {
    f"{MNIST}, batches of 100": (784, 5000, 7, {"max_iter": 3, "batch_size": 100}),
    f"{MNIST}, batches of 500": (784, 5000, 7, {"max_iter": 3, "batch_size": 500}),
    f"{COLOUR}, batches of 100": (
        12288,
        500,
        3,
        {
            "n_components": 800,
            "hidden_layer_sizes": (2000, 2000),
            "max_iter": 1,
            "batch_size": 100,
        },
    ),
}
# The sizes of the groups that work at the same time.
WAYS = {"one": [1], "two": [2], "two without exchange": [1, 1]}


def sparse_rows(n_rows, n_features, seed):
    """Return rows that are sums of few of fifty patterns, and noise."""
    patterns = np.random.default_rng(0).normal(size=(50, n_features))
    rng = np.random.default_rng(seed)
    codes = rng.uniform(0.5, 1.5, size=(n_rows, 50)) * (
        rng.uniform(size=(n_rows, 50)) < 0.1
    )
    X = codes @ patterns + 0.1 * rng.normal(size=(n_rows, n_features))
    return X.astype(np.float32)


def work(rank, size, case, path, connection):
    """Send the seconds of a fit, those of its sums of gradients, and their bytes."""
    n_features, n_rows, _, parameters = case
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group(
        "gloo",
        init_method=f"file://{path}",
        rank=rank,
        world_size=size,
        timeout=datetime.timedelta(minutes=5),
    )
    X = sparse_rows(n_rows, n_features, rank)
    settings = LINEAR | {"tol": None, "warm_start": True, "random_state": 0}
    encoder = SparseGeneratorEncoder(**settings | parameters).fit(X)
    flat = torch.cat([p.detach().ravel() for p in encoder.generator_.parameters()])
    while connection.recv() == "fit":
        dist.barrier()
        start = time.perf_counter()
        encoder.fit(X)
        seconds = time.perf_counter() - start
        dist.barrier()
        start = time.perf_counter()
        for _ in range(n_steps(case)):
            dist.all_reduce(torch.zeros(2, dtype=torch.float64))
            dist.all_reduce(flat)
        connection.send((seconds, time.perf_counter() - start, flat.nbytes))
    dist.destroy_process_group()


def n_steps(case):
    """Return the number of steps of the optimiser in a fit."""
    _, n_rows, _, parameters = case
    return parameters["max_iter"] * -(-n_rows // parameters["batch_size"])


class Processes:
    """Processes of groups of the given sizes, which work at the same time."""

    def __init__(self, sizes, case, folder):
        context = multiprocessing.get_context("spawn")
        self.connections = []
        for size in sizes:
            group = Path(tempfile.mkdtemp(dir=folder)) / "group"
            for rank in range(size):
                here, there = context.Pipe()
                args = rank, size, case, group, there
                context.Process(target=work, args=args, daemon=True).start()
                self.connections.append(here)

    def fit(self):
        """Return the seconds of the slowest process, of the sums, and their bytes."""
        for connection in self.connections:
            connection.send("fit")
        results = [connection.recv() for connection in self.connections]
        return [max(column) for column in zip(*results, strict=True)]

    def end(self):
        for connection in self.connections:
            connection.send("end")


def main(path):
    with Path(path).open("w") as file:

        def write(text):
            print(text, file=file, flush=True)
            print(text, flush=True)

        write(
            f"{platform.machine()}, one thread a process, Gloo, torch "
            f"{torch.__version__}, float32"
        )
        write("medians, smallest and largest in brackets")
        for name, case in CASES.items():
            with tempfile.TemporaryDirectory() as folder:
                groups = [Processes(sizes, case, folder) for sizes in WAYS.values()]
                runs = [[group.fit() for group in groups] for _ in range(case[2])]
                for group in groups:
                    group.end()
            write(f"\n{name}")
            report(write, case, list(zip(*runs, strict=True)))


def report(write, case, runs):
    """Write the table for the runs of the three ways."""
    n_rows, rates = case[1] * case[3]["max_iter"], []
    for (way, sizes), results in zip(WAYS.items(), runs, strict=True):
        rates.append([sum(sizes) * n_rows / seconds for seconds, _, _ in results])
        write(f"  {way:<33} {spread(rates[-1], ',.0f')} rows a second")
    for way, pair in zip(list(WAYS)[1:], rates[1:], strict=True):
        ratios = [two / one for one, two in zip(rates[0], pair, strict=True)]
        write(f"  {way + ', against one':<33} {spread(ratios, '.2f')} times")
    steps = [1000 * seconds / n_steps(case) for seconds, _, _ in runs[0]]
    sums = [1000 * seconds / n_steps(case) for _, seconds, _ in runs[1]]
    shares = [100 * seconds / whole for whole, seconds, _ in runs[1]]
    size = runs[1][0][2] / 1e6
    write(f"  a step of one process: {spread(steps, '.1f')} ms")
    write(
        f"  the sum of the gradients of two ({size:.1f} MB): {spread(sums, '.2f')} ms, "
        f"{spread(shares, '.1f')} % of their step"
    )
    # In a ring of N processes each sends 2 (N - 1) / N times the gradients, which is
    # once with two processes.
    step, one_sum = statistics.median(steps), statistics.median(sums)
    for n in (8, 64):
        factor = n * step / (step + 2 * (n - 1) / n * one_sum)
        write(f"  {n} processes with CPUs of their own, computed: {factor:.1f} times")


def spread(values, form):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}}, {high:{form}})"


if __name__ == "__main__":
    main(sys.argv[1])
