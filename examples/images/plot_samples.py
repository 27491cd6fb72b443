"""
Images that the generator makes up
==================================

`sample` draws codes from the prior, and adds noise to what the generator makes of them.
Do these images look like the training data, and if not, why?
"""

# %%
# Learn, and draw samples
# -----------------------
# The encoder has few components, so that the prior is not far from the codes of real
# digits.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from sklearn_sparsegen import SparseGeneratorEncoder

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X = (load_digits().data / 16).astype(np.float32)
X_train, X_test = train_test_split(X, test_size=500, random_state=0)
encoder = SparseGeneratorEncoder(
    n_components=10,
    alpha=0.5,
    sigma=0.15,
    output_activation="sigmoid",
    hidden_layer_sizes=(100,),
    max_iter=40,
    random_state=0,
).fit(X_train)
codes = encoder.transform(X_train)
print(f"active codes of a digit: {np.count_nonzero(codes, axis=1).mean():.1f} of 10")

# %%
# What is wrong with them?
# ------------------------
# Under the prior, components are independent. To see what this costs, the codes of real
# digits are made independent: the values of each component are shuffled among the
# digits. As a remedy, a mixture of normal distributions learns which codes occur
# together, and codes are drawn from the mixture.

rng = np.random.default_rng(0)
shuffled = rng.permuted(codes, axis=0)[:500]
mixture = GaussianMixture(30, reg_covar=0.01, random_state=0)
mixture.fit(codes.astype(np.float64))
drawn = mixture.sample(500)[0].clip(min=0).astype(np.float32)
images = {
    "new digits": X_test,
    "their reconstructions": encoder.inverse_transform(encoder.transform(X_test)),
    "codes of a mixture": encoder.inverse_transform(drawn),
    "shuffled codes": encoder.inverse_transform(shuffled),
    "samples of the prior": encoder.sample(500),
}

# %%
# The distance from the nearest training digit tells how much an image looks like one.

nearest = NearestNeighbors(n_neighbors=1).fit(X_train)
print("mean distance from the nearest training digit")
fig, axes = plt.subplots(len(images), 12, figsize=(8, 3.6), layout="constrained")
for row, (name, X_shown) in zip(axes, images.items(), strict=True):
    distance = nearest.kneighbors(X_shown)[0].mean()
    print(f"  {name:<22} {distance:.2f}")
    for ax, image in zip(row, rng.permutation(X_shown), strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()

# %%
# Samples are noisy, because noise is a part of the model, and not all of them are
# digits. The distance of shuffled codes, which have no noise, is what independence
# costs: the right strokes come together in wrong ways. Codes from a mixture, which has
# learned what occurs together, give images as near to the training data as real digits
# are. So the samples tell what the prior leaves out, which does not harm the codes of
# real data; to make up data, fit a model of the codes.
