"""Reconstruct MNIST from sparse codes: PSNR and active codes of held-out images.

    SPARSEGEN_DATA=folder python tests/benchmarks/mnist_reconstruction.py

fits the first 10,000 training images for 40 epochs with one torch thread, and tests
on the first 1,000 test images.
"""

import platform
import time

import torch

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio

torch.set_num_threads(1)
mnist = load_images("mnist")
X_test = mnist.X_test[:1000]
encoder = SparseGeneratorEncoder(
    n_components=200,
    hidden_layer_sizes=(400,),
    batch_size=100,
    learning_rate_init=1e-3,
    max_iter=40,
    random_state=0,
    verbose=True,
)
start = time.perf_counter()
encoder.fit(mnist.X_train[:10_000])
fit_seconds = time.perf_counter() - start
start = time.perf_counter()
Z = encoder.transform(X_test)
transform_seconds = time.perf_counter() - start
psnr = peak_signal_noise_ratio(X_test, encoder.inverse_transform(Z)).mean()
print(f"machine          {platform.machine()}, one thread, torch {torch.__version__}")
print(f"fit              {fit_seconds:.0f} s, {encoder.n_iter_} epochs")
print(f"transform        {transform_seconds:.1f} s for {len(X_test)} images")
print(f"PSNR             {psnr:.2f} dB, mean over test images")
for threshold in (0.1, 0.2):
    exact = encoder.set_params(threshold=threshold).transform(X_test)
    psnr = peak_signal_noise_ratio(X_test, encoder.inverse_transform(exact)).mean()
    n_active = active_codes(Z, threshold=threshold).mean()
    print(
        f"|z| > {threshold}        {n_active:.1f} of {Z.shape[1]} codes; "
        f"{psnr:.2f} dB with the others set to zero"
    )
