"""Few labels: what a linear classifier makes of codes that were learned without labels.

    SPARSEGEN_DATA=folder python tests/benchmarks/few_labels.py [file [picture]]

fits encoders to 10,000 images, and logistic regression (its C by cross-validation, on
standardised features) to 100, 300, 1,000 and 3,000 labels: the mean of three draws, on
the first 4,000 test images. Beside it stand the number of active codes of these images
and their mean PSNR. Each line is written as it comes; lines that are in the file are
not computed again. It takes about half an hour on one core. The picture shows the
encoders of 35 codes.
"""

import itertools
import re
import sys
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from settings import LINEAR
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import peak_signal_noise_ratio

torch.set_num_threads(1)
COUNTS = 100, 300, 1000, 3000
LIMITED = LINEAR | {"init": "zeros", "tol": None, "max_iter": 40}
WIDE = LIMITED | {"n_components": 600, "n_nonzero_coefs": 35}


class TopKAutoencoder:
    """Linear encoder, ReLU, the k largest kept, and a linear decoder of unit norms."""

    def __init__(self, n_components, n_active):
        self.n_components, self.n_active = n_components, n_active

    def fit(self, X):
        self.mean, self.scale = X.mean(0), np.sqrt(X.var(0).mean())
        x = torch.from_numpy((X - self.mean) / self.scale)
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(x.shape[1], self.n_components, generator=generator)
        start /= start.norm(dim=0)
        self.encoder = start.clone().requires_grad_()
        self.decoder = start.T.clone().requires_grad_()
        self.bias = torch.zeros(self.n_components, requires_grad=True)
        parameters = [self.encoder, self.decoder, self.bias]
        adam = torch.optim.Adam(parameters, lr=1e-3)
        for _ in range(40):
            for rows in torch.randperm(len(x), generator=generator).split(100):
                loss = (self._encode(x[rows]) @ self.decoder - x[rows]).square().sum(1)
                adam.zero_grad()
                loss.mean().backward()
                adam.step()
                with torch.no_grad():
                    self.decoder /= self.decoder.norm(dim=1, keepdim=True)
        return self

    def _encode(self, x):
        z = torch.relu(x @ self.encoder + self.bias)
        largest = z.topk(self.n_active, dim=1)
        return torch.zeros_like(z).scatter(1, largest.indices, largest.values)

    @torch.no_grad()
    def transform(self, X):
        return self._encode(torch.from_numpy((X - self.mean) / self.scale)).numpy()

    @torch.no_grad()
    def inverse_transform(self, Z):
        return (torch.from_numpy(Z) @ self.decoder).numpy() * self.scale + self.mean


ENCODERS = {
    "TopK autoencoder, 12 of 200": (TopKAutoencoder(200, 12), [None]),
    "TopK autoencoder, 20 of 200": (TopKAutoencoder(200, 20), [None]),
    "TopK autoencoder, 35 of 600": (TopKAutoencoder(600, 35), [None]),
    "paper's settings": (
        SparseGeneratorEncoder(**PAPER_SETTINGS | {"tol": None, "max_iter": 40}),
        [30],
    ),
    "linear start": (SparseGeneratorEncoder(**LINEAR), [2, 4, 30]),
    "linear start, sigmoid": (
        SparseGeneratorEncoder(**LINEAR, output_activation="sigmoid"),
        [2, 4, 30],
    ),
    "12 of 200, from zeros, 10 steps": (
        SparseGeneratorEncoder(**LIMITED, n_nonzero_coefs=12, n_steps=10),
        [3, 10, 30],
    ),
    "20 of 200, from zeros, 10 steps": (
        SparseGeneratorEncoder(**LIMITED, n_nonzero_coefs=20, n_steps=10),
        [3, 10, 30],
    ),
    "35 of 600, 10 steps": (
        SparseGeneratorEncoder(**WIDE | {"init": "linear"}, n_steps=10),
        [1, 2, 10, 30],
    ),
    "35 of 600, from zeros, 5 steps": (
        SparseGeneratorEncoder(**WIDE, n_steps=5),
        [2, 3, 5, 30],
    ),
    "35 of 600, linear, from zeros, 3 steps": (
        SparseGeneratorEncoder(**WIDE, n_steps=3, hidden_layer_sizes=()),
        [2, 3, 30],
    ),
}


