"""The methods that the paper compares with, and a more recent one, as encoders."""

from ._langevin import ABPEncoder, ShortRunEncoder
from ._variance_sparse import VarianceSparseEncoder
from ._variational import VAEEncoder
from ._vsc import VSCEncoder

__all__ = [
    "ABPEncoder",
    "ShortRunEncoder",
    "VAEEncoder",
    "VSCEncoder",
    "VarianceSparseEncoder",
]
