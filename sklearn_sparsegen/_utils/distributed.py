"""Data-parallel training in a process group of `torch.distributed`.

Each process has rows of its own, and all train the same model. The processes meet in
the functions below, which all call in the same order. Each meeting begins by telling
whether a process has failed, so that the others fail too instead of waiting for it. In
a program of one process the functions return what they are given.
"""

import contextlib
import functools
import signal
import threading
from collections.abc import Callable
from typing import TypeVar, cast

import torch
import torch.distributed as dist

if dist.is_available():
    # The first optimiser imports this module, whose functions keep the process group of
    # that moment. Imported before there is one, it lets `destroy_process_group` end the
    # threads of the group. A thread that is left can abort a process as it exits.
    import torch.distributed.nn

_F = TypeVar("_F", bound=Callable)


class ProcessError(RuntimeError):
    """Another process of the group has failed, or does not answer."""


class ProcessInterrupt(KeyboardInterrupt):
    """The user has interrupted another process of the group."""


def n_processes():
    """Return the number of processes that train together."""
    is_group = dist.is_available() and dist.is_initialized()
    return dist.get_world_size() if is_group else 1


def rank():
    """Return the number of this process, from 0."""
    return dist.get_rank() if n_processes() > 1 else 0


def fail_together(method: _F) -> _F:
    """Let a method that all processes call raise in all of them if it does in one."""

    @functools.wraps(method)
    def run(*args, **kwargs):
        try:
            result = method(*args, **kwargs)
            _meet()
        except (ProcessError, ProcessInterrupt):
            raise
        except BaseException as error:
            with contextlib.suppress(ProcessError, ProcessInterrupt):
                _meet(error=error)
            raise
        return result

    return cast(_F, run)


def gather(value):
    """Return a list of the values of all processes; a value can be any object."""
    if n_processes() == 1:
        return [value]
    values = [None] * n_processes()
    with _exchange():
        _meet()
        dist.all_gather_object(values, value)
    return values


def from_first(value):
    """Return the value of process 0."""
    if n_processes() == 1:
        return value
    values = [value]
    with _exchange():
        _meet()
        dist.broadcast_object_list(values, src=0)
    return values[0]


def add(tensors):
    """Replace some tensors by their sums over all processes."""
    if n_processes() > 1:
        with _exchange():
            _meet()
            _add(tensors)


def in_step(batches):
    """Yield batches and then, where several processes train together, None for ever.

    So all processes can take the same number of steps; `average_gradients` tells when
    none of them has a batch left.
    """
    yield from batches
    while n_processes() > 1:
        yield None


def average_gradients(parameters, weight):
    """Replace the gradients by their mean over the rows of all processes.

    `weight` is that of the rows of this process, and 0 if it has none. Returns the
    weight of the rows of all processes.
    """
    if n_processes() == 1:
        return weight
    parameters = [p for p in parameters if p.requires_grad]
    with _exchange():
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
    dist.all_reduce(flat)
    sizes = [tensor.numel() for tensor in tensors]
    for tensor, total in zip(tensors, flat.split(sizes), strict=True):
        tensor.copy_(total.view_as(tensor))


def _meet(error=None, number=0.0):
    """Raise an error if a process has failed, else return the sum of numbers."""
    if n_processes() == 1:
        return number
    status = [float(error is not None), float(number)]
    with _exchange():
        status = torch.tensor(status, dtype=torch.float64, device=devices()[0])
        dist.all_reduce(status)
        n_failed, total = status.tolist()
        if not n_failed:
            return total
        texts = [None] * n_processes()
        text = None if error is None else f"{type(error).__name__}: {error}"
        dist.all_gather_object(texts, text)
    first = next(place for place, text in enumerate(texts) if text is not None)
    text = texts[first].removesuffix(": ")
    is_interrupt = text.startswith("KeyboardInterrupt")
    kind = ProcessInterrupt if is_interrupt else ProcessError
    raise kind(f"Process {first} of the group has failed: {text}")


def devices():
    """Return the types of devices whose tensors the group can exchange."""
    # The text is "cpu:gloo,cuda:nccl" or the like.
    return [part.split(":")[0] for part in dist.get_backend_config().split(",")]


@contextlib.contextmanager
def _exchange():
    """Let an interrupt wait until the end, and say what errors of PyTorch mean.

    A process that leaves an exchange in the middle would leave the others waiting.
    """
    interrupts, is_main = [], threading.current_thread() is threading.main_thread()
    if is_main:
        handler = signal.signal(signal.SIGINT, lambda *args: interrupts.append(args))
    try:
        yield
    except ProcessError:
        raise
    except (RuntimeError, ValueError) as error:
        text = str(error).partition("\n")[0]
        raise ProcessError(
            "The processes of the group cannot reach each other: one has ended, or has "
            "not called the same method within the timeout of the group. All processes "
            "of a group must call it; look for the first error of any of them. PyTorch "
            f"says: {text}"
        ) from error
    finally:
        if is_main:
            # It is None where another language has set it.
            signal.signal(signal.SIGINT, handler or signal.SIG_DFL)
    if interrupts and callable(handler):
        handler(*interrupts[0])
