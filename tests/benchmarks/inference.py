"""Inference side by side: speed, energy against time, and sparse codes against linear.

    SPARSEGEN_DATA=folder python tests/benchmarks/inference.py

prints ratios measured in one process with one torch thread, on MNIST and Fashion-MNIST:
generators of 200-400-784 units, 10,000 training images, 40 epochs, seed 0. Spreads are
the smallest and the largest of five repetitions. It takes about twenty minutes.
"""

import functools
import platform
import time
import warnings

import numpy as np
import torch
from sklearn.base import clone
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen._data_term import make_data_term
from sklearn_sparsegen._generators import mlp_generator
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import peak_signal_noise_ratio

# what stops short of tol is in the tables
warnings.simplefilter("ignore", ConvergenceWarning)
torch.set_num_threads(1)


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
    """Return a function that does the bare matrix products of so many steps."""
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


def fit_by_plain_autograd(X, encoder):
    """One epoch of the printed algorithm as one would write it in PyTorch."""
    generator = mlp_generator(200, 784, output_activation="sigmoid")
    prior, sigma = encoder._prior(), encoder.sigma
    adam = torch.optim.Adam(generator.parameters(), lr=1e-3)
    for x in torch.from_numpy(X).split(100):
        z = torch.zeros(len(x), 200)
        for _ in range(30):
            z = z.detach().requires_grad_()
            error = (x - generator(z)).square().sum() / (2 * sigma**2)
            energy = error - prior.log_prob(z).sum()
            (gradient,) = torch.autograd.grad(energy, z)
            z = z - 0.1**2 / 2 * gradient
        loss = (x - generator(z.detach())).square().sum(1).mean() / (2 * sigma**2)
        adam.zero_grad()
        loss.backward()
        adam.step()


def energies(encoder, X, codes):
    x, z = torch.from_numpy(X), torch.from_numpy(codes)
    with torch.no_grad():
        value = make_data_term(x, encoder.generator_, encoder.sigma).value(z)
        return (value + encoder._prior().energy(z)).numpy()


def psnr(X, X_reconstructed):
    return peak_signal_noise_ratio(X, X_reconstructed.astype(X.dtype)).mean()


def print_accuracies(name, transform, images):
    """Two classifiers of the codes of 3,000 labelled images, on all test images."""
    codes, codes_test = (transform(X) for X in (images.X_train[:3000], images.X_test))
    figures = [
        classifier.fit(codes, images.y_train[:3000]).score(codes_test, images.y_test)
        for classifier in (
            LogisticRegression(max_iter=300),
            make_pipeline(StandardScaler(), MLPClassifier(random_state=0)),
        )
    ]
    n_active = (codes_test != 0).sum(1).mean()
    print(
        f"  {name:<22} {figures[0]:<7.3f} {figures[1]:<17.3f} {n_active:.1f}",
        flush=True,
    )


PRODUCTS = {
    "torch.mm": torch.mm,
    "oneDNN": lambda a, b: torch.ops.mkldnn._linear_pointwise(
        a, b.T, None, "none", [], ""
    ),
}
SETTINGS = {"max_iter": 40, "tol": None, "random_state": 0}
EXACT = {
    **SETTINGS,
    "solver": "proximal",
    "init": "linear",
    "n_steps": 4,
    "spike_scale": 0,
    "alpha": 0.1,
    "sigma": 0.2,
}


def speed(printed, X, X_test):
    """The printed solver against its matrix products and against autograd."""
    print("printed solver, time over that of its bare matrix products:")
    for batch_size in (100, 1000):
        printed.set_params(batch_size=batch_size)
        for name, product in PRODUCTS.items():
            bare = matrix_products(printed, batch_size, 1000, 30, product)
            ratio = ratios(functools.partial(printed.transform, X_test), bare)
            print(f"  transform, batch {batch_size}, products by {name}: {ratio}")
    printed.set_params(batch_size=100)
    once = SparseGeneratorEncoder(max_iter=1, tol=None, random_state=0)
    ratio = ratios(
        lambda: fit_by_plain_autograd(X[:1000], printed), lambda: once.fit(X[:1000])
    )
    print(f"plain autograd over this fit, one epoch, batch 100: {ratio}", flush=True)


