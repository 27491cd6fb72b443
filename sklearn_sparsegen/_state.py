"""The state of an encoder: as arrays, and restored if a call fails.

In a fitted encoder, networks and the optimiser are objects of PyTorch. The state that
is pickled or saved has arrays in their place, and the objects are built again from the
parameters that they were built from.
"""

import contextlib
import copy
import re

import numpy as np
import torch
from sklearn.exceptions import InconsistentVersionWarning

from . import _arrays, _messages
from ._generators import Rescale
from ._training import make_optimizer
from ._version import __version__

_VERSION = "_sparsegen_version"


def networks(encoder):
    """Return the fitted modules of an encoder, by the names of their attributes."""
    return {
        name: value
        for name, value in vars(encoder).items()
        if isinstance(value, torch.nn.Module)
        and (name.endswith("_") or name.startswith("_"))
    }


def _objects(encoder):
    """Return the fitted objects of PyTorch: the modules and the optimiser."""
    if not hasattr(encoder, "_optimizer"):
        return {}
    return {**networks(encoder), "_optimizer": encoder._optimizer}


# A call that fails --------------------------------------------------------------------


@contextlib.contextmanager
def unchanged_on_failure(encoder):
    """Give all attributes back their values if what runs in this context raises.

    An interrupt does not undo the epochs that were whole.
    """
    # Training replaces arrays and lists, but changes these in place.
    objects = _objects(encoder)
    states = {name: copy.deepcopy(o.state_dict()) for name, o in objects.items()}
    before = vars(encoder).copy()
    try:
        yield
    except BaseException as error:
        curve = getattr(encoder, "loss_curve_", None)
        has_learned = curve and curve is not before.get("loss_curve_")
        if not (isinstance(error, KeyboardInterrupt) and has_learned):
            vars(encoder).clear()
            vars(encoder).update(before)
            for name, state in states.items():
                objects[name].load_state_dict(state)
        raise


# Arrays -------------------------------------------------------------------------------


def to_arrays(encoder, attributes):
    """Return attributes of an encoder with arrays for its networks and optimiser."""
    state = attributes | {_VERSION: __version__}
    for name, value in _objects(encoder).items():
        state[name] = _arrays.nested_arrays(value.state_dict())
    return state


def progress(encoder):
    """Return the attributes that training sets, as arrays, numbers and texts.

    `from_arrays` sets them in an encoder with the same parameters.
    """
    left_out = {*encoder.get_params(deep=False), "_fixed_values"}
    attributes = {
        name: value
        for name, value in vars(encoder).items()
        if name not in left_out and _is_plain(value)
    }
    return to_arrays(encoder, attributes)


def _is_plain(value):
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf"
    return value is None or type(value) in (bool, int, float, str)


def from_arrays(encoder, state):
    """Set the attributes of an encoder from what `to_arrays` has returned.

    The networks are put on the encoder's `device` if this machine has it, else on the
    CPU. Without a state of the optimiser there is a new one.
    """
    state = state.copy()
    _check_version(encoder, state.pop(_VERSION, None))
    vars(encoder).update(state)
    if "generator_" not in state:
        return
    device = "cpu"
    with contextlib.suppress(ValueError):
        device = _arrays.resolve_device(encoder.device)
    like = _arrays.empty_tensor(encoder._dtype, device)
    rescale = Rescale(torch.zeros(encoder.n_features_in_), 1.0)
    vars(encoder).update(
        encoder._build(rescale if encoder._is_rescaled else None, like)
    )
    encoder._optimizer = make_optimizer(networks(encoder).values())
    for name, value in _objects(encoder).items():
        if name not in state:
            continue
        try:
            value.load_state_dict(_arrays.nested_tensors(state[name]))
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                _messages.NOT_REBUILT.format(name=name, error=error)
            ) from error


def _check_version(encoder, version):
    """Warn of a state that another major version has saved, as scikit-learn does."""
    if _major(version or "0.0") != _major(__version__):
        warning = InconsistentVersionWarning(
            estimator_name=type(encoder).__name__,
            current_sklearn_version=__version__,
            original_sklearn_version=version,
        )
        _messages.warn(warning, None)


def _major(version):
    """Return the part of a version in which incompatible ones differ."""
    first, second = version.split(".")[:2]
    return (first, second) if first == "0" else (first,)


# Parameters that act only where training starts ---------------------------------------


def fixed_values(encoder):
    """Return the values of the parameters that act only where training starts."""
    return {name: getattr(encoder, name) for name in encoder._fixed_parameters}


def check_fixed(encoder):
    """Raise a ValueError if such a parameter has changed since training started."""
    for name, value in fixed_values(encoder).items():
        before = encoder._fixed_values[name]
        if _text(value) != _text(before):
            raise ValueError(
                _messages.FIXED.format(name=name, value=value, before=before)
            )


def _text(value):
    if isinstance(value, list | tuple | np.ndarray | np.generic):
        value = np.array(value).tolist()
    # An address is another one after pickling.
    return re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))
