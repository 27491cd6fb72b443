"""The methods that the paper compares with, and more recent ones, as encoders."""

from ._langevin import ABPEncoder, ShortRunEncoder
from ._topk import TopKEncoder
from ._variance_sparse import VarianceSparseEncoder
from ._variational import VAEEncoder
from ._vsc import VSCEncoder

__all__ = [
    "ABPEncoder",
    "ShortRunEncoder",
    "TopKEncoder",
    "VAEEncoder",
    "VSCEncoder",
    "VarianceSparseEncoder",
]
