"""
Exact zeros, and how many
=========================

With `spike_scale=0` and the proximal solver, inactive codes are exactly zero. A limit
on their number makes them comparable with the codes of a linear dictionary, found by
orthogonal matching pursuit: how well does each reconstruct images that it has not
seen, from the same number of codes?
"""

# %%
# Training takes five steps of inference a batch; `transform` may take more.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.model_selection import train_test_split

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import peak_signal_noise_ratio

X_train, X_test = train_test_split(load_digits().data / 16, random_state=0)

encoder = SparseGeneratorEncoder(
    n_components=64,
    hidden_layer_sizes=(200,),
    spike_scale=0,
    solver="proximal",
    sigma=0.1,
    init="linear",
    n_steps=5,
    batch_size=50,
    max_iter=60,
    tol=None,
    random_state=0,
).fit(X_train)
encoder.set_params(n_steps=200, tol=1e-3)

mean = X_train.mean(0)
dictionary = MiniBatchDictionaryLearning(
    64, max_iter=100, transform_algorithm="omp", random_state=0
).fit(X_train - mean)

# %%
# Mean PSNR of the test images. The dictionary's images are clipped to the range of the
# data, which the generator's last layer keeps to by itself.

counts = [2, 4, 8, 12, 16]
nonlinear, linear = [], []
for count in counts:
    codes = encoder.set_params(n_nonzero_coefs=count).transform(X_test)
    X_hat = encoder.inverse_transform(codes)
    nonlinear.append(peak_signal_noise_ratio(X_test, X_hat).mean())
    dictionary.set_params(transform_n_nonzero_coefs=count)
    X_hat = dictionary.transform(X_test - mean) @ dictionary.components_ + mean
    linear.append(peak_signal_noise_ratio(X_test, X_hat.clip(0, 1)).mean())
    print(f"{count:2} codes: {nonlinear[-1]:.1f} dB, dictionary {linear[-1]:.1f} dB")

# %%
# With two codes the dictionary is ahead, with four they are level; from eight on the
# generator is ahead, and the more so the more codes there are.

fig, ax = plt.subplots(layout="constrained")
ax.plot(counts, nonlinear, "o-", label="SparseGeneratorEncoder")
ax.plot(counts, linear, "s--", label="MiniBatchDictionaryLearning")
ax.set(xlabel="active codes of 64", ylabel="PSNR (dB)", xticks=counts)
ax.legend()
plt.show()
