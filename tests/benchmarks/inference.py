"""Speed of inference, energy against time, and sparse codes against linear ones.

    SPARSEGEN_DATA=folder python tests/benchmarks/inference.py

prints ratios measured in one process with one torch thread, on MNIST and Fashion-MNIST:
generators of 200-400-784 units, 10,000 training images, 40 epochs, seed 0. Spreads are
the smallest and the largest of five repetitions. It takes about twenty minutes.
"""

import platform
import time
import warnings
from functools import partial

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from settings import LINEAR
from sklearn.base import clone
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen._model.generators import mlp_generator
from sklearn_sparsegen._model.priors import SpikeSlab
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import peak_signal_noise_ratio

# The tables show what inference reaches before it has converged.
warnings.simplefilter("ignore", ConvergenceWarning)
torch.set_num_threads(1)

# These settings are explicit, so that versions with other defaults can be compared.
SETTINGS = LINEAR | {
    "n_components": 200,
    "hidden_layer_sizes": (400,),
    "activation": "relu",
    "output_activation": "sigmoid",
    "alpha": 0.01,
    "alpha_init": 1.0,
    "decay": 0.033,
    "sigma": 0.3,
    "spike_scale": 0.1,
    "slab_scale": 1.0,
    "positive_code": False,
    "solver": "gradient",
    "init": "zeros",
    "n_steps": 30,
    "step_size": 0.1,
    "max_iter": 40,
    "learning_rate_init": 1e-3,
    "batch_size": 100,
    "tol": None,
    "random_state": 0,
}
EXACT = {
    **SETTINGS,
    "solver": "proximal",
    "init": "linear",
    "n_steps": 4,
    "spike_scale": 0,
    "alpha": 0.1,
    "sigma": 0.2,
}
# A sigmoid reconstructs images best.
LIMITED = LINEAR | {
    "output_activation": "sigmoid",
    "max_iter": 40,
    "tol": None,
    "random_state": 0,
}


def ratios(numerator, denominator, n_repeats=5):
    """Time two functions in turn; return the ratios of their times."""
    numerator(), denominator()
    results = []
    for _ in range(n_repeats):
        times = [time.perf_counter()]
        for function in (numerator, denominator):
            function()
            times.append(time.perf_counter())
        results.append((times[1] - times[0]) / (times[2] - times[1]))
    return f"{np.median(results):.2f} ({min(results):.2f} to {max(results):.2f})"


