"""Sparse nonlinear codes with one generator network and no encoder."""

from ._encoder import PAPER_SETTINGS, SparseGeneratorEncoder
from ._utils.version import __version__

__all__ = ["PAPER_SETTINGS", "SparseGeneratorEncoder", "__version__"]
