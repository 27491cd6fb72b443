"""Table 4: what do the noise of Langevin dynamics and the schedule of alpha change?

PSNR is that of clean test images, as in Table 1. The structural similarity is that of
images restored from noisy ones, to the noisy image as in the paper, and to the clean
one. The noise has the scale 0.5 for grey images and 0.1 for colour images.
"""

from common import add_noise, decode, reconstruct, run

from sklearn_sparsegen.metrics import (
    active_codes,
    peak_signal_noise_ratio,
    structural_similarity,
)

METHODS = ["Langevin noise", "constant sparsity", "paper"]


def measure(images, key, fit):
    X, shape = images.X_test, {"image_shape": images.image_shape}
    estimator = fit(key["method"], seed=key["seed"])
    codes = estimator.transform(X)
    noisy = add_noise(X, 0.1 if len(images.image_shape) == 3 else 0.5, key["seed"])
    restored = reconstruct(estimator, noisy)
    return {
        "psnr": peak_signal_noise_ratio(X, decode(estimator, codes), pooled=True),
        "n_active": active_codes(codes).mean(),
        "ssim_noisy": structural_similarity(noisy, restored, **shape).mean(),
        "ssim_clean": structural_similarity(X, restored, **shape).mean(),
    }


if __name__ == "__main__":
    run("table 4", __doc__, measure, methods=METHODS)
