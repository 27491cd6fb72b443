"""Time and memory of one pass over files that do not have to fit into memory.

    python tests/benchmarks/stream.py FOLDER OUTPUT [--gigabytes 5]

makes 60 files of float32 rows in FOLDER, and deletes them at the end. One epoch of
`fit`, the codes of all rows by `iter_transform`, which are not kept, and `score` run
over a tenth of the files and over all of them, each in a process of its own with one
torch thread. The rows are sparse sums of 200 patterns, plus noise. The encoder has all
defaults but a limit of 20 active codes. A batch of 1,000 rows is ten blocks of 100,
which the loader reads through memory maps; in training the blocks are in random order.
The results are written to OUTPUT as they come. With 5 GB it takes half an hour.

A peak is that of the resident set of a process, which counts the pages of the files
that are mapped. "After import" is the peak before the process reads data, and "more" is
what the pass adds to it. The files have just been written, so that the system may have
them in its cache.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import torch
from settings import LINEAR
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
)

from sklearn_sparsegen import SparseGeneratorEncoder

torch.set_num_threads(1)
N_FILES = 60
N_FEATURES, N_PATTERNS = 784, 200
BLOCK = 100  # rows that lie one after another in a file
# A limit on the active codes needs no schedule, so that one epoch is enough for codes
# that are as sparse as in use.
ENCODER = SparseGeneratorEncoder(
    **LINEAR | {"max_iter": 1, "tol": None},
    n_nonzero_coefs=20,
    sparse_output=True,
    random_state=0,
)


class Blocks(Dataset):
    """Blocks of rows of several .npy files; an item is a batch of blocks."""

    def __init__(self, paths):
        lengths = [len(np.load(path, mmap_mode="r")) for path in paths]
        self.places = [
            (path, start)
            for path, length in zip(paths, lengths, strict=True)
            for start in range(0, length, BLOCK)
        ]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, numbers):
        # Each map is closed after use, so that the pages it reads do not add up.
        places = [self.places[i] for i in numbers]
        return np.concatenate(
            [np.load(path, mmap_mode="r")[i : i + BLOCK] for path, i in places]
        )


def batches(paths, shuffle=False):
    """Return a loader of batches of 1,000 rows."""
    blocks = Blocks(paths)
    sampler = SequentialSampler(blocks)
    if shuffle:
        generator = torch.Generator().manual_seed(0)
        sampler = RandomSampler(blocks, generator=generator)
    batch_sampler = BatchSampler(sampler, 1000 // BLOCK, drop_last=False)
    return DataLoader(blocks, sampler=batch_sampler, batch_size=None)


def fit(encoder, paths):
    encoder.fit(batches(paths, shuffle=True))


def iter_transform(encoder, paths):
    for codes in encoder.iter_transform(batches(paths)):
        assert codes.nnz <= 20 * codes.shape[0]


def score(encoder, paths):
    encoder.score(batches(paths))


def write_files(folder, gigabytes):
    """Write the files; return their paths."""
    n_rows = round(gigabytes * 1e9 / (4 * N_FEATURES * N_FILES))
    rng = np.random.default_rng(0)
    patterns = rng.gamma(0.2, size=(N_PATTERNS, N_FEATURES)).astype(np.float32)
    paths = [Path(folder) / f"{i:02}.npy" for i in range(N_FILES)]
    for path in paths:
        codes = rng.exponential(size=(n_rows, N_PATTERNS)).astype(np.float32)
        codes *= rng.uniform(size=codes.shape) < 0.05
        noise = rng.standard_normal((n_rows, N_FEATURES), dtype=np.float32)
        np.save(path, codes @ patterns + 0.1 * noise)
    return paths


def peak():
    """Return the peak of the memory of this process in MB; Linux counts in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def measure(function, paths):
    """Return a line of the table for a pass over some of the files."""
    after_import, start = peak(), time.perf_counter()
    encoder_path = paths[0].with_name("encoder")
    encoder = ENCODER if function is fit else joblib.load(encoder_path)
    function(encoder, paths)
    seconds, extra = time.perf_counter() - start, peak() - after_import
    if function is fit:
        joblib.dump(encoder, encoder_path)
    n_rows = sum(len(np.load(path, mmap_mode="r")) for path in paths)
    size = sum(path.stat().st_size for path in paths) / 1e9
    return (
        f"{function.__name__:<15} {size:<6.3g} {n_rows:<10,} {seconds:<8.1f} "
        f"{n_rows / seconds:<8,.0f} {after_import:<13.0f} {extra:.0f}"
    )


def main(folder, output, gigabytes):
    # Each task has a new process, whose peak starts at that of the process that starts
    # it. So this one stays small: it has neither the rows nor the encoder.
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(dir=folder) as files,
        ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool,
        open(output, "w") as file,
    ):

        def write(line):
            for place in (None, file):
                print(line, file=place, flush=True)

        paths = pool.submit(write_files, files, gigabytes).result()
        write("                                           rows     MB, peak      MB,")
        write("what            GB     rows       seconds  a second after import  more")
        # The score takes eight times as long as the codes.
        for function, most in ((fit, 60), (iter_transform, 60), (score, 6)):
            for n_files in (most // 6, most):
                write(pool.submit(measure, function, paths[:n_files]).result())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("output")
    parser.add_argument("--gigabytes", type=float, default=5)
    main(**vars(parser.parse_args()))
