import os
from pathlib import Path

# One of scikit-learn's common checks asks for this; scipy reads it on import.
os.environ["SCIPY_ARRAY_API"] = "1"

import numpy as np
import pytest
import torch
from hypothesis import settings
from sklearn.datasets import load_digits

# Many threads on small matrices wait for each other, the more so on a busy machine.
torch.set_num_threads(1)

# Derandomised, so that a run shows what the last one showed; time is no property.
settings.register_profile("sparsegen", deadline=None, derandomize=True)
settings.load_profile("sparsegen")


@pytest.fixture(scope="session")
def digits():
    """300 images of digits, 8x8 pixels in [0, 1], float64."""
    X = load_digits(return_X_y=True)[0][:300] / 16
    X.flags.writeable = False
    return X


@pytest.fixture(scope="session")
def data_home():
    """Folder of the paper's image sets."""
    folder = Path(os.environ.get("SPARSEGEN_DATA", "missing"))
    if not folder.is_dir():
        pytest.skip(
            "the image sets are not part of the repository: set the environment "
            "variable SPARSEGEN_DATA to their folder"
        )
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(0)
