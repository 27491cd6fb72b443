"""
Data in many files
==================

Does an encoder learn as much from files that it reads batch by batch as from one array
in memory? This example fits an encoder to several files, writes the codes of each file
as a sparse array, and compares the result with a fit to the array.
"""

# %%
# Make the files
# --------------
# The images of scikit-learn's digits are small, so that the example is fast. Nothing
# below needs them to fit into memory.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

from sklearn_sparsegen import SparseGeneratorEncoder

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X = load_digits().data.astype(np.float32)
X_train, X_test = train_test_split(X, random_state=0)
folder = tempfile.TemporaryDirectory()
paths = []
for i, part in enumerate(np.array_split(X_train, 8)):
    paths.append(Path(folder.name) / f"digits-{i}.npy")
    np.save(paths[-1], part)

# %%
# Read them
# ---------
# An item of this data set is a whole batch, for which a file is opened once, and only
# the rows of the batch are read. As files are opened where they are read, a loader may
# have several processes for this, `num_workers`.


class RowsOfFiles(Dataset):
    """The rows of several .npy files, one after another."""

    def __init__(self, paths):
        self.paths = paths
        shapes = [np.load(path, mmap_mode="r").shape for path in paths]
        self.n_features = shapes[0][1]
        # The place of the first row of each file, and the number of all rows.
        self.starts = np.cumsum([0] + [n_rows for n_rows, _ in shapes])

    def __len__(self):
        return int(self.starts[-1])

    def __getitem__(self, places):
        places = np.asarray(places)
        batch = np.empty((len(places), self.n_features), np.float32)
        files = np.searchsorted(self.starts, places, side="right") - 1
        for file in np.unique(files):
            # The map is closed after use, so that the pages it reads do not add up.
            rows = np.load(self.paths[file], mmap_mode="r")
            own = files == file
            batch[own] = rows[places[own] - self.starts[file]]
        return batch


# %%
# The sampler draws the batches from all files in a new order in each epoch. With
# `batch_size=None` the loader takes what the data set returns as a batch.

rows = RowsOfFiles(paths)


def shuffled(seed):
    order = RandomSampler(rows, generator=torch.Generator().manual_seed(seed))
    batches = BatchSampler(order, batch_size=100, drop_last=False)
    return DataLoader(rows, sampler=batches, batch_size=None)


# %%
# Fit the encoder
# ---------------
# `verbose` prints a line per epoch, which suits the log of a long run.

encoder = SparseGeneratorEncoder(
    n_components=100,
    hidden_layer_sizes=(100,),
    decay=0.1,
    max_iter=20,
    tol=None,
    sparse_output=True,
    random_state=0,
    verbose=True,
).fit(shuffled(seed=0))

# %%
# Write the codes
# ---------------
# Here a batch is a file. `iter_transform` yields its codes as a CSR array.

files = [range(a, b) for a, b in zip(rows.starts, rows.starts[1:], strict=False)]
in_order = DataLoader(rows, sampler=files, batch_size=None)
for path, codes in zip(paths, encoder.iter_transform(in_order), strict=True):
    sparse.save_npz(path.with_suffix(".npz"), codes)
    share = codes.nnz / np.prod(codes.shape)
    print(f"{path.stem}: {codes.shape[0]} codes, {share:.1%} of the entries active")

# %%
# Compare with one array
# ----------------------
# The same encoder is fitted to the array, in batches of the same size. The two fits see
# the rows in a different order, so that they are compared over three seeds. The loss
# rises while alpha falls, because active codes then cost more.

print("              R2 of test rows  active codes of 100")
fig, ax = plt.subplots(layout="constrained")
for seed in range(3):
    own = clone(encoder).set_params(random_state=seed, batch_size=100, verbose=False)
    for name, data, style in (
        ("stream", shuffled(seed), "C0-"),
        ("array", X_train, "C1--"),
    ):
        fitted = clone(own).fit(data)
        codes = fitted.transform(X_test)
        r2 = r2_score(
            X_test, fitted.inverse_transform(codes), multioutput="variance_weighted"
        )
        n_active = codes.nnz / len(X_test)
        print(f"seed {seed}, {name:<6}  {r2:<15.3f}  {n_active:.1f}")
        epochs = range(1, fitted.n_iter_ + 1)
        label = name if seed == 0 else None
        ax.plot(epochs, fitted.loss_curve_, style, label=label)
ax.set(xlabel="epoch", ylabel="loss", title="Three seeds each")
ax.legend()
plt.show()
folder.cleanup()

# %%
# It does: the two differ as little as two seeds do. Only what must be known before
# training, such as the mean of the data, comes from the first 10,000 rows of a stream
# rather than from all. The shuffled order makes them typical of the rest.
