"""Sparse nonlinear codes with one generator network and no encoder."""

from ._encoder import PAPER_SETTINGS, SparseGeneratorEncoder

__all__ = ["PAPER_SETTINGS", "SparseGeneratorEncoder"]
__version__ = "0.1.0"
