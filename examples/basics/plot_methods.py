"""
A comparison of all methods
===========================

This example infers sparse and dense codes of digits by every encoder of the library and
by the linear methods of scikit-learn. It compares how close the reconstructions are,
how many codes are active, and how accurate a linear classifier of the codes is.
"""

# %%
# All methods have 64 components. The nonlinear methods have 200 hidden units. They have
# the same noise, a sigmoid output and the same number of epochs, except for the
# defaults of this library. Langevin dynamics uses the largest step size that is stable
# here. The TopK autoencoder has its own defaults too, with linear networks, and as many
# active codes as the dictionary.

import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder
from sklearn_sparsegen.baselines import (
    ABPEncoder,
    ShortRunEncoder,
    TopKEncoder,
    VAEEncoder,
    VarianceSparseEncoder,
    VSCEncoder,
)
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    (X / 16).astype(np.float32), y, test_size=0.5, stratify=y, random_state=0
)

common = {
    "n_components": 64,
    "hidden_layer_sizes": (200,),
    "sigma": 0.1,
    "output_activation": "auto",
    "batch_size": 100,
    "max_iter": 30,
    "tol": None,
    "learning_rate_init": 0.002,
    "random_state": 0,
}
sparse = {**common, "alpha": 0.1}
methods = {
    "the paper's": SparseGeneratorEncoder(
        **PAPER_SETTINGS | sparse | {"spike_scale": 0.05, "step_size": 0.05}
    ),
    "defaults": SparseGeneratorEncoder(
        n_components=64, hidden_layer_sizes=(200,), random_state=0
    ),
    "short-run": ShortRunEncoder(**common, step_size=0.1),
    "ABP": ABPEncoder(**common, step_size=0.1),
    "VAE": VAEEncoder(**common),
    "beta-VAE": VAEEncoder(**common, beta=4.0),
    "VSC": VSCEncoder(**sparse),
    "variance": VarianceSparseEncoder(**common, n_steps=10),
    "TopK": TopKEncoder(64, n_nonzero_coefs=12, random_state=0),
    "PCA": PCA(64, random_state=0),
    "dictionary": MiniBatchDictionaryLearning(
        64, batch_size=50, transform_n_nonzero_coefs=12, random_state=0
    ),
}

# %%
# A code is active if its absolute value is above 0.2.

print("                       PSNR  active  accuracy  seconds to fit")
reconstructions, figures = {}, {}
for name, method in methods.items():
    start = time.perf_counter()
    method.fit(X_train)
    seconds = time.perf_counter() - start
    codes = method.transform(X_test)
    reconstructions[name] = method.inverse_transform(codes)
    psnr = np.median(peak_signal_noise_ratio(X_test, reconstructions[name]))
    classifier = LogisticRegression(max_iter=1000)
    classifier.fit(method.transform(X_train), y_train)
    accuracy = classifier.score(codes, y_test)
    figures[name] = active_codes(codes).mean(), psnr
    print(
        f"{name:<22} {psnr:.1f}  {figures[name][0]:<6.1f}  {accuracy:<8.3f}  "
        f"{seconds:.0f}"
    )

# %%
# PCA is not in the figure, because as many principal components as pixels lose nothing.
# Of the sparse codes, those of the defaults and those of sparse coding with variance
# regularisation give the closest reconstructions, from the largest numbers of codes.
# The paper's algorithm is as sparse as VSC and closer. A linear classifier makes as
# much of the defaults' sparse codes as of all pixels (PCA), and more than of the dense
# codes of Langevin dynamics, which are noisy.

fig, ax = plt.subplots(layout="constrained")
for name, (n_active, psnr) in figures.items():
    if name != "PCA":
        ax.plot(n_active, psnr, "o")
        ax.annotate(name, (n_active, psnr), (5, 3), textcoords="offset points")
ax.set(xlabel="active codes of 64", ylabel="median PSNR (dB)")
ax.margins(x=0.2)

# %%
# The last figure shows eight digits that are not in the training data, and their
# reconstructions by each method.

fig, axes = plt.subplots(
    len(methods) + 1,
    8,
    figsize=(7, 8),
    layout="constrained",
    subplot_kw={"xticks": [], "yticks": []},
)
rows = {"data": X_test, **reconstructions}
for row, (name, images) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(row, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=1)
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()
