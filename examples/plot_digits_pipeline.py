"""
Sparse codes of digits, and a classifier of the codes
=====================================================

This example uses an encoder in a pipeline.
:class:`~sklearn_sparsegen.SparseGeneratorEncoder` learns to generate scikit-learn's 8x8
digits from sparse codes, and a classifier is trained on the codes.
"""

# %%
# Fit the pipeline
# ----------------
# The pixels are scaled to [0, 1]. A digit has only 64 pixels. The noise is therefore
# lower than the default, the spike is narrower, and the step size is smaller to match.

import sys

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio
from sklearn_sparsegen.plotting import ReconstructionDisplay

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.25, stratify=y, random_state=0
)

encoder = SparseGeneratorEncoder(
    n_components=64,
    alpha=0.1,
    sigma=0.1,
    spike_scale=0.05,
    step_size=0.05,
    batch_size=20,
    max_iter=60,
    tol=None,
    random_state=0,
)
classifier = MLPClassifier(max_iter=500, random_state=0)
model = Pipeline([("enc", encoder), ("clf", classifier)]).fit(X_train, y_train)

# %%
# Compare
# -------
# The same classifier is trained on the raw pixels, and on as many principal components
# as a code has components.

raw = MLPClassifier(max_iter=500, random_state=0).fit(X_train, y_train)
pca = Pipeline(
    [("pca", PCA(64)), ("clf", MLPClassifier(max_iter=500, random_state=0))]
).fit(X_train, y_train)

encoder = model["enc"]
codes = encoder.transform(X_test)
psnr = peak_signal_noise_ratio(X_test, encoder.inverse_transform(codes)).mean()
print(f"accuracy, sparse codes   {model.score(X_test, y_test):.3f}")
print(f"accuracy, raw pixels     {raw.score(X_test, y_test):.3f}")
print(f"accuracy, PCA            {pca.score(X_test, y_test):.3f}")
print(f"PSNR of reconstructions  {psnr:.1f} dB")
print(f"active codes             {active_codes(codes).mean():.1f} of {codes.shape[1]}")

# %%
# Look at the codes
# -----------------
# The figure shows digits that are not in the training data, their reconstructions from
# the codes, and the codes.

display = ReconstructionDisplay.from_estimator(encoder, X_test[:8], image_shape=(8, 8))
if len(sys.argv) > 1:  # the name of a file on the command line
    display.figure_.savefig(sys.argv[1])
plt.show()
