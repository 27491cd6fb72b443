"""
Finding unusual rows
====================

`score_samples` estimates the log-likelihood of each row: how well the learned
components explain it, and how probable its code is. Does a low score tell rows that are
not like the training data?
"""

# %%
# Two kinds of unusual digits
# ---------------------------
# The encoder learns from digits among which there is no 7. It then scores new digits of
# the same kinds, sevens, and digits whose lower half is that of another digit. `sigma`
# is larger than the default, because the encoder shall learn what digits have in
# common, rather than how to draw each of them exactly.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import active_codes, reconstruction_error

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X, y = load_digits(return_X_y=True)
X = X.astype(np.float32)
sevens = X[y == 7]
X_train, X_usual, _, y_usual = train_test_split(
    X[y != 7], y[y != 7], test_size=0.4, stratify=y[y != 7], random_state=0
)
mixed = X_usual.copy()
other = np.random.default_rng(0).permutation(len(mixed))
mixed[:, 32:] = X_usual[other, 32:]
mixed = mixed[y_usual != y_usual[other]]

encoder = SparseGeneratorEncoder(
    n_components=64,
    sigma=2.5,
    hidden_layer_sizes=(200,),
    transform_n_steps=30,
    learning_rate_init=0.003,
    max_iter=50,
    tol=None,
    random_state=0,
).fit(X_train)
print(f"active codes: {active_codes(encoder.transform(X_usual)).mean():.1f} of 64")

# %%
# Compare
# -------
# The area under the ROC curve (AUC) is the probability that a usual row has a higher
# score than an unusual one: 0.5 is chance, and 1 is perfect.

pca = PCA(20).fit(X_train)
mixture = GaussianMixture(10, reg_covar=1.0, random_state=0).fit(X_train)
methods = {
    "SparseGeneratorEncoder": encoder.score_samples,
    "IsolationForest": IsolationForest(random_state=0).fit(X_train).score_samples,
    "PCA, likelihood": pca.score_samples,
    "PCA, reconstruction": lambda X: (
        -reconstruction_error(X, pca.inverse_transform(pca.transform(X)))
    ),
    "GaussianMixture": mixture.score_samples,
}
print("AUC                     sevens  mixed")
for name, score in methods.items():
    usual = score(X_usual)
    areas = []
    for unusual in (sevens, mixed):
        is_usual = np.repeat([1, 0], [len(usual), len(unusual)])
        areas.append(roc_auc_score(is_usual, np.append(usual, score(unusual))))
    print(f"{name:<22}  {areas[0]:<6.2f}  {areas[1]:.2f}")

# %%
# Look at the scores
# ------------------
# The least likely of all these rows are shown with their scores, in nats.

kinds = {"usual": X_usual, "sevens": sevens, "mixed": mixed}
_, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for name, rows in kinds.items():
    ax.hist(encoder.score_samples(rows), 40, density=True, alpha=0.5, label=name)
ax.set(xlabel="score (nats)", ylabel="density")
ax.legend()

rows = np.vstack(list(kinds.values()))
scores = encoder.score_samples(rows)
_, axes = plt.subplots(2, 8, figsize=(7, 2.4), layout="constrained")
for ax, i in zip(axes.flat, scores.argsort(), strict=False):
    ax.imshow(rows[i].reshape(8, 8), cmap="gray")
    ax.set_title(f"{scores[i]:.0f}", fontsize="small")
    ax.set_axis_off()
plt.show()

# %%
# It does: nearly all sevens, and most of the mixed digits, have lower scores than usual
# digits, much more so than by an isolation forest. Principal components come close for
# sevens, and less so for mixed digits. A mixture of normal distributions finds a few
# more of them. It suits data of few features that
# come in clusters; the encoder gives a code of each row besides.
