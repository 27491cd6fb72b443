"""Figure 6: accuracy of a classifier of codes, from 3,000 labels.

The classifier has a hidden layer of 100 units and ReLU. The codes are those that
`transform` of each method returns. A draw has 3,000 random training images, and a
classifier of its own; the encoders are fitted to all training images, without labels.
"""

import numpy as np
import torch
from common import run
from sklearn.neural_network import MLPClassifier

from sklearn_sparsegen.metrics import active_codes

SLAB_MEANS = "VSC, slab means"
METHODS = [
    "raw pixels",
    "VSC",
    SLAB_MEANS,
    "VAE",
    "beta-VAE",
    "short-run",
    "paper",
    "defaults",
    "TopK",
    "dictionary",
    "PCA, dense",
]
SIZES = 10, 50, 100, 150, 200, 250
N_DRAWS, N_LABELS = 5, 3000


@torch.no_grad()
def slab_means(encoder, X):
    """Return the means of the slab of VSC's posterior: the first outputs."""
    like = next(encoder.recognition_.parameters())
    output = encoder.recognition_(torch.from_numpy(X).to(like))
    return output[:, : encoder.n_components_].cpu().numpy()


def measure(images, key, fit):
    method = "VSC" if key["method"] == SLAB_MEANS else key["method"]
    encoder = fit(method, seed=key["seed"], n_components=key["variant"])
    X, y, X_test = images.X_train, images.y_train, images.X_test

    def features(X):
        return (
            encoder.transform(X) if method == key["method"] else slab_means(encoder, X)
        )

    Z_test, accuracies = features(X_test), []
    for draw in range(N_DRAWS):
        rng = np.random.default_rng((key["seed"], draw))
        rows = rng.choice(len(X), min(N_LABELS, len(X)), replace=False)
        classifier = MLPClassifier(random_state=draw, max_iter=500)
        classifier.fit(features(X[rows]), y[rows])
        accuracies.append(classifier.score(Z_test, images.y_test))
    return {"accuracy": accuracies, "n_active": active_codes(Z_test).mean()}


if __name__ == "__main__":
    run(
        "figure 6",
        __doc__,
        measure,
        variants=SIZES,
        methods=METHODS,
        data=["mnist"],
        seeds=[0],
    )
