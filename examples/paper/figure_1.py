"""Figure 1: codes and reconstructions with alpha = 1, 0.5 and 0.01."""

import matplotlib.pyplot as plt
from common import decode, run, show

from sklearn_sparsegen.metrics import (
    active_codes,
    hoyer_sparsity,
    peak_signal_noise_ratio,
)

METHODS = ["alpha = 1", "alpha = .5", "paper"]


def measure(images, key, fit):
    X, estimator = images.X_test, fit(key["method"], seed=key["seed"])
    codes = estimator.transform(X)
    return {
        "psnr": peak_signal_noise_ratio(X, decode(estimator, codes), pooled=True),
        "n_active": active_codes(codes).mean(),
        "hoyer": hoyer_sparsity(codes).mean(),
    }


def draw(images, methods, fit):
    size = {"figsize": (9, 3.6), "layout": "constrained"}
    figure, axes = plt.subplots(2, len(methods), **size)
    for (top, bottom), method in zip(axes.T, methods, strict=True):
        estimator = fit(method)
        codes = estimator.transform(images.X_test[:1])
        top.vlines(range(codes.shape[1]), 0, codes[0], linewidth=1)
        top.set(title=method.replace("paper", "alpha = .01"), xlabel="component")
        show(bottom, decode(estimator, codes), images.image_shape)
    axes[0, 0].set_ylabel("code")
    yield "figure_1", figure


if __name__ == "__main__":
    run("figure 1", __doc__, measure, draw, methods=METHODS, data=["mnist"])