def matrix_products(encoder, batch_size, n_rows, n_steps, product):
    """Return a function that computes the bare matrix products of so many steps."""
    weights = [p.detach() for p in encoder.generator_.parameters() if p.ndim == 2]
    z = torch.rand(batch_size, weights[0].shape[1])

    def run():
        for _ in range(n_steps * n_rows // batch_size):
            output = z
            for weight in weights:
                output = product(output, weight.T)
            for weight in reversed(weights):
                output = product(output, weight)

    return run


def infer_by_plain_autograd(x, generator, prior, sigma):
    """Infer codes by the paper's solver, as one would write it in PyTorch."""
    z = x.new_zeros(len(x), 200)
    for _ in range(30):
        z = z.detach().requires_grad_()
        error = (x - generator(z)).square().sum() / (2 * sigma**2)
        energy = error - prior.log_prob(z).sum()
        (gradient,) = torch.autograd.grad(energy, z)
        z = z - 0.1**2 / 2 * gradient
    return z.detach()


def fit_by_plain_autograd(X, encoder):
    """Train for one epoch of Algorithm 1, as one would write it in PyTorch."""
    generator = mlp_generator(200, 784, output_activation="sigmoid")
    prior = SpikeSlab(encoder.alpha_, encoder.slab_scale, encoder.spike_scale)
    sigma = encoder.sigma
    adam = torch.optim.Adam(generator.parameters(), lr=1e-3)
    for x in torch.from_numpy(X).split(100):
        z = infer_by_plain_autograd(x, generator, prior, sigma)
        loss = (x - generator(z)).square().sum(1).mean() / (2 * sigma**2)
        adam.zero_grad()
        loss.backward()
        adam.step()


def energies(encoder, X, codes):
    """Return the energy of each row under a normal spike."""
    z, alpha = codes.astype(float), encoder.alpha_
    error = ((X - encoder.inverse_transform(z)) ** 2).sum(1)
    parts = [
        np.log(weight) + norm.logpdf(z, scale=scale)
        for weight, scale in (
            (alpha, encoder.slab_scale),
            (1 - alpha, encoder.spike_scale),
        )
    ]
    return error / (2 * encoder.sigma**2) - logsumexp(parts, axis=0).sum(1)


def psnr(X, X_reconstructed):
    return peak_signal_noise_ratio(X, X_reconstructed.astype(X.dtype)).mean()


PRODUCTS = {
    "torch.mm": torch.mm,
    "oneDNN": lambda a, b: torch.ops.mkldnn._linear_pointwise(
        a, b.T, None, "none", [], ""
    ),
}


def speed(paper, X, X_test):
    """Compare the paper's solver with its matrix products and with autograd."""
    print("the paper's solver, time over that of its bare matrix products:")
    for batch_size in (100, 1000):
        paper.set_params(batch_size=batch_size)
        for name, product in PRODUCTS.items():
            bare = matrix_products(paper, batch_size, 1000, 30, product)
            ratio = ratios(partial(paper.transform, X_test), bare)
            print(f"  transform, batch {batch_size}, products by {name}: {ratio}")
    paper.set_params(batch_size=100)
    once = clone(paper).set_params(max_iter=1)
    ratio = ratios(
        lambda: fit_by_plain_autograd(X[:1000], paper), lambda: once.fit(X[:1000])
    )
    print(f"plain autograd over this fit, one epoch, batch 100: {ratio}", flush=True)


def energy_against_time(paper, X_test):
    """Compare the proximal solver with the paper's, on a generator of the latter."""

    def infer(solver, init, n_steps):
        paper.set_params(solver=solver, init=init, n_steps=n_steps)
        return paper.transform(X_test)

    print("proximal steps on the generator that the paper's solver has trained:")
    print("  steps from       mean energy  rows no higher  time over paper's 30")
    reference = energies(paper, X_test, infer("gradient", "zeros", 30))
    print(f"  paper's 30       {reference.mean():.1f}")
    lowest = energies(paper, X_test, infer("gradient", "zeros", 3000))
    print(f"  paper's 3000     {lowest.mean():.1f}")
    for init in ("zeros", "linear"):
        for n_steps in (1, 2, 3, 4, 5, 6, 8, 15, 30):
            energy = energies(paper, X_test, infer("proximal", init, n_steps))
            share = (energy <= reference).mean()
            ratio = ratios(
                partial(infer, "proximal", init, n_steps),
                partial(infer, "gradient", "zeros", 30),
            )
            print(
                f"  {n_steps:<2} {init:<13} {energy.mean():<12.1f} {share:<15.1%} "
                f"{ratio}",
                flush=True,
            )
    paper.set_params(solver="gradient", init="zeros", n_steps=30)


def sparse_codes(X, X_test):
    """Compare encoders that are trained under a limit with a linear dictionary."""
    mean = X.mean(0)
    linear = MiniBatchDictionaryLearning(
        200, batch_size=100, max_iter=20, transform_algorithm="omp", random_state=0
    ).fit(X - mean)
    print("codes  steps  PSNR (dB)  matching pursuit  clipped  time over its time")
    for n_codes in (10, 12, 20, 40):
        encoder = SparseGeneratorEncoder(**LIMITED, n_nonzero_coefs=n_codes).fit(X)
        linear.set_params(transform_n_nonzero_coefs=n_codes)
        X_linear = linear.transform(X_test - mean) @ linear.components_ + mean
        theirs, clipped = (
            psnr(X_test, X_hat) for X_hat in (X_linear, X_linear.clip(0, 1))
        )
        for n_steps in (4, 10, 20, 40):
            encoder.set_params(transform_n_steps=n_steps)
            codes = encoder.transform(X_test)
            assert (codes != 0).sum(1).max() <= n_codes
            ours = psnr(X_test, encoder.inverse_transform(codes))
            ratio = ratios(
                partial(encoder.transform, X_test),
                lambda: linear.transform(X_test - mean),
            )
            print(
                f"{n_codes:<6} {n_steps:<6} {ours:<10.2f} {theirs:<17.2f} "
                f"{clipped:<8.2f} {ratio}",
                flush=True,
            )


def main(name):
    """Print all figures of a set of images."""
    images = load_images(name)
    X, X_test = images.X_train[:10_000], images.X_test[:1000]
    print(f"\n{name}\n{'=' * len(name)}", flush=True)
    paper = SparseGeneratorEncoder(**SETTINGS).fit(X)
    speed(paper, X, X_test)
    energy_against_time(paper, X_test)
    exact = SparseGeneratorEncoder(**EXACT)
    epochs = [clone(e).set_params(max_iter=1) for e in (exact, paper)]
    ratio = ratios(*(partial(e.fit, X[:2000]) for e in epochs))
    print(f"exact spike over the paper's solver, time of an epoch of fit: {ratio}")
    sparse_codes(X, X_test)


if __name__ == "__main__":
    print(f"{platform.machine()}, one thread, torch {torch.__version__}")
    for name in ("mnist", "fashion_mnist"):
        main(name)