def accuracies(features, y, features_test, y_test):
    """Return the mean accuracy of three draws for each number of labels."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    grid = {"logisticregression__C": [1e-3, 1e-2, 1e-1, 1.0]}
    means = []
    for count in COUNTS:
        scores = []
        for draw in range(3):
            rows = np.random.default_rng(draw).permutation(len(features))[:count]
            search = GridSearchCV(classifier, grid, cv=3).fit(features[rows], y[rows])
            scores.append(search.score(features_test, y_test))
        means.append(np.mean(scores))
    return " ".join(f"{mean:.3f}".lstrip("0") for mean in means)


def main(path):
    warnings.simplefilter("ignore", ConvergenceWarning)
    known = path.read_text() if path.exists() else ""

    def write(label, figures):
        with path.open("a") as file:
            file.write(f"{label:<69}{figures}\n")

    for name in "mnist", "fashion_mnist":
        images = load_images(name)
        X, y = images.X_train[:10_000], images.y_train[:10_000]
        X_test, y_test = images.X_test[:4000], images.y_test[:4000]
        label = f"{name}: raw pixels"
        if label not in known:
            write(label, accuracies(X, y, X_test, y_test))
        for system, (encoder, step_counts) in ENCODERS.items():
            labels = {
                steps: f"{name}: {system}"
                + f", transform {steps}" * (steps is not None)
                for steps in step_counts
            }
            if all(f"{label} " in known for label in labels.values()):
                continue
            if hasattr(encoder, "set_params"):
                encoder.set_params(random_state=0, transform_n_steps=None)
            start = time.perf_counter()
            encoder.fit(X)
            seconds = time.perf_counter() - start
            for steps, label in labels.items():
                if steps is not None:
                    encoder.set_params(transform_n_steps=steps)
                codes, codes_test = encoder.transform(X), encoder.transform(X_test)
                X_hat = encoder.inverse_transform(codes_test)
                psnr = peak_signal_noise_ratio(X_test, X_hat).mean()
                n_active = (
                    (np.abs(codes_test) > 0.2 * ("paper" in system)).sum(1).mean()
                )
                write(
                    label,
                    accuracies(codes, y, codes_test, y_test)
                    + f"  {n_active:5.1f} codes {psnr:.1f} dB, fit {seconds:.0f} s",
                )


def draw(path, picture):
    """Draw accuracy against PSNR of the encoders that keep 35 codes of 600."""
    lines = re.findall(
        r"^(\w+): (.*35 of 600.*?)(?:, transform \d+)? +((?:\.\d+ ){4}) .* ([\d.]+) dB",
        path.read_text(),
        re.MULTILINE,
    )
    panels = list(itertools.product(dict.fromkeys(line[0] for line in lines), (0, 2)))
    fig, axes = plt.subplots(2, 2, figsize=(8, 6), layout="constrained", sharex="row")
    for ax, (name, place) in zip(axes.flat, panels, strict=True):
        for system in dict.fromkeys(line[1] for line in lines):
            points = [
                (float(psnr), float(accuracies.split()[place]))
                for data, own, accuracies, psnr in lines
                if (data, own) == (name, system)
            ]
            ax.plot(*zip(*sorted(points), strict=True), "o-", label=system)
        ax.set(title=f"{name}, {COUNTS[place]} labels", xlabel="PSNR (dB)")
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("accuracy")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    fig.savefig(picture, dpi=100)


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "few_labels.txt")
    main(path)
    if len(sys.argv) > 2:
        draw(path, sys.argv[2])
