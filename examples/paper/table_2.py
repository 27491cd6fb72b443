"""Table 2 and Figure 8: structural similarity of images restored from noisy ones.

The paper compares the restored image with the noisy one. The similarity to the clean
image, which tells how well an image is restored, is beside it.
"""

from common import GREY, add_noise, reconstruct, run, show_restored

from sklearn_sparsegen.metrics import peak_signal_noise_ratio, structural_similarity

METHODS = [
    "VSC",
    "VAE",
    "beta-VAE",
    "short-run",
    "paper",
    "defaults",
    "few codes",
    "TopK",
    "dictionary",
    "PCA",
]
SCALES = 0.3, 0.5, 0.7


def measure(images, key, fit):
    X, shape = images.X_test, {"image_shape": images.image_shape}
    noisy = add_noise(X, key["variant"], key["seed"])
    restored = reconstruct(fit(key["method"], seed=key["seed"]), noisy)
    return {
        "ssim_noisy": structural_similarity(noisy, restored, **shape).mean(),
        "ssim_clean": structural_similarity(X, restored, **shape).mean(),
        "psnr_clean": peak_signal_noise_ratio(X, restored, pooled=True),
    }


def draw(images, methods, fit):
    yield "figure_8", show_restored(images, methods, fit, SCALES)


if __name__ == "__main__":
    run(
        "table 2",
        __doc__,
        measure,
        draw,
        variants=SCALES,
        methods=METHODS,
        data=GREY,
    )
