"""Table 3: accuracy of a classifier of clean images on images restored from noisy ones.

The classifier has a hidden layer of 100 units and ReLU, and is trained on clean
training images, of which a tenth tells when to stop. Each run has a classifier and
noise of its own, and one of three fits of the method.
"""

from common import GREY, add_noise, reconstruct, run
from sklearn.neural_network import MLPClassifier

METHODS = [
    "raw pixels",
    "VSC",
    "VAE",
    "beta-VAE",
    "ABP",
    "short-run",
    "paper",
    "defaults",
    "few codes",
    "TopK",
    "dictionary",
    "PCA",
]
SCALES = 0.3, 0.5, 0.7
N_FITS = 3


def classifier_of(images, seed):
    """Return the classifier of a run, which is kept beside the images."""
    name = f"classifier_{seed}"
    if name not in images:
        model = MLPClassifier(random_state=seed, early_stopping=True)
        images[name] = model.fit(images.X_train, images.y_train)
    return images[name]


def measure(images, key, fit):
    estimator = fit(key["method"], seed=key["seed"] % N_FITS)
    noisy = add_noise(images.X_test, key["variant"], key["seed"])
    classifier = classifier_of(images, key["seed"])
    return {
        "accuracy": classifier.score(reconstruct(estimator, noisy), images.y_test),
        "accuracy_clean": classifier.score(images.X_test, images.y_test),
    }


if __name__ == "__main__":
    run(
        "table 3",
        __doc__,
        measure,
        variants=SCALES,
        methods=METHODS,
        data=GREY,
        seeds=range(5),
    )
