"""
How alpha changes the codes
===========================

This example repeats Figure 1 of the paper on digits. `alpha` is the prior probability
of the slab. The example shows codes for alpha = 1, where they are dense, for alpha =
0.5, where an active code costs nothing but its size, and for alpha = 0.01.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio
from sklearn_sparsegen.plotting import ReconstructionDisplay

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X = load_digits().data.astype(np.float32)
X_train, X_test = X[:1200], X[1200:]

for alpha in (1.0, 0.5, 0.01):
    encoder = SparseGeneratorEncoder(
        n_components=32,
        alpha=alpha,
        positive_code=False,
        hidden_layer_sizes=(100,),
        max_iter=60,
        tol=None,
        random_state=0,
    ).fit(X_train)
    codes = encoder.transform(X_test)
    X_hat = encoder.inverse_transform(codes)
    psnr = peak_signal_noise_ratio(X_test, X_hat, data_range=16).mean()
    print(f"alpha={alpha}: {active_codes(codes).mean():.1f} of 32 codes, {psnr:.1f} dB")
    display = ReconstructionDisplay.from_estimator(
        encoder, X_test[:6], image_shape=(8, 8)
    )
    display.figure_.suptitle(f"alpha = {alpha}")
plt.show()
