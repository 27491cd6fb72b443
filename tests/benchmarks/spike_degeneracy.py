"""Codes that hide in a normal spike, and what prevents it.

    SPARSEGEN_DATA=folder python tests/benchmarks/spike_degeneracy.py

fits 10,000 MNIST images for 40 epochs with the proximal solver, ten steps and a normal
spike. Four ways are compared. The generator learns from the codes as inferred; from
codes with the noise of their Laplace posterior; from codes as inferred, with the norms
of the columns of its first layer bounded by their mean at the start; and, as in the
library, from codes whose inactive entries are drawn anew from the spike. It uses one
torch thread and seed 0, and takes about eight minutes.
"""

import dataclasses
import functools
import platform
import warnings
from collections.abc import Callable

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder
from sklearn_sparsegen._model.priors import SpikeSlab
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio

warnings.simplefilter("ignore", ConvergenceWarning)
torch.set_num_threads(1)


def as_inferred(encoder, prior, z, draw):
    return z


def laplace_noise(encoder, prior, z, draw):
    z = z.detach().requires_grad_()
    output = encoder.generator_(z)
    # With random signs v, the entries of J'v have the mean squares |J_k|^2.
    (pulled,) = torch.autograd.grad(output, z, draw(*output.shape).sign())
    gain = pulled.square().mean(0)
    encoder.gain = 0.95 * getattr(encoder, "gain", gain) + 0.05 * gain
    precision = prior.weight(z.detach()) + encoder.gain / encoder.sigma**2
    return z.detach() + draw(*z.shape) / precision.sqrt()


@torch.no_grad()
def bounded_gain(encoder, prior, z, draw):
    weight = encoder.generator_[0].weight
    norms = weight.norm(dim=0)
    encoder.bound = getattr(encoder, "bound", norms.mean())
    weight.mul_((encoder.bound / norms).clamp_max(1))
    return z


def redrawn(encoder, prior, z, draw):
    return SpikeSlab.redraw_spike(prior, z, draw)


@dataclasses.dataclass(frozen=True)
class Prior(SpikeSlab):
    """The prior, with another way to make the codes that the generator learns from."""

    learn_from: Callable | None = None

    def redraw_spike(self, z, draw):
        return self.learn_from(self, z, draw)


class Encoder(SparseGeneratorEncoder):
    """The encoder, with one of the functions above in its attribute `learn_from`."""

    def _make_prior(self, alpha):
        learn_from = functools.partial(self.learn_from, self)
        return Prior(alpha, self.slab_scale, self.spike_scale, learn_from)


mnist = load_images("mnist")
X, X_test = mnist.X_train[:10_000], mnist.X_test[:1000]


def psnr(encoder, codes):
    return peak_signal_noise_ratio(X_test, encoder.inverse_transform(codes)).mean()


print(f"{platform.machine()}, one thread, torch {torch.__version__}")
print("                 PSNR of   codes of 200   PSNR with the others   components")
print("learns from      images    above 0.2      set to zero            ever above 0.2")
for learn_from in (as_inferred, laplace_noise, bounded_gain, redrawn):
    settings = {"solver": "proximal", "n_steps": 10, "max_iter": 40, "tol": None}
    encoder = Encoder(**PAPER_SETTINGS | settings, random_state=0)
    encoder.learn_from = learn_from
    encoder.fit(X).set_params(n_steps=60)
    codes = encoder.transform(X_test)
    exact = np.where(np.abs(codes) > 0.2, codes, 0)
    print(
        f"{learn_from.__name__:<16} {psnr(encoder, codes):.2f} dB  "
        f"{active_codes(codes).mean():<14.1f} {psnr(encoder, exact):.2f} dB"
        f"               {(np.abs(codes) > 0.2).any(0).sum()}",
        flush=True,
    )
