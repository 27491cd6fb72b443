"""
Filling in missing values
=========================

NaN means "not observed": the code of a row is inferred from the values that are there,
and the generator fills in the others. Does this do better than scikit-learn's imputers?
"""

# %%
# Compare with scikit-learn's imputers
# ------------------------------------
# Of two data sets, images of digits and a table of measurements of tumours, 30 % of the
# values are removed at random, from the training rows too. The error is the root of the
# mean squared difference between the values filled in and those that were removed.
#
# `sigma` is about the error that one expects, and `transform_n_steps` is larger than in
# training, as is best for reconstructions. The features of the table depend on few
# causes, which are all present in each tumour to some degree: a few components without
# a spike (`alpha=1`) suit it.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.plotting import ReconstructionDisplay

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

common = {"init": "linear", "learning_rate_init": 0.003, "max_iter": 40}
common |= {"transform_n_steps": 20, "random_state": 0}
digits_encoder = SparseGeneratorEncoder(
    n_components=100, hidden_layer_sizes=(100,), sigma=2.0, **common
)
table_encoder = SparseGeneratorEncoder(
    n_components=8, alpha=1.0, positive_code=False, sigma=0.4, **common
)
data = {
    "digits": (load_digits().data, digits_encoder),
    "tumours": (scale(load_breast_cancer().data), table_encoder),
}
errors = {}
for X, encoder in data.values():
    missing = np.random.default_rng(0).random(X.shape) < 0.3
    X_given = np.where(missing, np.nan, X).astype(np.float32)
    train, test = train_test_split(np.arange(len(X)), random_state=0)
    for imputer in (
        SimpleImputer(),
        KNNImputer(),
        IterativeImputer(max_iter=3, random_state=0),
        encoder,
    ):
        with warnings.catch_warnings():
            # More rounds of IterativeImputer, for which it asks, change little here.
            warnings.filterwarnings("ignore", r"\[IterativeImputer\]")
            imputer.fit(X_given[train])
        filled = imputer.transform(X_given[test])
        if imputer is encoder:
            filled = encoder.inverse_transform(filled)
        error = (filled - X[test])[missing[test]]
        errors.setdefault(type(imputer).__name__, []).append(np.sqrt((error**2).mean()))

print("                        " + "  ".join(data))
for name, (digits, tumours) in errors.items():
    print(f"{name:<22}  {digits:<6.2f}  {tumours:.2f}")

# %%
# The figure has the errors in parts of that of `SimpleImputer`, which fills in means.

_, ax = plt.subplots(figsize=(7, 3), layout="constrained")
shares = np.array(list(errors.values())) / errors["SimpleImputer"]
for i, name in enumerate(data):
    ax.barh(np.arange(len(errors)) + 0.4 * i, shares[:, i], 0.4, label=name)
ax.set_yticks(np.arange(len(errors)) + 0.2, errors)
ax.set_xlabel("error, relative to that of the mean")
ax.legend()

# %%
# The last figure shows digits, what is observed of them, and what is restored.

X = load_digits().data
missing = np.random.default_rng(0).random(X.shape) < 0.3
# sphinx_gallery_thumbnail_number = 2
display = ReconstructionDisplay.from_estimator(
    digits_encoder,
    np.where(missing, np.nan, X)[test[:8]].astype(np.float32),
    X_clean=X[test[:8]],
    image_shape=(8, 8),
)
plt.show()

# %%
# On neither data set is it the best by much, but it is near the best on both. Among the
# digits, which come in clusters, the neighbours of `KNNImputer` are closer, and the
# linear regressions of `IterativeImputer` are behind. On the table, whose features
# are nearly linear functions of each other, it is the other way round. Try all three:
# the encoder also gives codes of the rows, and needs no training rows afterwards.
