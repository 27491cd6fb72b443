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
from ._scorer import make_encoder_scorer

__all__ = [
    "active_codes",
    "class_activation",
    "class_information",
    "dead_components",
    "gini_sparsity",
    "hoyer_sparsity",
    "make_encoder_scorer",
    "peak_signal_noise_ratio",
    "reconstruction_error",
    "structural_similarity",
]
