"""Codes that hide in a normal spike, and what keeps them from it.

    SPARSEGEN_DATA=folder python tests/benchmarks/spike_degeneracy.py

fits 10,000 MNIST images for 40 epochs with the proximal solver, ten steps and a normal
spike, in four ways. The generator learns from the codes as inferred; from codes with
the noise of their Laplace posterior; from codes as inferred, with the norms of its
first layer's columns bounded by their mean at the start; and, as the library does, from
codes whose entries in the spike are drawn anew. One torch thread, seed 0, about eight
minutes.
"""

import dataclasses
import platform
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen._priors import SpikeSlab
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio

warnings.simplefilter("ignore", ConvergenceWarning)
torch.set_num_threads(1)


def as_inferred(prior, z, draw, encoder):
    return z


def laplace_noise(prior, z, draw, encoder):
    z = z.detach().requires_grad_()
    x_hat = encoder.generator_(z)
    # a random probe v of signs: (J'v)_k^2 has mean |J_k|^2
    (pulled,) = torch.autograd.grad(x_hat, z, draw(*x_hat.shape).sign())
    gain = pulled.square().mean(0)
    previous = getattr(encoder, "gain", gain)
    encoder.gain = 0.95 * previous + 0.05 * gain
    precision = prior.weight(z.detach()) + encoder.gain / encoder.sigma**2
    return z.detach() + draw(*z.shape) / precision.sqrt()


@torch.no_grad()
def bounded_gain(prior, z, draw, encoder):
    weight = encoder.generator_[0].weight
    norms = weight.norm(dim=0)
    encoder.bound = getattr(encoder, "bound", norms.mean())
    weight.mul_((encoder.bound / norms).clamp_max(1))
    return z


def redrawn(prior, z, draw, encoder):
    return SpikeSlab.redraw_spike(prior, z, draw)


@dataclasses.dataclass(frozen=True)
class Prior(SpikeSlab):
    """The prior, with another way to make the codes that the generator learns from."""

    learn_from: object = None
    encoder: object = None

    def redraw_spike(self, z, draw):
        return self.learn_from(self, z, draw, self.encoder)


class Encoder(SparseGeneratorEncoder):
    def _prior(self):
        return Prior(
            self.alpha_, self.slab_scale, self.spike_scale, self.learn_from, self
        )


mnist = load_images("mnist")
X, X_test = mnist.X_train[:10_000], mnist.X_test[:1000]


def psnr(encoder, codes):
    return peak_signal_noise_ratio(X_test, encoder.inverse_transform(codes)).mean()


print(f"{platform.machine()}, one thread, torch {torch.__version__}")
print("                 PSNR of   codes of 200   PSNR with the others   components")
print("learns from      images    above 0.2      set to zero            ever above 0.2")
for learn_from in (as_inferred, laplace_noise, bounded_gain, redrawn):
    encoder = Encoder(
        solver="proximal", n_steps=10, max_iter=40, tol=None, random_state=0
    )
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
