"""Data-parallel training in a process group of `torch.distributed`.

Each process has rows of its own, and all train the same model. The processes meet in
the functions below, which all call in the same order. Each meeting begins by telling
whether a process has failed, so that the others fail too instead of waiting for it. In
a program of one process the functions return what they are given.
"""

import contextlib
import functools

import torch
import torch.distributed as dist

from . import _messages


class ProcessError(RuntimeError):
    """Another process of the group has failed, or does not answer."""


def n_processes():
    """Return the number of processes that train together."""
    is_group = dist.is_available() and dist.is_initialized()
    return dist.get_world_size() if is_group else 1


def rank():
    """Return the number of this process, from 0."""
    return dist.get_rank() if n_processes() > 1 else 0


def fail_together(method):
    """Let a method that all processes call raise in all of them if it does in one."""

    @functools.wraps(method)
    def run(*args, **kwargs):
        try:
            result = method(*args, **kwargs)
            _meet()
        except ProcessError:
            raise
        except BaseException as error:
            with contextlib.suppress(ProcessError):
                _meet(error=error)
            raise
        return result

    return run


def gather(value):
    """Return a list of the values of all processes; a value can be any object."""
    if n_processes() == 1:
        return [value]
    _meet()
    values = [None] * n_processes()
    _call(dist.all_gather_object, values, value)
    return values


def from_first(value):
    """Return the value of process 0."""
    if n_processes() == 1:
        return value
    _meet()
    values = [value]
    _call(dist.broadcast_object_list, values, src=0)
    return values[0]


def add(tensors):
    """Replace some tensors by their sums over all processes."""
    if n_processes() > 1:
        _meet()
        _add(tensors)


def average_gradients(parameters, weight):
    """Replace the gradients by their mean over the rows of all processes.

    `weight` is that of the rows of this process, and 0 if it has none. Returns the
    weight of the rows of all processes.
    """
    if n_processes() == 1:
        return weight
    total = _meet(number=weight)
    if total:
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad *= weight / total
        _add([parameter.grad for parameter in parameters])
    return total


def _add(tensors):
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    _call(dist.all_reduce, flat)
    sizes = [tensor.numel() for tensor in tensors]
    for tensor, total in zip(tensors, flat.split(sizes), strict=True):
        tensor.copy_(total.view_as(tensor))


def _meet(error=None, number=0.0):
    """Raise a ProcessError if a process has failed, else return the sum of numbers."""
    if n_processes() == 1:
        return number
    status = torch.tensor(
        [float(error is not None), float(number)], dtype=torch.float64, device=_device()
    )
    _call(dist.all_reduce, status)
    n_failed, total = status.tolist()
    if not n_failed:
        return total
    texts = [None] * n_processes()
    text = None if error is None else f"{type(error).__name__}: {error}"
    _call(dist.all_gather_object, texts, text)
    first = next(place for place, text in enumerate(texts) if text is not None)
    raise ProcessError(_messages.PROCESS_FAILED.format(rank=first, error=texts[first]))


def _device():
    """Return a device whose tensors the group can exchange."""
    return "cpu" if "cpu:" in dist.get_backend_config() else "cuda"


def _call(function, *args, **kwargs):
    """Call a function of torch.distributed, and say what its errors mean."""
    try:
        function(*args, **kwargs)
    except (RuntimeError, ValueError) as error:
        raise ProcessError(_messages.PROCESS_LOST.format(error=error)) from error
