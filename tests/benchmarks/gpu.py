"""Inference on a GPU, compared with plain autograd and the GPU's rate of products.

    SPARSEGEN_DATA=folder python tests/benchmarks/gpu.py

prints ratios measured in one process on MNIST, with a generator of 200-400-784 units
and 30 steps of the paper's solver. Three ways are measured: `transform`, which launches
one operation after another; the solver alone, launched in the same way; and the solver
alone as a CUDA graph. Spreads are the smallest and the largest of five repetitions.
TF32 is a setting of PyTorch. What it costs is shown by the distance of the codes from
those of float64, relative to their norm, and by the PSNR of the reconstructions.
"""

from functools import partial

import numpy as np
import torch
from cuda_graph import CUDAGraph
from inference import SETTINGS, infer_by_plain_autograd, ratios

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen._model.energy import DataTerm
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import peak_signal_noise_ratio

DEVICE = "cuda"
MATRIX_SIZE = 2048  # with larger matrices the number of products is rounded too much
mnist = load_images("mnist")
X, X_test = mnist.X_train[:10_000], mnist.X_test
encoder = SparseGeneratorEncoder(**SETTINGS, device=DEVICE).fit(X)
encoder.generator_.double()
exact = encoder.transform(X_test)
encoder.generator_.float()
model = encoder._inference_model()


def plain_autograd(x):
    """Return the codes of a batch, in a tuple."""
    z = infer_by_plain_autograd(x, model.generator, model.prior, encoder.sigma)
    return (z,)


def solver(x):
    """Return the codes of a batch, in a tuple."""
    term = DataTerm(x, model.generator, model.likelihood)
    start = x.new_zeros(1, encoder.n_components)
    return (model.solver.solve(term, start, model.prior).z,)


def codes_by(function, batch_size):
    """Return the codes of all test images."""
    batches = torch.from_numpy(X_test).split(batch_size)
    return torch.cat([function(x.to(DEVICE))[0].cpu() for x in batches])


def products():
    """Compute large products, with as many operations as the steps have."""
    a, b = torch.rand(2, MATRIX_SIZE, MATRIX_SIZE, device=DEVICE)
    weights = sum(p.numel() for p in model.generator.parameters() if p.ndim == 2)
    # Each step multiplies by each weight matrix once forward and once backward.
    n_multiplications = encoder.n_steps * 2 * weights * len(X_test)
    for _ in range(round(n_multiplications / MATRIX_SIZE**3)):
        a @ b
    torch.cuda.synchronize()


print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
for precision in ("highest", "high"):
    torch.set_float32_matmul_precision(precision)
    print(f"\nfloat32 products: {precision}" + " (TF32)" * (precision == "high"))
    graph = CUDAGraph(solver)  # a graph keeps the precision that it was captured with
    for batch_size in (100, 10_000):
        encoder.set_params(batch_size=batch_size)
        plain = partial(codes_by, plain_autograd, batch_size)
        transform = partial(encoder.transform, X_test)
        by_operation = partial(codes_by, solver, batch_size)
        by_graph = partial(codes_by, graph, batch_size)
        by_graph()  # The first call of the graph only runs the function.
        difference = (by_graph() - by_operation()).abs().max()
        print(f"batch {batch_size}, time of plain autograd over that of")
        print(f"  transform: {ratios(plain, transform)}")
        print(f"  the solver, operation by operation: {ratios(plain, by_operation)}")
        print(f"  the solver as a CUDA graph: {ratios(plain, by_graph)}")
        print(f"largest difference of the codes with the graph: {difference:.1e}")
    print(f"large products over transform, batch 10000: {ratios(products, transform)}")
    codes = transform()
    distance = np.linalg.norm(codes - exact) / np.linalg.norm(exact)
    X_hat = encoder.inverse_transform(codes)
    psnr = peak_signal_noise_ratio(X_test, X_hat).mean()
    print(f"distance from the codes of float64: {distance:.1e}, PSNR {psnr:.3f} dB")
