"""
A limited number of codes, beside a linear dictionary
=====================================================

How much more does a nonlinear generator reconstruct from the same number of codes than
a linear dictionary? `n_nonzero_coefs` limits the number of active codes of a row, as in
scikit-learn's linear dictionaries, whose codes orthogonal matching pursuit finds.
"""

# %%
# The generator is trained under the limit, and ends in a sigmoid, which suits images in
# [0, 1]. `transform` may take more steps of inference than training does. For images of
# this unit, a penalty of 0.06 suits the training of the dictionary, which is the same
# for any limit.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.model_selection import train_test_split

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import peak_signal_noise_ratio

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X = load_digits().data.astype(np.float32) / 16
X_train, X_test = train_test_split(X, test_size=0.5, random_state=0)
mean = X_train.mean(0)
dictionary = MiniBatchDictionaryLearning(
    64, alpha=0.06, max_iter=100, transform_algorithm="omp", random_state=0
).fit(X_train - mean)
counts = [4, 8, 16]
nonlinear, linear = [], []
for count in counts:
    encoder = SparseGeneratorEncoder(
        n_components=64,
        n_nonzero_coefs=count,
        output_activation="sigmoid",
        init="zeros",
        n_steps=4,
        transform_n_steps=50,
        max_iter=30,
        random_state=0,
    ).fit(X_train)
    dictionary.set_params(transform_n_nonzero_coefs=count)
    codes = encoder.transform(X_test)
    assert ((codes != 0).sum(1) <= count).all()
    for method, images in (
        (nonlinear, encoder.inverse_transform(codes)),
        (linear, dictionary.transform(X_test - mean) @ dictionary.components_ + mean),
    ):
        psnr = peak_signal_noise_ratio(X_test, images.clip(0, 1))
        method.append(psnr.mean())
    print(f"{count:2} codes: {nonlinear[-1]:.1f} dB, dictionary {linear[-1]:.1f} dB")

# %%
# The figure shows the mean PSNR of the test images.

fig, ax = plt.subplots(layout="constrained")
ax.plot(counts, nonlinear, "o-", label="SparseGeneratorEncoder")
ax.plot(counts, linear, "s--", label="MiniBatchDictionaryLearning")
ax.set(xlabel="active codes of 64", ylabel="PSNR (dB)", xticks=counts)
ax.legend()
plt.show()

# %%
# About two decibels. Under a limit, inference from zero finds better components than
# from a learned start, which has chosen them before the first step.
