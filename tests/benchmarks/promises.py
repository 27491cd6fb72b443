"""What happens to fits that are killed or interrupted, and to threads and memory.

    python tests/benchmarks/promises.py docs/results/promises.txt

Each line says what was tried, how often, and what came out. A result counts as the same
only if all its bits are. The tests try the same less often.
"""

import copy
import json
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import skops.io
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder, baselines
from sklearn_sparsegen.callbacks import Checkpoint

SMALL = {
    "n_components": 20,
    "hidden_layer_sizes": (30,),
    "max_iter": 20,
    "tol": None,
    "random_state": 0,
}
ENCODERS = {
    "SparseGeneratorEncoder": SparseGeneratorEncoder(**SMALL, decay=0.1),
    "PAPER_SETTINGS": SparseGeneratorEncoder(**PAPER_SETTINGS | SMALL, decay=0.1),
    **{name: getattr(baselines, name)(**SMALL) for name in baselines.__all__},
}
X = load_digits().data[:300] / 16


def results(encoder):
    codes = encoder.transform(X)
    score = encoder.score_samples(X) if hasattr(encoder, "score_samples") else 0
    return codes, encoder.inverse_transform(codes), score, encoder.loss_curve_


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def fit_all(folder, path):
    """Fit all encoders with checkpoints, and save their results: what is killed."""
    print("ready", flush=True)
    found = {}
    for name, encoder in ENCODERS.items():
        fitted = clone(encoder).set_callbacks(Checkpoint(folder)).fit(X)
        found[name] = results(fitted)
    joblib.dump(found, path)


def kills(expected, n_kills=50):
    """Kill processes at random moments, and run them again until they are ready."""
    rng, n_done, n_equal, n_runs = np.random.default_rng(0), 0, 0, 0
    while n_done < n_kills:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results"
            command = [sys.executable, __file__, "--fit", f"{folder}/fits", str(path)]
            last = n_done + 10
            while not path.exists():
                process = subprocess.Popen(command, stdout=subprocess.PIPE)
                process.stdout.readline()
                if n_done < min(last, n_kills):
                    try:
                        process.wait(rng.uniform(0, 1.5))
                    except subprocess.TimeoutExpired:
                        process.kill()
                n_done += process.wait() == -signal.SIGKILL
                process.stdout.close()
            found = joblib.load(path)
            n_runs += len(found)
            n_equal += sum(same(found[name], expected[name]) for name in ENCODERS)
    return f"{n_done} kills (SIGKILL): {n_equal} of {n_runs} fits have the same result"


def interrupts(expected, n_interrupts=100):
    """Interrupt fits at random moments; go on where something was kept."""
    rng, outcomes = np.random.default_rng(0), {"the start": 0, "whole epochs": 0}
    n_equal = n_tried = 0
    while sum(outcomes.values()) < n_interrupts:
        name = list(ENCODERS)[n_tried % len(ENCODERS)]
        n_tried += 1
        encoder = clone(ENCODERS[name]).set_params(warm_start=True)
        timer = threading.Timer(
            rng.uniform(0, 0.3), signal.raise_signal, [signal.SIGINT]
        )
        try:
            timer.start()
            encoder.fit(X)
            timer.join()  # the interrupt comes here, after fit
            time.sleep(0.01)
        except KeyboardInterrupt:
            pass
        n_epochs = getattr(encoder, "n_iter_", 0)
        if n_epochs == SMALL["max_iter"]:
            continue
        outcomes["whole epochs" if n_epochs else "the start"] += 1
        if n_epochs:
            encoder.set_params(max_iter=SMALL["max_iter"] - n_epochs)
        else:
            try:
                encoder.transform(X)
            except NotFittedError:
                pass
            else:
                raise AssertionError("fitted by an epoch that was interrupted")
        n_equal += same(results(encoder.fit(X)), expected[name])
    n = sum(outcomes.values())
    kept = ", ".join(f"{number} left {what}" for what, number in outcomes.items())
    return (
        f"{n} interrupts (Ctrl-C): {kept}; {n_equal} have the same result after the "
        "rest"
    )


