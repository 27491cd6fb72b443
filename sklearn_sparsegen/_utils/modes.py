"""The guard of public methods: PyTorch's modes, and its errors of memory."""

import contextlib
import functools
import re
from collections.abc import Callable
from typing import TypeVar, cast

import torch

_F = TypeVar("_F", bound=Callable)
_AUTOCAST = "cpu", "cuda", "mps", "xpu"
# PyTorch has no type of its own for these errors of a CPU.
_NO_MEMORY = re.compile(
    "out of memory|allocate memory|not enough memory|ALLOC_FAILED|Invalid buffer size"
    "|size calculation overflowed"
)


def in_default_modes(method: _F) -> _F:
    """Run a method in PyTorch's default modes, whatever those of the thread are.

    Autocast would round, inference mode has no gradients, and a default device would
    put new tensors there. The modes of the caller are back when the method returns.
    What PyTorch says of too little memory becomes a MemoryError.
    """

    @functools.wraps(method)
    def run(*args, **kwargs):
        with contextlib.ExitStack() as modes:
            if torch.is_inference_mode_enabled():
                modes.enter_context(torch.inference_mode(False))
            for device_type in _AUTOCAST:
                if torch.is_autocast_enabled(device_type):
                    modes.enter_context(torch.autocast(device_type, enabled=False))
            if torch.get_default_device() != torch.device("cpu"):
                modes.enter_context(torch.device("cpu"))
            try:
                return method(*args, **kwargs)
            except RuntimeError as error:
                if _NO_MEMORY.search(str(error)):
                    raise MemoryError(
                        "Too little memory; reduce n_components, hidden_layer_sizes or "
                        f"batch_size. PyTorch says: {error}"
                    ) from error
                raise

    return cast(_F, run)
