"""The state of an encoder, which a call that fails must not change."""

import contextlib
import copy

import torch


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
