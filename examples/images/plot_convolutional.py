"""
A convolutional generator
=========================

Transposed convolutions build an image from parts that look the same at any place. Are
reconstructions of new images closer than by a fully connected generator, when there
are few images to learn from?
"""

# %%
# Compare two generators
# ----------------------
# Both encoders learn from 100 and from 400 images of digits. Their codes are limited to
# the same number of active components, so that the PSNR of new digits tells which
# generator is better.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import peak_signal_noise_ratio
from sklearn_sparsegen.plotting import ReconstructionDisplay

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X = (load_digits().data / 16).astype(np.float32)
X_train, X_test = train_test_split(X, test_size=400, random_state=0)
counts = [100, 400]
psnr = {}
for name, generator in {"connected": None, "convolutional": "convolutional"}.items():
    for count in counts:
        encoder = SparseGeneratorEncoder(
            n_components=30,
            n_nonzero_coefs=8,
            generator=generator,
            image_shape=(8, 8),  # only the convolutional generator uses it
            hidden_layer_sizes=(100,),  # and only the other one uses this
            transform_n_steps=20,
            max_iter=16,
            random_state=0,
        ).fit(X_train[:count])
        codes = encoder.transform(X_test)
        X_hat = encoder.inverse_transform(codes)
        psnr.setdefault(name, []).append(peak_signal_noise_ratio(X_test, X_hat).mean())
    n_weights = sum(weights.numel() for weights in encoder.generator_.parameters())
    values = ", ".join(
        f"{value:.1f} dB from {count} digits"
        for count, value in zip(counts, psnr[name], strict=True)
    )
    print(f"{name}: {values}; {n_weights} weights")
print(f"active codes: {np.count_nonzero(codes, axis=1).mean():.0f} of 30")

# %%
# The figure has new digits, and what the convolutional generator makes of their codes.

ReconstructionDisplay.from_estimator(encoder, X_test, image_shape=(8, 8))
plt.show()

# %%
# On images as small as these it is not closer: the fully connected generator, which
# contains a dictionary, is ahead by a few tenths of a decibel. The generator has
# more weights than the other, although its convolutions use the same weights at all
# places of an image. The price is time, about two to four times as much. Try it for
# larger images, whose parts occur at many places; height and width must be multiples
# of four.