def threads(expected, n_threads=8):
    def work(i):
        name = list(ENCODERS)[i % len(ENCODERS)]
        return same(results(clone(ENCODERS[name]).fit(X)), expected[name])

    n = n_threads * 4
    with ThreadPoolExecutor(n_threads) as pool:
        n_equal = sum(pool.map(work, range(n)))
    fitted = clone(ENCODERS["SparseGeneratorEncoder"]).fit(X)
    with ThreadPoolExecutor(n_threads) as pool:
        found = list(pool.map(lambda _: results(fitted), range(n)))
    n_shared = sum(same(r, expected["SparseGeneratorEncoder"]) for r in found)
    return (
        f"{n_threads} threads: {n_equal} of {n} fits, and {n_shared} of {n} uses of "
        "one encoder, have the same result"
    )


def processes(expected):
    def work(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.set_num_threads(1)
            return results(clone(ENCODERS[name]).fit(X))

    found = joblib.Parallel(n_jobs=2)(joblib.delayed(work)(name) for name in ENCODERS)
    n_equal = sum(map(same, found, expected.values()))
    return f"2 processes: {n_equal} of {len(found)} fits have the same result"


def persistence(expected):
    ways = {
        "copy.deepcopy": copy.deepcopy,
        "pickle": lambda encoder: pickle.loads(pickle.dumps(encoder)),
        "skops": by_skops,
    }
    lines = []
    for way, function in ways.items():
        found = {
            name: results(function(clone(encoder).fit(X)))
            for name, encoder in ENCODERS.items()
        }
        n_equal = sum(same(found[name], expected[name]) for name in ENCODERS)
        lines.append(f"{way}: {n_equal} of {len(found)} copies have the same result")
    return "\n".join(lines)


def by_skops(encoder):
    data = skops.io.dumps(encoder)
    (own,) = skops.io.get_untrusted_types(data=data)
    return skops.io.loads(data, trusted=[own])


def memory(_):
    """Fit, transform and score a memory map in a process of its own."""
    output = subprocess.check_output([sys.executable, __file__, "--memory"], text=True)
    n_rows, size, growth = json.loads(output.splitlines()[-1])
    return (
        f"a memory map of {n_rows:,} rows, {size:.0f} MB: fit, transform and score "
        f"take {growth:.0f} MB more than the codes"
    )


def use_memory(n_rows=200_000, n_features=784):
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/X.npy"
        shape = n_rows, n_features
        data = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        rng = np.random.default_rng(0)
        for piece in np.array_split(np.arange(n_rows), 50):
            data[piece] = rng.uniform(size=(len(piece), n_features))
        data.flush()
        del data
        mapped = np.load(path, mmap_mode="r")
        encoder = SparseGeneratorEncoder(50, max_iter=1, decay=1.0, tol=None)
        encoder.set_params(hidden_layer_sizes=(50,), n_steps=1)
        encoder.fit(mapped[:1000])  # what is loaded once
        start = rss_of_this_process()
        peak, done = [start], threading.Event()

        def watch():
            while not done.wait(0.01):
                peak.append(rss_of_this_process())

        thread = threading.Thread(target=watch)
        thread.start()
        codes = encoder.fit(mapped).transform(mapped)
        encoder.score(mapped[:20_000])
        done.set()
        thread.join()
        growth = (max(peak) - start - codes.nbytes) / 1e6
        print(json.dumps([n_rows, mapped.nbytes / 1e6, growth]))


def rss_of_this_process():
    """Return the bytes of memory that belong to this process and to no file."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def main(path):
    with Path(path).open("w") as file:
        expected = {name: results(clone(e).fit(X)) for name, e in ENCODERS.items()}
        for function in (kills, interrupts, threads, processes, persistence, memory):
            start = time.perf_counter()
            line = function(expected)
            print(line, f"({time.perf_counter() - start:.0f} s)", flush=True)
            print(line, file=file, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if sys.argv[1] == "--fit":
        fit_all(*sys.argv[2:])
    elif sys.argv[1] == "--memory":
        use_memory()
    else:
        main(sys.argv[1])
