"""How close reconstructions are, and how sparse and how informative codes are."""

from ._codes import (
    active_codes,
    class_activation,
    class_information,
    dead_components,
    gini_sparsity,
    hoyer_sparsity,
)
from ._reconstructions import (
    peak_signal_noise_ratio,
    reconstruction_error,
    structural_similarity,
)

__all__ = [
    "active_codes",
    "class_activation",
    "class_information",
    "dead_components",
    "gini_sparsity",
    "hoyer_sparsity",
    "peak_signal_noise_ratio",
    "reconstruction_error",
    "structural_similarity",
]
