"""Sparse nonlinear codes with one generator network and no encoder."""

from ._encoder import SparseGeneratorEncoder

__all__ = ["SparseGeneratorEncoder"]
__version__ = "0.1.0"
