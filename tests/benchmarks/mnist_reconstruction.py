"""Reconstruct MNIST from sparse codes: PSNR and active codes of the test images.

    SPARSEGEN_DATA=folder python tests/benchmarks/mnist_reconstruction.py

fits the first 10,000 training images for 40 epochs and tests on the first 1,000 test
images, with one torch thread and three seeds.
"""

import platform
import time

import numpy as np
import torch

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio

torch.set_num_threads(1)
mnist = load_images("mnist")
X_train, X_test = mnist.X_train[:10_000], mnist.X_test[:1000]
print(f"{platform.machine()}, one thread, torch {torch.__version__}")
print("       PSNR of   codes of 200   PSNR with the others     fit  transform")
print("seed   images    above 0.2      set to zero")


def psnr(codes):
    return peak_signal_noise_ratio(X_test, encoder.inverse_transform(codes)).mean()


results = []
for seed in range(3):
    settings = PAPER_SETTINGS | {"max_iter": 40, "tol": None, "random_state": seed}
    encoder = SparseGeneratorEncoder(**settings)
    times = [time.perf_counter()]
    encoder.fit(X_train)
    times.append(time.perf_counter())
    codes = encoder.transform(X_test)
    times.append(time.perf_counter())
    exact = np.where(np.abs(codes) > 0.2, codes, 0)
    results.append([psnr(codes), active_codes(codes).mean(), psnr(exact)])
    row = "{:.2f} dB  {:.1f}           {:.2f} dB".format(*results[-1])
    fit_time, transform_time = np.diff(times)
    print(
        f"{seed}      {row}             {fit_time:.0f} s  {transform_time:.1f} s",
        flush=True,
    )
print("mean   {:.2f} dB  {:.1f}           {:.2f} dB".format(*np.mean(results, axis=0)))
