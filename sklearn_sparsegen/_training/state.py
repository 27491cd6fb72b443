"""The state of an encoder: as arrays, and restored if a call fails.

In a fitted encoder, networks and the optimiser are objects of PyTorch. The state that
is pickled or saved has arrays in their place, and the objects are built again from the
parameters that they were built from.
"""

import contextlib
import copy

import numpy as np
import torch
from sklearn.exceptions import InconsistentVersionWarning

from .._data.arrays import (
    as_numpy,
    empty_tensor,
    nested_arrays,
    nested_tensors,
    resolve_device,
    to_tensor,
)
from .._model.generators import Rescale
from .._utils.compat import CALLBACK_ATTRIBUTES
from .._utils.distributed import from_first, n_processes, rank
from .._utils.version import __version__
from .._utils.warn import warn
from .epoch import make_optimizer

_VERSION = "_sparsegen_version"
_OF_SCIKIT_LEARN = "_skl", "_sklearn", "_callback", "_parent", "_metadata"
_OF_ROWS = ("codes_",)  # each process has rows of its own


def networks(encoder):
    """Return the fitted modules of an encoder, by the names of their attributes."""
    names = getattr(encoder, "_network_names", ())
    return {name: getattr(encoder, name) for name in names}


def copy_of_networks(encoder):
    """Return the states of the fitted modules as arrays, by their names."""
    states = {name: m.state_dict() for name, m in networks(encoder).items()}
    return copy.deepcopy(nested_arrays(states))


def load_networks(encoder, states):
    """Give the fitted modules the states that `copy_of_networks` has returned."""
    for name, state in nested_tensors(states).items():
        getattr(encoder, name).load_state_dict(state)


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
            # scikit-learn looks for these after fit, to tear callbacks down.
            for name in CALLBACK_ATTRIBUTES:
                if name in vars(encoder):
                    before[name] = vars(encoder)[name]
            encoder.__dict__ = before
            for name, state in states.items():
                objects[name].load_state_dict(state)
        raise


# Arrays -------------------------------------------------------------------------------


def to_arrays(encoder, attributes):
    """Return attributes of an encoder with arrays for its networks and optimiser."""
    # A tensor in a pickle may need a device that another machine lacks.
    state = nested_arrays(attributes) | {_VERSION: __version__}
    for name, value in _objects(encoder).items():
        state[name] = nested_arrays(value.state_dict())
    if "generator_" in state:
        dtype = next(encoder.generator_.parameters()).dtype
        state["_dtype"] = str(dtype).removeprefix("torch.")
    return state


def progress(encoder):
    """Return the attributes that training sets, as arrays, numbers and texts.

    `from_arrays` sets them in an encoder with the same parameters.
    """
    attributes = _set_by_training(encoder).items()
    return to_arrays(encoder, {name: _plain(name, value) for name, value in attributes})


def _set_by_training(encoder):
    """Return attributes that are neither parameters nor scikit-learn's, by name."""
    left_out = {*encoder.get_params(deep=False), *_objects(encoder)}
    left_out |= {"_fixed_values", "feature_names_in_"}
    return {
        name: value
        for name, value in vars(encoder).items()
        # scikit-learn's own are callbacks and the settings of outputs and metadata.
        if name not in left_out and not name.startswith(_OF_SCIKIT_LEARN)
    }


def share(encoder):
    """Give the encoders of all processes the state of that of the first one."""
    if n_processes() == 1:
        return
    own, attributes = _set_by_training(encoder), {}
    for name in own.keys() - set(_OF_ROWS):
        with contextlib.suppress(TypeError):  # of no interest to training
            attributes[name] = _plain(name, own[name])
    state = from_first(to_arrays(encoder, attributes))
    if rank():
        from_arrays(encoder, state)
        for name, value in own.items():
            if isinstance(value, torch.Tensor) and name in state:
                setattr(encoder, name, to_tensor(state[name], value))


def _plain(name, value):
    """Return a value as numbers, texts and arrays of numbers, or raise."""
    value = as_numpy(value)
    if isinstance(value, dict):
        return {key: _plain(name, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    is_array = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    if is_array or value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(
        f"The attribute {name} cannot be saved, because it is a {type(value).__name__} "
        "and not a number, a text, an array of numbers, or a list or dictionary of "
        "these."
    )


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
    dtype = vars(encoder).pop("_dtype")
    like = empty_tensor(dtype, "cpu")
    with contextlib.suppress(ValueError):
        like = empty_tensor(dtype, resolve_device(encoder.device))
    rescale = Rescale(torch.zeros(encoder.n_features_in_), 1.0)
    vars(encoder).update(
        encoder._build(rescale if encoder._is_rescaled else None, like)
    )
    encoder._optimizer = make_optimizer(networks(encoder).values())
    for name, value in _objects(encoder).items():
        if name not in state:
            continue
        try:
            value.load_state_dict(nested_tensors(state[name]))
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"The saved {name} does not fit into a new one; a factory `generator` "
                f"must give the same module in each call. PyTorch says: {error}"
            ) from error


def _check_version(encoder, version):
    """Warn of a state that another major version has saved, as scikit-learn does."""
    if _major(version or "0.0") != _major(__version__):
        warning = InconsistentVersionWarning(
            estimator_name=type(encoder).__name__,
            current_sklearn_version=__version__,
            original_sklearn_version=version,
        )
        warn(warning, None)


def _major(version):
    """Return the part of a version in which incompatible ones differ."""
    first, second = version.split(".")[:2]
    return (first, second) if first == "0" else (first,)


# Parameters that act only where training starts ---------------------------------------


def fixed_values(encoder):
    """Return the values of the parameters that act only where training starts."""
    values = {name: getattr(encoder, name) for name in encoder._fixed_parameters}
    # A list that is changed in place must not change these.
    return {
        name: copy.copy(value) if isinstance(value, list | np.ndarray) else value
        for name, value in values.items()
    }


def check_fixed(encoder):
    """Raise a ValueError if such a parameter has changed since training started."""
    for name, value in fixed_values(encoder).items():
        before = encoder._fixed_values[name]
        # A function tells what it does by no text.
        is_other = callable(value) or _text(value) != _text(before)
        if value is not before and is_other:
            raise ValueError(
                f"{name}={value} cannot take effect, because training continues with "
                f"{name}={before}; set it back, or call fit with warm_start=False."
            )


def _text(value):
    if isinstance(value, list | tuple | np.ndarray | np.generic):
        value = np.array(value).tolist()
    return repr(value)
