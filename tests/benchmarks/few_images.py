"""What helps a generator of colour images that has few images to learn from?

    SPARSEGEN_DATA=folder python tests/benchmarks/few_images.py

fits encoders to the 883 images of the small part of SVHN, with other sizes of the
generator, learning rates and schedules than the defaults, for three seeds. An epoch has
20 updates of the weights. PCA is beside them. It takes about an hour on one core.
"""

import warnings

import numpy as np
import torch
from settings import LINEAR
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio

torch.set_num_threads(1)
WIDE = {"hidden_layer_sizes": (2000, 2000)}
SLOW = {"learning_rate_init": 1e-4, "max_iter": 100, "tol": None}
SETTINGS = {
    "defaults": {},
    "decay=0.01": {"decay": 0.01},
    "40 codes": {"n_nonzero_coefs": 40},
    "two layers of 2,000, 40 codes": WIDE | {"n_nonzero_coefs": 40},
    "the same, rate 0.0001, 100 epochs": WIDE | SLOW | {"n_nonzero_coefs": 40},
}
images = load_images("svhn")


def show(name, fits):
    """Print the means, and the smallest and the largest value, over some fits."""
    cells = []
    for X in images.X_train, images.X_test:
        codes = [fit.transform(X) for fit in fits]
        restored = [
            fit.inverse_transform(Z) for fit, Z in zip(fits, codes, strict=True)
        ]
        psnr = [peak_signal_noise_ratio(X, X_hat, pooled=True) for X_hat in restored]
        n_active = np.mean([active_codes(Z).mean() for Z in codes])
        text = f"{np.mean(psnr):.1f} ({min(psnr):.1f} to {max(psnr):.1f})"
        cells.append(f"{text:<22}{n_active:<8.1f}")
    warned = ", ".join(str(fit.warned) for fit in fits)
    epochs = ", ".join(str(getattr(fit, "n_iter_", "-")) for fit in fits)
    print(f"{name:<35}{''.join(cells)}{epochs:<15}{warned}", flush=True)


print(f"{'setting':<35}{'PSNR of training':<22}{'active':<8}", end="")
print(f"{'of test images':<22}{'active':<8}{'epochs':<15}warnings")
for n in 20, 40:
    fit = PCA(n, random_state=0).fit(images.X_train)
    fit.warned = 0
    show(f"PCA, {n} components", [fit])
for name, settings in SETTINGS.items():
    fits = []
    for seed in range(3):
        encoder = SparseGeneratorEncoder(400, random_state=seed, **LINEAR | settings)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            fits.append(encoder.fit(images.X_train))
        encoder.warned = len(caught)
    show(name, fits)
