"""How much faster several processes train, and how long they wait for each other.

    python tests/benchmarks/processes.py docs/results/processes.txt

Each process has one thread, and the same number of rows of its own, so that two of them
train on twice the rows. Runs of one process, of two, and of two that do not belong
together, take turns. A step waits for the sum of the gradients over all processes, and
the time of this sum is measured by itself.
"""

import argparse
import datetime
import multiprocessing
import platform
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from sklearn_sparsegen import SparseGeneratorEncoder

CASES = {
    "MNIST's shape: 784 features, 200 components, 400 hidden units": {
        "n_features": 784,
        "n_rows": 5000,
        "settings": {},
    },
    "the paper's for colour: 12,288 features, 800 components, 2,000 + 2,000 units": {
        "n_features": 12288,
        "n_rows": 400,
        "settings": {"n_components": 800, "hidden_layer_sizes": (2000, 2000)},
    },
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
    """Send the seconds of an epoch, and those of the sums of gradients in it."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group(
        "gloo",
        init_method=f"file://{path}",
        rank=rank,
        world_size=size,
        timeout=datetime.timedelta(minutes=5),
    )
    X = sparse_rows(case["n_rows"], case["n_features"], rank)
    encoder = SparseGeneratorEncoder(
        max_iter=1, tol=None, warm_start=True, batch_size=100, random_state=0
    )
    encoder.set_params(**case["settings"]).fit(X)
    flat = torch.cat([p.detach().ravel() for p in encoder.generator_.parameters()])
    while connection.recv() == "epoch":
        dist.barrier()
        start = time.perf_counter()
        encoder.fit(X)
        seconds = time.perf_counter() - start
        dist.barrier()
        n_steps, start = -(-len(X) // 100), time.perf_counter()
        for _ in range(n_steps):
            dist.all_reduce(torch.zeros(2, dtype=torch.float64))
            dist.all_reduce(flat)
        connection.send((seconds, time.perf_counter() - start, flat.nbytes))


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

    def epoch(self):
        """Return the seconds of the slowest process, of the sums, and their bytes."""
        for connection in self.connections:
            connection.send("epoch")
        results = [connection.recv() for connection in self.connections]
        return [max(column) for column in zip(*results, strict=True)]

    def end(self):
        for connection in self.connections:
            connection.send("end")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    with arguments.path.open("w") as file:

        def write(text):
            print(text, file=file, flush=True)
            print(text, flush=True)

        write(
            f"{platform.machine()}, one thread a process, Gloo, torch "
            f"{torch.__version__}, batches of 100 rows a process, float32"
        )
        write("medians, smallest and largest in brackets")
        for name, case in CASES.items():
            with tempfile.TemporaryDirectory() as folder:
                groups = [Processes(sizes, case, folder) for sizes in WAYS.values()]
                runs = [
                    [group.epoch() for group in groups]
                    for _ in range(arguments.repeats)
                ]
                for group in groups:
                    group.end()
            write(f"\n{name}")
            report(write, case["n_rows"], list(zip(*runs, strict=True)))


def report(write, n_rows, runs):
    """Write the table for the runs of the three ways."""
    rates = []
    for (way, sizes), results in zip(WAYS.items(), runs, strict=True):
        rates.append([sum(sizes) * n_rows / seconds for seconds, _, _ in results])
        write(f"  {way:<32} {spread(rates[-1], ',.0f')} rows a second")
    for way, pair in zip(list(WAYS)[1:], rates[1:], strict=True):
        ratios = [two / one for one, two in zip(rates[0], pair, strict=True)]
        write(f"  {way + ', against one':<32} {spread(ratios, '.2f')} times")
    n_steps = -(-n_rows // 100)
    steps = [1000 * seconds / n_steps for seconds, _, _ in runs[0]]
    sums = [1000 * seconds / n_steps for _, seconds, _ in runs[1]]
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
    main()
