"""How to warn."""

import sys
import warnings

from sklearn.exceptions import ConvergenceWarning

_INTERNAL = "sklearn_sparsegen", "sklearn", "joblib", "contextlib"


def warn(message, category=UserWarning):
    """Warn at the line of the user's code from which the library was called."""
    frame, level = sys._getframe(1), 2
    while frame is not None and _package(frame) in _INTERNAL:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def first_of(numbers):
    """Return a text of the first five of some numbers."""
    return ", ".join(map(str, numbers[:5])) + ", ..." * (len(numbers) > 5)


def _package(frame):
    return frame.f_globals.get("__name__", "").partition(".")[0]


def warn_of_convergence(messages):
    """Warn of each message at the line of the user's code."""
    for message in messages:
        warn(message, ConvergenceWarning)
