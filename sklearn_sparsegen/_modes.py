"""What a caller has set for all of PyTorch must not change any result."""

import contextlib
import functools

import torch

_AUTOCAST = "cpu", "cuda", "mps", "xpu"


def in_default_modes(method):
    """Run a method in PyTorch's default modes, whatever those of the thread are.

    Autocast would round, inference mode has no gradients, and a default device would
    put new tensors there. The modes of the caller are back when the method returns.
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
            return method(*args, **kwargs)

    return run
