"""
Removing noise from a photograph
================================

The code of a noisy patch of a photograph has no room for the noise, so what the
generator makes of the code has less of it. Does this remove noise better than principal
components or a linear dictionary?
"""

# %%
# Learn from the noisy picture alone
# ----------------------------------
# The photograph is cut into all its patches of 8 x 8 pixels, of which 2,500 are for
# training. The mean of each patch is taken away, and added in the end. The standard
# deviation of the noise is known here; it is the encoder's `sigma`. Differences from a
# mean have both signs, and so do the codes. scikit-image has an estimate of the noise,
# `skimage.restoration.estimate_sigma`, for pictures of which it is not known.

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import color, data, restoration
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.feature_extraction.image import (
    extract_patches_2d,
    reconstruct_from_patches_2d,
)

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

sigma = 0.1
rng = np.random.default_rng(0)
photograph = color.rgb2gray(data.chelsea()[60:260:2, 140:340:2]).astype(np.float32)
noisy = photograph + rng.normal(0, sigma, photograph.shape).astype(np.float32)
patches = extract_patches_2d(noisy, (8, 8)).reshape(-1, 64)
means = patches.mean(axis=1, keepdims=True)
X = patches - means
X_train = X[rng.choice(len(X), 2500, replace=False)]


def restore(X_restored):
    """Put patches together: each pixel is the mean of its values in all patches."""
    restored = (X_restored + means).reshape(-1, 8, 8)
    return reconstruct_from_patches_2d(restored, photograph.shape)


encoder = SparseGeneratorEncoder(
    n_components=100,
    sigma=sigma,
    positive_code=False,
    hidden_layer_sizes=(100,),
    transform_n_steps=20,
    learning_rate_init=0.003,
    max_iter=32,
    tol=None,
    random_state=0,
).fit(X_train)
codes = encoder.transform(X)
print(f"active codes of a patch: {active_codes(codes).mean():.1f} of 100")
pictures = {"noisy": noisy, "sparse codes": restore(encoder.inverse_transform(codes))}

# %%
# The other methods
# -----------------
# The number of principal components, and of atoms of the dictionary for a patch, are
# near those that are best here, which one could not know without the clean picture; so
# this favours the two methods. Non-local means are a method of image processing that
# learns nothing.

pca = PCA(7).fit(X_train)
pictures["PCA"] = restore(pca.inverse_transform(pca.transform(X)))
dictionary = MiniBatchDictionaryLearning(
    100,
    alpha=0.3,
    max_iter=10,
    transform_algorithm="omp",
    transform_n_nonzero_coefs=2,
    random_state=0,
).fit(X_train)
pictures["dictionary"] = restore(dictionary.transform(X) @ dictionary.components_)
pictures["non-local means"] = restoration.denoise_nl_means(
    noisy, 5, 6, h=0.8 * sigma, sigma=sigma
)

_, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
for ax, (name, image) in zip(
    axes.flat, {"photograph": photograph, **pictures}.items(), strict=True
):
    title = name
    if name != "photograph":
        psnr = peak_signal_noise_ratio(photograph, image, pooled=True)
        title += f", {psnr:.1f} dB"
        print(f"{name:<16} {psnr:.1f} dB")
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.set_axis_off()
plt.show()

# %%
# There is little between the methods. With three or four active codes of a patch, the
# encoder does about as well as principal components and non-local means or a little
# better, and a little worse than the dictionary, which is also faster. But the numbers
# of components and atoms were chosen with the clean picture at hand, while the encoder
# was told nothing but the standard deviation of the noise.
