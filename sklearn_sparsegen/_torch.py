"""The only place where arrays become tensors and back: device, dtype and seeds."""

import copy
import hashlib

import numpy as np
import torch
from sklearn.utils import check_random_state, gen_batches
from torch.utils._python_dispatch import TorchDispatchMode

_PIECE_BYTES = 2**26  # of data that moves to a device at once


def resolve_device(device):
    """Return the `torch.device` that `device` names, "auto" being a GPU if any."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # Some devices are refused only when something is put on them and read back.
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={str(device)!r} is not available on this machine; use 'auto' or "
            f"'cpu'. PyTorch says: {str(error).splitlines()[0]}"
        ) from error
    return torch.device(device)


def float_dtype(X):
    """Return the type of codes of `X`: float64 for float64, else float32."""
    is_double = X.dtype.kind == "f" and X.dtype.itemsize >= 8
    return np.dtype(np.float64 if is_double else np.float32)


def to_tensor(array, module):
    """Copy `array` to a tensor with the device and dtype of `module`'s parameters.

    A copy, because `torch.from_numpy` rejects negative strides and warns of read-only
    memory, which is what joblib hands to its workers.
    """
    parameter = next(module.parameters())
    dtype = np.float64 if parameter.dtype == torch.float64 else np.float32
    return torch.from_numpy(np.array(array, dtype=dtype, order="C")).to(
        parameter.device
    )


def tensor_batches(X, batch_size, module, order=None):
    """Yield the rows of `X`, or those that `order` names, as tensors of `batch_size`.

    They move to the device of `module` many batches at a time, as each move is a wait.
    """
    row_bytes = X.shape[1] * next(module.parameters()).element_size()
    n_batches = max(1, _PIECE_BYTES // (row_bytes * batch_size))
    for piece in gen_batches(len(X), n_batches * batch_size):
        rows = X[piece] if order is None else X[order[piece]]
        yield from to_tensor(rows, module).split(batch_size)


def to_array(tensor):
    """Return `tensor` as a numpy array."""
    return tensor.detach().cpu().numpy()


def on_cpu(value):
    """Return a tensor, a module or a dictionary of them on the CPU, all else as it is.

    The original stays where it is.
    """
    if isinstance(value, torch.nn.Module):
        return copy.deepcopy(value).cpu()
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: on_cpu(item) for key, item in value.items()}
    return value


class Recorded:
    """A function of tensors that a GPU runs from a recording.

    The launches of many small operations take a processor longer than the operations
    take a GPU. So the second call with tensors of given shapes records them as one CUDA
    graph, and later ones replay that; the first readies what a recording must find
    ready. The function must not read from the GPU, and what it closes over must not
    change except in place.

    Parameters
    ----------
    function : callable
        From tensors to a tuple of tensors.
    """

    def __init__(self, function):
        self.function = function
        self._graphs = {}

    def __call__(self, *inputs):
        """Return what the function does: on a GPU, a copy of the recording's output."""
        if not inputs[0].is_cuda:
            return self.function(*inputs)
        shapes = tuple(x.shape for x in inputs)
        if shapes not in self._graphs:
            self._graphs[shapes] = None
            return self.function(*inputs)
        if self._graphs[shapes] is None:
            graph, places = torch.cuda.CUDAGraph(), [x.clone() for x in inputs]
            # other threads may use the GPU meanwhile
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                outputs = self.function(*places)
            self._graphs[shapes] = graph, places, outputs
        graph, places, outputs = self._graphs[shapes]
        for place, x in zip(places, inputs, strict=True):
            place.copy_(x)
        graph.replay()
        return tuple(output.clone() for output in outputs)


def draw_seed(random_state):
    """Return an integer seed drawn from `random_state`.

    None takes fresh entropy rather than numpy's global generator, which stays as it is.
    """
    if random_state is None:
        random_state = np.random.RandomState()
    return int(check_random_state(random_state).randint(2**31 - 1))


class SeededRandomness(TorchDispatchMode):
    """Context in which random torch operations draw from a seed of their own.

    It hands a generator to each operation that takes one, in this thread alone, so
    that a user's module is initialised reproducibly while torch's global generator
    stays as it is.
    """

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run `func` with this context's generator where it takes one."""
        kwargs = dict(kwargs or {})
        if "generator" in func.overloadpacket.overloads():  # rand, randn, randint, ...
            func = func.overloadpacket.generator
        if any(argument.name == "generator" for argument in func._schema.arguments):
            kwargs["generator"] = kwargs.get("generator") or self.generator
        return func(*args, **kwargs)


def seeded_noise(seed, module):
    """Return a function that draws standard normal tensors of a shape from a seed."""
    parameter = next(module.parameters())
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        # on the CPU, so that every device gets the same values
        noise = torch.randn(shape, generator=generator, dtype=parameter.dtype)
        return noise.to(parameter.device)

    return draw


def row_noise(x, seed, n_components):
    """Return a function that draws a standard normal tensor, row by row from `x`.

    Every row has a stream of its own, keyed by `seed` (a tuple of integers) and the
    row's values: what is drawn for a row depends neither on its place nor on the other
    rows.
    """
    key = np.array(seed, dtype=np.int64).tobytes()
    streams = [
        np.random.Generator(
            np.random.Philox(
                key=int.from_bytes(
                    hashlib.blake2b(row, digest_size=16, key=key).digest()
                )
            )
        )
        for row in to_array(x) + 0.0  # one zero, of -0.0 and 0.0
    ]
    dtype = np.float64 if x.dtype == torch.float64 else np.float32

    def draw():
        noise = np.stack([s.standard_normal(n_components, dtype) for s in streams])
        return torch.from_numpy(noise).to(x.device)

    return draw
