"""The settings of the experiments of Li and Han."""

from typing import Any

# Parameters of `SparseGeneratorEncoder`.
PAPER_SETTINGS: dict[str, Any] = {
    "alpha": 0.01,
    "sigma": 0.3,
    "spike_scale": 0.1,
    "positive_code": False,
    "output_activation": "auto",
    "solver": "gradient",
    "n_steps": 30,
    "init": "zeros",
    "batch_size": 100,
    "max_iter": 100,
    "tol": 0.001,
}
