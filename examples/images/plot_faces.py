"""
Components of faces
===================

What does an encoder learn from a hundred pictures of faces, and what happens to a face
if one code of it changes?
"""

# %%
# Fit
# ---
# scikit-image comes with 100 faces of 25 x 25 pixels, of the data set "Labeled Faces in
# the Wild". So few need a small network and a large `sigma`, which leaves details out.
# Each face and its mirror image are used. Ten faces are kept for testing.

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage.data import lfw_subset
from sklearn.decomposition import PCA

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio
from sklearn_sparsegen.plotting import (
    ComponentDisplay,
    ReconstructionDisplay,
    TraversalDisplay,
)

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

faces = lfw_subset()[:100].astype(np.float32)
X_test = faces[90:].reshape(10, -1)
X_train = np.concatenate([faces[:90], faces[:90, :, ::-1]]).reshape(180, -1)
encoder = SparseGeneratorEncoder(
    n_components=16,
    alpha=0.1,
    sigma=0.2,
    hidden_layer_sizes=(50,),
    transform_n_steps=30,
    learning_rate_init=0.003,
    max_iter=60,
    tol=None,
    random_state=0,
).fit(X_train)

# %%
# Components
# ----------
# What each component adds is red where a face becomes lighter, and blue where it
# becomes darker.

ComponentDisplay.from_estimator(encoder, X_train, components=16, image_shape=(25, 25))

# %%
# Traversal
# ---------
# The first picture of each row is made of the code of a face. In the others one code
# goes from zero to the largest value that it has in the training data.

# sphinx_gallery_thumbnail_number = 2
TraversalDisplay.from_estimator(encoder, X_train, row=3, image_shape=(25, 25))

# %%
# New faces
# ---------
# Faces of the test data are made of the components that the encoder has learned.

ReconstructionDisplay.from_estimator(encoder, X_test, image_shape=(25, 25))
codes = encoder.transform(X_test)
pca = PCA(10).fit(X_train)
for name, X_hat in {
    f"sparse codes, {active_codes(codes).mean():.0f} of 16": (
        encoder.inverse_transform(codes)
    ),
    "PCA, 10 components": pca.inverse_transform(pca.transform(X_test)),
}.items():
    print(f"{name}: {peak_signal_noise_ratio(X_test, X_hat).mean():.1f} dB")
plt.show()

# %%
# Most components are patterns that a face has or has not: light or shadow on one side,
# dark hair, a light forehead or background. About six of them are active in a face,
# and keep about as much of a new one as 10 principal components do. A single code
# changes a face smoothly. From 90 faces no encoder learns what is particular to a new
# one: the reconstructions are blurred.
