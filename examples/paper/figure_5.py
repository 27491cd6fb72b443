"""Figures 5 and 10: in which classes is each of 30 components active?

The mutual information of the class and the activity of a component, in nats, tells in
one number how much structure the heat map has.
"""

import matplotlib.pyplot as plt
from common import LABELS, run

from sklearn_sparsegen.metrics import active_codes, class_information
from sklearn_sparsegen.plotting import ClassActivationDisplay

METHODS = ["short-run", "paper", "constant sparsity", "Langevin noise", "defaults"]
N_COMPONENTS = 30


def measure(images, key, fit):
    estimator = fit(key["method"], seed=key["seed"], n_components=N_COMPONENTS)
    codes = estimator.transform(images.X_test)
    information = class_information(codes, images.y_test)
    return {
        "information": information.mean(),
        "largest_information": information.max(),
        "n_active": active_codes(codes).mean(),
    }


def draw(images, methods, fit):
    size = {"figsize": (8, 2.8 * len(methods)), "layout": "constrained"}
    figure, axes = plt.subplots(len(methods), 1, **size)
    for ax, method in zip(axes, methods, strict=True):
        ClassActivationDisplay.from_estimator(
            fit(method, n_components=N_COMPONENTS),
            images.X_test,
            images.y_test,
            ax=ax,
        )
        ax.set_title(f"{LABELS.get(method, method)}: {ax.get_title()}")
    yield "figure_5", figure


if __name__ == "__main__":
    run("figure 5", __doc__, measure, draw, methods=METHODS, data=["fashion_mnist"])
