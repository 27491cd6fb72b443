"""Types of the public interface, for type checkers; the docstrings say more.

`Data` and `Matrix` are quoted in signatures, so that `help` shows the short name.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import sparse

# Rows of data or of codes.
Matrix = ArrayLike | sparse.sparray | sparse.spmatrix
# Rows of data, or a stream of batches of them.
Data = Matrix | Iterable[Any]
# What methods return: an ndarray, but a tensor, a data frame or a CSR array where X or
# a setting asks for it. No type tells which, so that checkers accept any use.
Array = Any

Sizes = Sequence[int] | np.ndarray
ImageShape = tuple[int, ...] | list[int]
Activation = Literal["identity", "relu", "sigmoid", "tanh"]
OutputActivation = Literal["auto", "identity", "sigmoid"]
Generator = (
    Literal["convolutional"]
    | Callable[[int, int], torch.nn.Module]
    | torch.nn.Module
    | None
)
RandomState = int | np.random.RandomState | None
LearningRate = Literal["constant", "cosine"]
SolverName = Literal["gradient", "langevin", "proximal"]
StartName = Literal["zeros", "normal", "prior", "linear", "learned"]
Posterior = Literal["posterior"]
Threshold = Posterior | float | None
ImageSet = Literal["mnist", "fashion_mnist", "svhn", "celeba64"]
ScorerName = Literal[
    "neg_mean_squared_error",
    "psnr",
    "ssim",
    "gini_sparsity",
    "hoyer_sparsity",
    "neg_active_codes",
    "neg_dead_components",
    "class_information",
]
