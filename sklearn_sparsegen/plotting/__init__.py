"""Pictures of what an encoder does, as displays in scikit-learn's manner.

Displays need matplotlib, and `frame` needs pandas. `from_estimator` computes what a
display shows and draws it, `plot` draws it again, and `frame` returns it as a table. A
display takes any estimator with `transform` and `inverse_transform`, such as a pipeline
that ends in an encoder, or scikit-learn's `PCA`.
"""

from ._class_activation import ClassActivationDisplay
from ._components import ComponentDisplay
from ._rate_distortion import RateDistortionDisplay
from ._reconstruction import ReconstructionDisplay
from ._top_rows import TopRowsDisplay
from ._training import TrainingDisplay
from ._traversal import TraversalDisplay

__all__ = [
    "ClassActivationDisplay",
    "ComponentDisplay",
    "RateDistortionDisplay",
    "ReconstructionDisplay",
    "TopRowsDisplay",
    "TrainingDisplay",
    "TraversalDisplay",
]
