"""
Training in several processes
=============================

How does an encoder learn from data that one process, or one machine, is too slow for?
Each process of a group of `torch.distributed` holds a part of the rows and calls `fit`,
which then averages the gradients over all of them. Run this script by

.. code-block:: sh

    torchrun --standalone --nproc-per-node=2 examples/large_data/train_in_processes.py

with any number of processes; `torchrun --help` tells how to use several machines. The
script also runs in one process, without `torchrun`.

A process that is killed need not end the run. Add a folder for checkpoints to the
command, and `--max-restarts=3` to the options of `torchrun`, which then starts all
processes again, and `fit` goes on from the last checkpoint. (Set the environment
variable `TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1` too: without it, PyTorch's processes may
try to reach those of before the restart.)
"""

# %%
# `torchrun` tells each process its number, its rank, in environment variables. With
# GPUs, each process takes one of them. NCCL is the way for GPUs to exchange gradients,
# and Gloo is that of CPUs.

import os
import sys

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.callbacks import Checkpoint

rank, n_processes = 0, 1
if "RANK" in os.environ:
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if has_gpu else "gloo")
    rank, n_processes = dist.get_rank(), dist.get_world_size()

# %%
# Each process reads rows of its own; a `DataLoader` with a `DistributedSampler` would
# do the same. A step of the optimiser takes `batch_size` rows of each process.

X = load_digits().data / 16
encoder = SparseGeneratorEncoder(
    n_components=64, batch_size=100, max_iter=40, tol=None, random_state=0, verbose=True
)
if len(sys.argv) > 1:
    encoder.set_callbacks(Checkpoint(sys.argv[1], every=5))
encoder.fit(X[rank::n_processes])

# %%
# Now all processes have the same encoder. One of them shows what it has learned; its
# codes depend on no other process.

if rank == 0:
    codes = encoder.transform(X)
    error = ((encoder.inverse_transform(codes) - X) ** 2).sum()
    r2 = 1 - error / ((X - X.mean(0)) ** 2).sum()
    active = (codes != 0).sum(1).mean()
    print(f"{n_processes} processes, R2 {r2:.3f}, {active:.1f} active codes of 64")
if n_processes > 1:
    dist.destroy_process_group()
