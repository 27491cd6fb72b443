"""The state of an encoder: restored after a failure, checked where training goes on."""

import contextlib
import copy
import re

import numpy as np
import torch

from . import _messages


def networks(encoder):
    """Return the fitted modules of an encoder, by the names of their attributes."""
    return {
        name: value
        for name, value in vars(encoder).items()
        if name.endswith("_") and isinstance(value, torch.nn.Module)
    }


@contextlib.contextmanager
def unchanged_on_failure(encoder):
    """Give all attributes back their values if what runs in this context raises."""
    # Training replaces arrays and lists, but changes these in place.
    in_place = networks(encoder)
    if hasattr(encoder, "_optimizer_state"):
        in_place["_optimizer_state"] = encoder._optimizer_state
    before = vars(encoder) | copy.deepcopy(in_place)
    try:
        yield
    except BaseException:
        vars(encoder).clear()
        vars(encoder).update(before)
        raise


def fixed_values(encoder):
    """Return texts of the parameters that act only where training starts, by name."""
    return {name: _text(getattr(encoder, name)) for name in encoder._fixed_parameters}


def _text(value):
    if isinstance(value, list | tuple | np.ndarray | np.generic):
        value = np.array(value).tolist()
    # An address is another one after pickling.
    return re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))


def check_fixed(encoder):
    """Raise a ValueError if such a parameter has changed since training started."""
    for name, value in fixed_values(encoder).items():
        before = encoder._fixed_values[name]
        if value != before:
            raise ValueError(
                _messages.FIXED.format(name=name, value=value, before=before)
            )
