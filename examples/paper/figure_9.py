"""Figure 9: colour images restored from noisy ones."""

from common import COLOUR, add_noise, reconstruct, run, show_restored

from sklearn_sparsegen.metrics import peak_signal_noise_ratio, structural_similarity

METHODS = ["paper", "defaults", "short-run", "PCA"]
SCALES = 0.1, 0.2, 0.3


def measure(images, key, fit):
    X, shape = images.X_test, {"image_shape": images.image_shape}
    noisy = add_noise(X, key["variant"], key["seed"])
    restored = reconstruct(fit(key["method"], seed=key["seed"]), noisy)
    return {
        "ssim_noisy": structural_similarity(noisy, restored, **shape).mean(),
        "ssim_clean": structural_similarity(X, restored, **shape).mean(),
        "psnr_clean": peak_signal_noise_ratio(X, restored, pooled=True),
        "psnr_noisy_image": peak_signal_noise_ratio(X, noisy, pooled=True),
    }


def draw(images, methods, fit):
    yield "figure_9", show_restored(images, methods, fit, SCALES)


if __name__ == "__main__":
    run(
        "figure 9",
        __doc__,
        measure,
        draw,
        variants=SCALES,
        methods=METHODS,
        data=COLOUR,
    )
