"""Table 1, Figures 2 and 3: how good are reconstructions, with how many active codes?

The mean squared error is taken over all pixels of all test images, as in the paper.
The second PSNR is that of codes whose inactive entries, up to 0.2 in absolute value,
are set to zero: information that is left in small entries does not count there.
"""

import numpy as np
from common import decode, reconstruct, run, show_rows

from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio

METHODS = [
    "VSC",
    "VAE",
    "beta-VAE",
    "short-run",
    "paper",
    "defaults",
    "few codes",
    "variance sparse",
    "TopK",
    "dictionary",
    "PCA",
]


def measure(images, key, fit):
    X, estimator = images.X_test, fit(key["method"], seed=key["seed"])
    codes = estimator.transform(X)
    output = decode(estimator, codes)
    sparse_output = decode(estimator, np.where(np.abs(codes) > 0.2, codes, 0))
    return {
        "psnr": peak_signal_noise_ratio(X, output, pooled=True),
        "mean_psnr": peak_signal_noise_ratio(X, output).mean(),
        "sparse_psnr": peak_signal_noise_ratio(X, sparse_output, pooled=True),
        "n_active": active_codes(codes).mean(),
    }


def draw(images, methods, fit):
    X = images.X_test[:10]
    rows = {method: reconstruct(fit(method), X) for method in methods}
    yield "figure_2", show_rows({"original": X, **rows}, images.image_shape)


if __name__ == "__main__":
    run("table 1", __doc__, measure, draw, methods=METHODS)
