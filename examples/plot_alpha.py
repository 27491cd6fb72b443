"""
How alpha changes the codes
===========================

This example repeats Figure 1 of the paper on digits. `alpha` is the prior probability
of the slab. The example shows codes for alpha = 1, where they are dense, for alpha =
0.5, and for alpha = 0.01.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio
from sklearn_sparsegen.plotting import ReconstructionDisplay

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X = load_digits(return_X_y=True)[0] / 16
X_train, X_test = X[:1200], X[1200:]

for alpha in (1.0, 0.5, 0.01):
    encoder = SparseGeneratorEncoder(
        n_components=32,
        alpha=alpha,
        sigma=0.1,
        spike_scale=0.05,
        step_size=0.04,
        hidden_layer_sizes=(100,),
        batch_size=50,
        learning_rate_init=3e-3,
        max_iter=40,
        tol=None,
        random_state=0,
    ).fit(X_train)
    codes = encoder.transform(X_test)
    psnr = peak_signal_noise_ratio(X_test, encoder.inverse_transform(codes)).mean()
    print(
        f"alpha={alpha}: {active_codes(codes).mean():.1f} of 32 codes above 0.2, "
        f"{psnr:.1f} dB"
    )
    display = ReconstructionDisplay.from_estimator(
        encoder, X_test[:6], image_shape=(8, 8)
    )
    display.figure_.suptitle(f"alpha = {alpha}")
plt.show()
