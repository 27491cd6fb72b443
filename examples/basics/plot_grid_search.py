"""
Choosing parameters by likelihood, without labels
=================================================

The score of an encoder is an estimate of the log-likelihood of the data, so a grid
search can choose parameters without labels. What does it choose, and is this also the
best for a classifier, or the sparsest?
"""

# %%
# Search
# ------
# `alpha` determines how many codes are active, and `sigma` how close the
# reconstructions are. The search sees no labels. Other scorers measure the number of
# active codes and the PSNR, which `refit` does not use.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit, train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import make_encoder_scorer

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype(np.float32), y, train_size=500, stratify=y, random_state=0
)
encoder = SparseGeneratorEncoder(
    n_components=50,
    hidden_layer_sizes=(60,),
    decay=0.2,
    learning_rate_init=0.003,
    max_iter=12,
    tol=None,
    random_state=0,
)
scoring = {
    "likelihood": lambda encoder, X, y=None: encoder.score(X),
    "active": make_encoder_scorer("neg_active_codes"),
    "psnr": make_encoder_scorer("psnr", data_range=16),
}
grid = {"alpha": [0.05, 0.3], "sigma": [1.0, 2.0, 4.0]}
split = ShuffleSplit(1, test_size=0.4, random_state=0)
search = GridSearchCV(encoder, grid, scoring=scoring, refit="likelihood", cv=split)
search.fit(X_train)
print("chosen:", search.best_params_)

# %%
# Compare with labels
# -------------------
# For each candidate, a classifier of the codes is trained with labels, and tested on
# digits that the search has not seen.

results = search.cv_results_
accuracies = []
for params in results["params"]:
    model = make_pipeline(
        clone(encoder).set_params(**params), LogisticRegression(max_iter=2000)
    )
    accuracies.append(model.fit(X_train, y_train).score(X_test, y_test))

measures = {
    "log-likelihood (nats)": results["mean_test_likelihood"],
    "active codes of 50": -results["mean_test_active"],
    "PSNR (dB)": results["mean_test_psnr"],
    "accuracy": np.array(accuracies),
}
labels = [f"alpha={p['alpha']}, sigma={p['sigma']}" for p in results["params"]]
print(f"{'':<22}" + "  ".join(measures))
for i, label in enumerate(labels):
    values = (f"{m[i]:<{len(n)}.4g}" for n, m in measures.items())
    print(f"{label:<22}" + "  ".join(values))

# %%
# The chosen candidate is in orange.

fig, axes = plt.subplots(1, 4, figsize=(11, 3), sharey=True, layout="constrained")
colours = ["C1" if i == search.best_index_ else "C0" for i in range(len(labels))]
for ax, (name, values) in zip(axes, measures.items(), strict=True):
    ax.scatter(values, range(len(labels)), c=colours)
    ax.set(xlabel=name)
axes[0].set_yticks(range(len(labels)), labels)
plt.show()

# %%
# The score chose a candidate between the extremes: a smaller `sigma` gives closer
# reconstructions from more codes, but the data are less likely under such a model. The
# likelihood finds a sparse model of the data without labels. It need not order the
# candidates as accuracy does. Where there are
# labels, search over the whole pipeline instead.
