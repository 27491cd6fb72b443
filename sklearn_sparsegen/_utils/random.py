"""Random numbers that depend on a seed alone; global generators stay as they are."""

import hashlib

import numpy as np
import torch
from sklearn.utils import check_random_state

from .compat import TorchDispatchMode, takes_generator, with_generator


def draw_seed(random_state):
    """Return an integer seed drawn from `random_state`."""
    if random_state is None:  # fresh entropy, and not NumPy's global generator
        random_state = np.random.RandomState()
    return int(check_random_state(random_state).randint(2**31 - 1))


def derive_seed(seed, purpose):
    """Return another seed, for random numbers independent of those of `seed`."""
    return int(np.random.SeedSequence((seed, *purpose.encode())).generate_state(1)[0])


class SeededRandomness(TorchDispatchMode):
    """Context in which random operations of torch, in this thread, draw from a seed.

    It passes a generator of its own to each operation that accepts one.
    """

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, func = dict(kwargs or {}), with_generator(func)
        if takes_generator(func):
            kwargs["generator"] = kwargs.get("generator") or self.generator
        return func(*args, **kwargs)


def seeded_noise(seed, like):
    """Return a function `draw(*shape)` of standard normal tensors, of the type `like`.

    What each call returns depends on the seed and on the calls before it.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        # The CPU draws, so that every device gets the same values.
        noise = torch.randn(shape, generator=generator, dtype=like.dtype)
        return noise.to(like.device)

    return draw


def row_noise(x, seed, n_components):
    """Return a function `draw()` of standard normal codes, with a stream for each row.

    The key of a stream is made of `seed`, a tuple of int, and of the values of the row,
    so that what is drawn for a row depends neither on its place nor on other rows.
    """
    streams = []  # opened at the first draw, as most inference needs no noise
    dtype = np.float64 if x.dtype == torch.float64 else np.float32

    def draw():
        if not streams:
            streams.extend(_open_streams(x, seed))
        noise = np.stack([s.standard_normal(n_components, dtype) for s in streams])
        return torch.from_numpy(noise).to(x.device)

    return draw


def _open_streams(x, seed):
    key = np.array(seed, dtype=np.int64).tobytes()
    for row in x.cpu().numpy() + 0.0:  # the sum turns -0.0 into 0.0
        digest = hashlib.blake2b(row, digest_size=16, key=key).digest()
        yield np.random.Generator(np.random.Philox(key=int.from_bytes(digest)))
