"""
The systems side by side
========================

Sparse and dense codes of digits by every encoder of the library, with scikit-learn's
linear ones: how close are the reconstructions, how many codes are active, and what does
a linear classifier make of them?
"""

# %%
# All have 64 components, and the nonlinear ones 200 hidden units, the same noise and as
# many epochs. Langevin dynamics takes the longest step that is stable here.

import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.baselines import (
    ABPEncoder,
    ShortRunEncoder,
    VAEEncoder,
    VarianceSparseEncoder,
    VSCEncoder,
)
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio

torch.set_num_threads(1)  # on small matrices more threads wait for each other

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    (X / 16).astype(np.float32), y, test_size=0.25, stratify=y, random_state=0
)

common = {
    "n_components": 64,
    "hidden_layer_sizes": (200,),
    "sigma": 0.1,
    "batch_size": 50,
    "max_iter": 40,
    "tol": None,
    "random_state": 0,
}
sparse = {**common, "alpha": 0.1}
systems = {
    "proposed": SparseGeneratorEncoder(**sparse, spike_scale=0.05, step_size=0.05),
    "proposed, exact zeros": SparseGeneratorEncoder(
        **sparse, spike_scale=0, solver="proximal", init="linear", n_steps=4
    ),
    "short-run": ShortRunEncoder(**common, step_size=0.1),
    "ABP": ABPEncoder(**common, step_size=0.1),
    "VAE": VAEEncoder(**common),
    "beta-VAE": VAEEncoder(**common, beta=4.0),
    "VSC": VSCEncoder(**sparse),
    "variance": VarianceSparseEncoder(**common, n_steps=10),
    "PCA": PCA(64, random_state=0),
    "dictionary": MiniBatchDictionaryLearning(
        64, batch_size=50, transform_n_nonzero_coefs=12, random_state=0
    ),
}

# %%
# Active are codes above 0.2 in absolute value.

print("                       PSNR  active  accuracy  seconds to fit")
reconstructions, figures = {}, {}
for name, system in systems.items():
    start = time.perf_counter()
    system.fit(X_train)
    seconds = time.perf_counter() - start
    codes = system.transform(X_test)
    reconstructions[name] = system.inverse_transform(codes)
    psnr = np.median(peak_signal_noise_ratio(X_test, reconstructions[name]))
    classifier = LogisticRegression(max_iter=1000)
    classifier.fit(system.transform(X_train), y_train)
    accuracy = classifier.score(codes, y_test)
    figures[name] = active_codes(codes).mean(), psnr
    print(
        f"{name:<22} {psnr:.1f}  {figures[name][0]:<6.1f}  {accuracy:<8.3f}  "
        f"{seconds:.0f}"
    )

# %%
# As many principal components as pixels lose nothing, and are left out here. Of the
# sparse codes, those that their variance keeps from collapsing reconstruct and classify
# best; those of the exact spike come next in reconstruction.

fig, ax = plt.subplots(layout="constrained")
for name, (n_active, psnr) in figures.items():
    if name != "PCA":
        ax.plot(n_active, psnr, "o")
        ax.annotate(name, (n_active, psnr), (5, 3), textcoords="offset points")
ax.set(xlabel="active codes of 64", ylabel="median PSNR (dB)")
ax.margins(x=0.2)

# %%
# Eight digits that no system has seen, and what each makes of them.

fig, axes = plt.subplots(
    len(systems) + 1,
    8,
    figsize=(7, 8),
    layout="constrained",
    subplot_kw={"xticks": [], "yticks": []},
)
rows = {"data": X_test, **reconstructions}
for row, (name, images) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(row, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()
