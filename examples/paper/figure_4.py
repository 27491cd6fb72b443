"""Figure 4: what changes when a single active component changes?

Each of the ten components that are active most often is named by the attribute, of the
40 of CelebA, that it goes with: the one whose presence its code predicts best, by the
area under the ROC curve on the test images. 0.5 is chance; below 0.5 a larger code goes
with absence.
"""

import numpy as np
from common import run
from sklearn.metrics import roc_auc_score

from sklearn_sparsegen.metrics import active_codes
from sklearn_sparsegen.plotting import TraversalDisplay

METHODS = ["paper", "defaults", "short-run"]
N_COMPONENTS = 10


def attribute_of(code, attributes):
    """Return the place of the attribute that a code predicts best, and the area."""
    areas = np.full(attributes.shape[1], 0.5)
    for j, attribute in enumerate(attributes.T):
        if len(np.unique(attribute)) == 2:
            areas[j] = roc_auc_score(attribute, code)
    best = np.abs(areas - 0.5).argmax()
    return best, areas[best]


def measure(images, key, fit):
    codes = fit(key["method"], seed=key["seed"]).transform(images.X_test)
    figures = {"n_active": active_codes(codes).mean()}
    if "attributes_test" in images:
        use = (np.abs(codes) > 0.2).mean(axis=0)
        order = np.argsort(-use, kind="stable")[:N_COMPONENTS]
        best = [attribute_of(codes[:, j], images.attributes_test) for j in order]
        places, areas = zip(*best, strict=True)
        names = images.attribute_names[list(places)]
        figures |= {"attributes": ", ".join(map(str, names)), "areas": areas}
    return figures


def draw(images, methods, fit):
    for method in methods:
        display = TraversalDisplay.from_estimator(
            fit(method), images.X_test[:100], image_shape=images.image_shape
        )
        yield f"figure_4_{method}", display.figure_


if __name__ == "__main__":
    data = ["celeba64", "mnist"]
    run("figure 4", __doc__, measure, draw, methods=METHODS, data=data)