def energy_against_time(printed, X_test):
    """The proximal solver against the printed one, on a generator of the latter."""

    def infer(solver, init, n_steps):
        printed.set_params(solver=solver, init=init, n_steps=n_steps)
        return printed.transform(X_test)

    print("proximal over printed on the printed generator:")
    print("  steps from       mean energy  rows no higher  time over printed 30")
    reference = energies(printed, X_test, infer("gradient", "zeros", 30))
    print(f"  printed 30       {reference.mean():.1f}")
    lowest = energies(printed, X_test, infer("gradient", "zeros", 3000))
    print(f"  printed 3000     {lowest.mean():.1f}")
    for init in ("zeros", "linear"):
        for n_steps in (1, 2, 3, 4, 5, 6, 8, 15, 30):
            energy = energies(printed, X_test, infer("proximal", init, n_steps))
            share = (energy <= reference).mean()
            ratio = ratios(
                functools.partial(infer, "proximal", init, n_steps),
                functools.partial(infer, "gradient", "zeros", 30),
            )
            print(
                f"  {n_steps:<2} {init:<13} {energy.mean():<12.1f} {share:<15.1%} "
                f"{ratio}",
                flush=True,
            )
    printed.set_params(solver="gradient", init="zeros", n_steps=30)


def sparse_codes(printed, exact, from_zeros, images, X, X_test):
    """Exact zeros against a linear dictionary, at the same number of codes."""
    mean = X.mean(0)
    linear = MiniBatchDictionaryLearning(
        200, batch_size=100, max_iter=20, transform_algorithm="omp", random_state=0
    ).fit(X - mean)
    print("PSNR (dB)  exact zeros  from zeros  dictionary  clipped to [0, 1]")
    for n_codes in (10, 20, 40):
        images_hat = []
        for encoder in (exact, from_zeros):
            encoder.set_params(n_steps=100, tol=1e-3, n_nonzero_coefs=n_codes)
            codes = encoder.transform(X_test)
            assert (codes != 0).sum(1).max() <= n_codes
            images_hat.append(encoder.inverse_transform(codes))
        linear.set_params(transform_n_nonzero_coefs=n_codes)
        X_linear = linear.transform(X_test - mean) @ linear.components_ + mean
        images_hat += [X_linear, X_linear.clip(0, 1)]
        ours, zeros, theirs, clipped = (psnr(X_test, X_hat) for X_hat in images_hat)
        print(
            f"  {n_codes} codes {ours:<12.2f} {zeros:<11.2f} {theirs:<11.2f} "
            f"{clipped:.2f}",
            flush=True,
        )
    print("accuracy on the codes    linear  one hidden layer  codes")
    print_accuracies("printed", printed.transform, images)
    for name, encoder in (("exact spike", exact), ("from zeros", from_zeros)):
        encoder.set_params(n_nonzero_coefs=None, tol=None)
        for n_steps in (2, 4, 10, 30):
            encoder.set_params(n_steps=n_steps)
            print_accuracies(f"{name}, {n_steps} steps", encoder.transform, images)
    for n_codes in (10, 20, 40):
        linear.set_params(transform_n_nonzero_coefs=n_codes)
        print_accuracies(
            f"dictionary, {n_codes} codes", lambda X: linear.transform(X - mean), images
        )


def main(name):
    """Print all ratios of a set of images."""
    images = load_images(name)
    X, X_test = images.X_train[:10_000], images.X_test[:1000]
    print(f"\n{name}\n{'=' * len(name)}", flush=True)
    printed = SparseGeneratorEncoder(**SETTINGS).fit(X)
    speed(printed, X, X_test)
    energy_against_time(printed, X_test)
    exact = SparseGeneratorEncoder(**EXACT).fit(X)
    from_zeros = clone(exact).set_params(init="zeros").fit(X)
    epochs = [clone(e).set_params(max_iter=1) for e in (exact, printed)]
    ratio = ratios(*(functools.partial(e.fit, X[:2000]) for e in epochs))
    print(f"exact spike, time of an epoch of fit over printed: {ratio}")
    sparse_codes(printed, exact, from_zeros, images, X, X_test)


if __name__ == "__main__":
    print(f"{platform.machine()}, one thread, torch {torch.__version__}")
    for name in ("mnist", "fashion_mnist"):
        main(name)
