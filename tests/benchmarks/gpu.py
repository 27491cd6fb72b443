"""Inference on a GPU: against plain autograd, and against the card's matrix rate.

    SPARSEGEN_DATA=folder python tests/benchmarks/gpu.py

prints ratios measured in one process on MNIST, with a generator of 200-400-784 units
and the printed solver's 30 steps. Spreads are the smallest and the largest of five
repetitions. TF32 is PyTorch's own switch; what it costs is how far codes move from
those of float64, as a share of their norm, and the PSNR of the reconstructions.
"""

import numpy as np
import torch
from inference import ratios

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import peak_signal_noise_ratio

N_STEPS = 30
mnist = load_images("mnist")
X, X_test = mnist.X_train[:10_000], mnist.X_test
encoder = SparseGeneratorEncoder(max_iter=32, tol=None, device="cuda", random_state=0)
encoder.fit(X)
generator, prior, sigma = encoder.generator_, encoder._prior(), encoder.sigma
parameters = list(generator.parameters())


def plain_autograd(batch_size):
    """Inference as one would write it in PyTorch."""
    codes = []
    for x in torch.from_numpy(X_test).split(batch_size):
        x = x.cuda()
        z = x.new_zeros(len(x), 200)
        for _ in range(N_STEPS):
            z = z.detach().requires_grad_()
            error = (x - generator(z)).square().sum() / (2 * sigma**2)
            energy = error - prior.log_prob(z).sum()
            (gradient,) = torch.autograd.grad(energy, z)
            z = z - 0.1**2 / 2 * gradient
        codes.append(z.detach().cpu())
    return codes


def engine(batch_size):
    return encoder.set_params(batch_size=batch_size).transform(X_test)


def products():
    """Products of 4096 x 4096 matrices, as many operations as the engine's steps."""
    size = 4096
    a, b = torch.rand(2, size, size, device="cuda")
    weights = sum(p.numel() for p in parameters if p.ndim == 2)
    n_products = N_STEPS * 2 * weights * len(X_test) / size**3
    for _ in range(round(n_products)):
        a @ b
    torch.cuda.synchronize()


print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
for precision in ("highest", "high"):
    torch.set_float32_matmul_precision(precision)
    print(f"\nfloat32 products: {precision}" + " (TF32)" * (precision == "high"))
    for batch_size in (100, 10_000):
        ratio = ratios(
            lambda b=batch_size: plain_autograd(b), lambda b=batch_size: engine(b)
        )
        print(f"plain autograd over this engine, batch {batch_size}: {ratio}")
    ratio = ratios(products, lambda: engine(10_000))
    print(f"large products over this engine, batch 10000: {ratio}")
    codes = engine(10_000)
    X_hat = encoder.inverse_transform(codes)
    psnr = peak_signal_noise_ratio(X_test, X_hat).mean()
    generator.double()
    exact = engine(10_000)
    generator.float()
    moved = np.linalg.norm(codes - exact) / np.linalg.norm(exact)
    print(f"codes moved from float64's by {moved:.1e}, PSNR {psnr:.3f} dB")
