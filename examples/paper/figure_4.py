"""Figure 4: what changes when a single active component changes?

Each of the ten components that are active most often is named by the attribute, of the
40 of CelebA, that it goes with: the one whose presence its code predicts best on the
training images, by the area under the ROC curve. The area that is reported is that of
the test images, because the best of 40 is above chance by chance. 0.5 is chance; below
0.5 a larger code goes with absence.
"""

import numpy as np
from common import run
from sklearn.metrics import roc_auc_score

from sklearn_sparsegen.metrics import active_codes
from sklearn_sparsegen.plotting import TraversalDisplay

METHODS = ["paper", "defaults", "short-run"]
N_COMPONENTS = 10


def area_of(code, attribute):
    """Return the area under the ROC curve; it is that of chance if all rows agree."""
    return roc_auc_score(attribute, code) if len(np.unique(attribute)) == 2 else 0.5


def attribute_of(code, attributes):
    """Return the place of the attribute that a code predicts best."""
    areas = [area_of(code, attribute) for attribute in attributes.T]
    return np.abs(np.array(areas) - 0.5).argmax()


def measure(images, key, fit):
    encoder = fit(key["method"], seed=key["seed"])
    codes = encoder.transform(images.X_test)
    figures = {"n_active": active_codes(codes).mean()}
    if "attributes_test" in images:
        use = (np.abs(codes) > 0.2).mean(axis=0)
        order = np.argsort(-use, kind="stable")[:N_COMPONENTS]
        train = encoder.transform(images.X_train)
        places = [attribute_of(train[:, j], images.attributes_train) for j in order]
        pairs = zip(codes[:, order].T, images.attributes_test[:, places].T, strict=True)
        areas = [area_of(code, attribute) for code, attribute in pairs]
        names = images.attribute_names[places]
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
