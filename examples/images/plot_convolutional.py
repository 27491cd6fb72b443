"""
A convolutional generator
=========================

Transposed convolutions build an image from parts that look the same at any place. Are
reconstructions of new images closer than by a fully connected generator, in particular
where there are few images to learn from?
"""

# %%
# Compare two generators
# ----------------------
# Patches of 16 x 16 pixels are cut from photographs of grass, gravel and bricks, from
# the upper halves for training and from the lower halves for testing. The codes of both
# encoders are limited to the same number of active components.

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data
from sklearn.feature_extraction.image import extract_patches_2d

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import peak_signal_noise_ratio
from sklearn_sparsegen.plotting import ReconstructionDisplay

torch.set_num_threads(1)  # with small matrices, several threads are slower than one


def patches(part, n_patches):
    photographs = [data.brick(), data.grass(), data.gravel()]
    cut = [
        extract_patches_2d(
            image[part, ::2], (16, 16), max_patches=n_patches // 3, random_state=0
        )
        for image in photographs
    ]
    rows = np.concatenate(cut).reshape(-1, 256)
    return np.random.default_rng(0).permutation(rows.astype(np.float32) / 255)


X_test = patches(slice(256, None, 2), 240)
X_train = patches(slice(0, 256, 2), 600)

counts = [100, 300]
psnr = {}
for name, generator in {"connected": None, "convolutional": "convolutional"}.items():
    for count in counts:
        encoder = SparseGeneratorEncoder(
            n_components=30,
            n_nonzero_coefs=8,
            generator=generator,
            image_shape=(16, 16),  # only the convolutional generator uses it
            hidden_layer_sizes=(100,),  # and only the other one uses this
            transform_n_steps=20,
            learning_rate_init=0.002,
            max_iter=20,
            tol=None,
            random_state=0,
        ).fit(X_train[:count])
        codes = encoder.transform(X_test)
        X_hat = encoder.inverse_transform(codes)
        psnr.setdefault(name, []).append(peak_signal_noise_ratio(X_test, X_hat).mean())
    n_weights = sum(weights.numel() for weights in encoder.generator_.parameters())
    values = ", ".join(
        f"{value:.1f} dB from {count} patches"
        for count, value in zip(counts, psnr[name], strict=True)
    )
    print(f"{name}: {values}; {n_weights} weights")
print(f"active codes: {np.count_nonzero(codes, axis=1).mean():.0f} of 30")

# %%
# Patches of the lower halves, and what the convolutional generator makes of their codes:

ReconstructionDisplay.from_estimator(encoder, X_test, image_shape=(16, 16))
plt.show()

# %%
# They are a little closer, for 100 patches as for 300, although this generator has more
# weights than the other: the convolutions use the same weights at all places of an
# image. The price is time, here two to four times as much. On images this small, and
# with textures of which a code of eight components keeps little, do not expect more.
