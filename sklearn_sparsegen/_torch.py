"""The only place where arrays become tensors and back: device, dtype and seeds."""

import copy
import hashlib

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch.utils._python_dispatch import TorchDispatchMode


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
        for row in to_array(x)
    ]
    dtype = np.float64 if x.dtype == torch.float64 else np.float32

    def draw():
        noise = np.stack([s.standard_normal(n_components, dtype) for s in streams])
        return torch.from_numpy(noise).to(x.device)

    return draw
