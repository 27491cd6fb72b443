"""Descriptions of values that are the same in another process, and differ otherwise."""

import functools
import inspect
import types

import joblib
import numpy as np
import torch

from .._data.arrays import to_array

_LIBRARIES = "builtins", "torch", "numpy", "scipy", "sklearn", "sklearn_sparsegen"


def describe(value, above=()):
    """Return nested lists of texts that tell a value from others of any kind.

    Functions and classes are told by what they do themselves, and not by the functions
    that they call. `above` are the values that contain this one.
    """
    if any(value is other for other in above):
        return "itself"
    go_on = functools.partial(describe, above=(*above, value))
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, np.ndarray):
        return joblib.hash(value, coerce_mmap=True)
    if isinstance(value, torch.Tensor):
        return str(value.dtype), joblib.hash(to_array(value.double()))
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(go_on, value)]
    if isinstance(value, set | frozenset):  # in another process the order is another
        return [type(value).__name__, *sorted(map(repr, map(go_on, value)))]
    if isinstance(value, dict):
        return [(go_on(key), go_on(item)) for key, item in value.items()]
    if isinstance(value, types.CodeType):
        return [value.co_code.hex(), *value.co_names, *map(go_on, value.co_consts)]
    if isinstance(value, functools.partial):
        return [go_on(part) for part in (value.func, value.args, value.keywords)]
    if inspect.ismethod(value):
        return [go_on(value.__func__), go_on(value.__self__)]
    if inspect.isfunction(value):
        cells = [go_on(cell.cell_contents) for cell in value.__closure__ or ()]
        parts = value.__code__, value.__defaults__, value.__kwdefaults__
        return [value.__qualname__, *map(go_on, parts), cells]
    if inspect.isclass(value):
        name = f"{value.__module__}.{value.__qualname__}"
        if value.__module__.partition(".")[0] in _LIBRARIES:
            return name
        functions = filter(inspect.isfunction, vars(value).values())
        return [name, *map(go_on, (*value.__bases__, *functions))]
    if inspect.isbuiltin(value):
        return value.__qualname__
    return [go_on(type(value)), go_on(getattr(value, "__dict__", repr(value)))]
