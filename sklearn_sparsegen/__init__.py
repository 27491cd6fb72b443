"""Sparse nonlinear codes with one generator network and no encoder."""

from ._encoder import SparseGeneratorEncoder
from ._paper_settings import PAPER_SETTINGS
from ._version import __version__

__all__ = ["PAPER_SETTINGS", "SparseGeneratorEncoder", "__version__"]
