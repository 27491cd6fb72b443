"""Table 1, Figures 2 and 3: how good are reconstructions, with how many active codes?

The mean squared error is taken over all pixels of all test images, as in the paper.
The second PSNR is that of codes whose inactive entries, up to 0.2 in absolute value,
are set to zero: information that is left in small entries does not count there.

Two methods are measured once more, with other steps of inference than in training:
short-run inference with 100 steps, where training has 30, and the proposed method with
steps that are stable for larger weights. 120 steps with s = 0.05 go as far as 30 with
s = 0.1, because a step has the length s**2 / 2.
"""

import numpy as np
from common import decode, reconstruct, run, show_rows

from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio

MEAN = "mean image"
OTHER_STEPS = {
    "short-run, 100 steps": ("short-run", {"n_steps": 100}),
    "paper, shorter steps": ("paper", {"n_steps": 120, "step_size": 0.05}),
}
METHODS = [
    MEAN,
    "VSC",
    "VAE",
    "beta-VAE",
    "short-run",
    "short-run, 100 steps",
    "paper",
    "paper, shorter steps",
    "defaults",
    "few codes",
    "variance sparse",
    "TopK",
    "dictionary",
    "PCA",
]


def measure(images, key, fit):
    X = images.X_test
    if key["method"] == MEAN:
        mean = np.broadcast_to(images.X_train.mean(axis=0), X.shape)
        return figures_of(X, mean, mean, n_active=0.0)
    method, steps = OTHER_STEPS.get(key["method"], (key["method"], {}))
    estimator = fit(method, seed=key["seed"])
    if steps:
        estimator.set_params(**steps)
    codes = estimator.transform(X)
    return figures_of(
        X,
        decode(estimator, codes),
        decode(estimator, np.where(np.abs(codes) > 0.2, codes, 0)),
        n_active=active_codes(codes).mean(),
    )


def figures_of(X, output, sparse_output, n_active):
    """Return the figures of reconstructions, of all codes and of the active ones."""
    return {
        "psnr": peak_signal_noise_ratio(X, output, pooled=True),
        "mean_psnr": peak_signal_noise_ratio(X, output).mean(),
        "sparse_psnr": peak_signal_noise_ratio(X, sparse_output, pooled=True),
        "n_active": n_active,
    }


def draw(images, methods, fit):
    X = images.X_test[:10]
    drawn = [method for method in methods if method not in (MEAN, *OTHER_STEPS)]
    rows = {method: reconstruct(fit(method), X) for method in drawn}
    name = "figure_2" if len(images.image_shape) == 2 else "figure_3"
    yield name, show_rows({"original": X, **rows}, images.image_shape)


if __name__ == "__main__":
    run("table 1", __doc__, measure, draw, methods=METHODS)
