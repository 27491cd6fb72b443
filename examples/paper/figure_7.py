"""Figure 7: t-SNE of codes, and how often neighbours there are of one class.

The score is the share of the first 2,000 test images of which most of the five nearest
neighbours in the plane are of their class.
"""

import matplotlib.pyplot as plt
from common import LABELS, run
from scipy.stats import mode
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

METHODS = ["beta-VAE", "VSC", "short-run", "paper", "defaults", "raw pixels"]
N_IMAGES = 2000


def neighbour_accuracy(points, y, n_neighbors=5):
    search = NearestNeighbors(n_neighbors=n_neighbors).fit(points)
    neighbours = search.kneighbors(return_distance=False)  # without the point itself
    return (mode(y[neighbours], axis=1).mode == y).mean()


def embed(images, estimator, seed):
    codes = estimator.transform(images.X_test[:N_IMAGES])
    return TSNE(random_state=seed).fit_transform(codes)


def measure(images, key, fit):
    estimator = fit(key["method"], seed=key["seed"])
    points = embed(images, estimator, key["seed"])
    return {"accuracy": neighbour_accuracy(points, images.y_test[:N_IMAGES])}


def draw(images, methods, fit):
    figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
    for ax, method in zip(axes.flat, methods, strict=True):
        points = embed(images, fit(method), 0)
        dots = ax.scatter(*points.T, c=images.y_test[:N_IMAGES], cmap="tab10", s=3)
        ax.set(title=LABELS.get(method, method), xticks=[], yticks=[])
    classes = dots.legend_elements(num=None)
    figure.legend(*classes, title="class", loc="outside right upper")
    yield "figure_7", figure


if __name__ == "__main__":
    run("figure 7", __doc__, measure, draw, methods=METHODS, data=["mnist"])
