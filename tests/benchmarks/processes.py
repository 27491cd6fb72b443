"""How much faster several processes train, and how long they wait for each other.

    python tests/benchmarks/processes.py docs/results/processes.txt

Each process has one thread, and the same number of rows of its own, so that two of them
train on twice the rows. Runs of one process and of two take turns. A step waits for the
sum of the gradients over all processes, and its time is measured by itself.
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
N_PROCESSES = [1, 2]


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
    """So many processes of one group."""

    def __init__(self, size, case, folder):
        context = multiprocessing.get_context("spawn")
        self.connections = []
        for rank in range(size):
            here, there = context.Pipe()
            args = rank, size, case, Path(folder) / f"group-{size}", there
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
                groups = {n: Processes(n, case, folder) for n in N_PROCESSES}
                times = {n: [] for n in N_PROCESSES}
                for _ in range(arguments.repeats):
                    for n, group in groups.items():
                        times[n].append(group.epoch())
                for group in groups.values():
                    group.end()
            report(write, name, case, times)


def report(write, name, case, times):
    write(f"\n{name}")
    rates = {}
    for n, runs in times.items():
        rates[n] = [n * case["n_rows"] / seconds for seconds, _, _ in runs]
        write(
            f"  {n} process{'es' * (n > 1)}: {spread(rates[n], ',.0f')} rows a second"
        )
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    write(f"  2 processes against 1: {spread(ratios, '.2f')} times")
    n_steps = -(-case["n_rows"] // 100)
    steps = [seconds / n_steps for seconds, _, _ in times[1]]
    sums = [seconds / n_steps for _, seconds, _ in times[2]]
    n_bytes = times[2][0][2]
    shares = [seconds / whole for whole, seconds, _ in times[2]]
    write(f"  a step of one process: {spread([1000 * s for s in steps], '.1f')} ms")
    write(
        f"  the sum of its gradients over 2 processes ({n_bytes / 1e6:.1f} MB): "
        f"{spread([1000 * s for s in sums], '.2f')} ms, "
        f"{spread([100 * s for s in shares], '.1f')} % of a step"
    )
    # In a ring of N processes each sends 2 (N - 1) / N times the gradients, which is
    # once with two processes.
    step, one_sum = statistics.median(steps), statistics.median(sums)
    for n in (8, 64):
        factor = n * step / (step + 2 * (n - 1) / n * one_sum)
        write(
            f"  {n} processes at this speed of exchange: {factor:.1f} times, computed"
        )


def spread(values, form):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}}, {high:{form}})"


if __name__ == "__main__":
    main()
