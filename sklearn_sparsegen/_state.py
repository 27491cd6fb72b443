"""The state of an encoder: what a failure, or a call that goes on, must not change."""

import contextlib
import copy
import re

import numpy as np
import torch

from . import _messages


@contextlib.contextmanager
def unchanged_on_failure(encoder):
    """Give all attributes back their values if what runs in this context raises."""
    # Training replaces arrays and lists, but changes these in place.
    in_place = {
        name: copy.deepcopy(value)
        for name, value in vars(encoder).items()
        if name == "_optimizer_state"
        or (name.endswith("_") and isinstance(value, torch.nn.Module))
    }
    before = vars(encoder) | in_place
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
