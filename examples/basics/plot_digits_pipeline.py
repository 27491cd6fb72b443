"""
Sparse codes of digits, and a classifier of the codes
=====================================================

Is a classifier better with sparse codes than with pixels? This example uses an encoder
in a pipeline, with all defaults.
:class:`~sklearn_sparsegen.SparseGeneratorEncoder` learns to generate scikit-learn's 8x8
digits from sparse codes, and a classifier is trained on the codes.
"""

# %%
# Fit the pipeline
# ----------------
# The pixels are used as they are, from 0 to 16. For comparison, the same classifier is
# trained on the raw pixels and on principal components. Each seed has a split of the
# data and an initialisation of its own.

import sys

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import active_codes
from sklearn_sparsegen.plotting import ReconstructionDisplay

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X, y = load_digits(return_X_y=True)
X = X.astype(np.float32)
figures = {}
for seed in range(3):
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=seed
    )
    classifier = MLPClassifier(random_state=seed, max_iter=500)
    encoder = SparseGeneratorEncoder(random_state=seed)
    model = Pipeline([("enc", encoder), ("clf", classifier)]).fit(X_train, y_train)
    raw = clone(classifier).fit(X_train, y_train)
    pca = Pipeline([("pca", PCA(64)), ("clf", clone(classifier))])
    pca.fit(X_train, y_train)

    codes = encoder.transform(X_test)
    for name, value in {
        "accuracy, sparse codes": model.score(X_test, y_test),
        "accuracy, raw pixels": raw.score(X_test, y_test),
        "accuracy, PCA": pca.score(X_test, y_test),
        "R2 of reconstructions": r2_score(
            X_test, encoder.inverse_transform(codes), multioutput="variance_weighted"
        ),
        "active codes of 200": active_codes(codes).mean(),
    }.items():
        figures.setdefault(name, []).append(value)

print("means over three seeds, smallest and largest in brackets")
for name, values in figures.items():
    print(f"{name:<23} {np.mean(values):.3f} ({min(values):.3f}, {max(values):.3f})")

# %%
# Look at the codes
# -----------------
# The figure shows digits that are not in the training data, their reconstructions from
# the codes, and the codes.

display = ReconstructionDisplay.from_estimator(encoder, X_test[:8], image_shape=(8, 8))
if len(sys.argv) > 1:  # the name of a file on the command line
    display.figure_.savefig(sys.argv[1])
plt.show()

# %%
# A little better on average, from about 25 active ones of 200 components; the ranges
# over the seeds overlap.
