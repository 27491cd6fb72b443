"""
Exact zeros and a limited number of codes
=========================================

With `spike_scale=0` and the proximal solver, inactive codes are exactly zero. With a
limit on the number of active codes, they can be compared with the codes of a linear
dictionary, which orthogonal matching pursuit finds. This example compares how well both
methods reconstruct test images from the same number of codes.
"""

# %%
# In training, inference takes five steps per batch. `transform` may take more.

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
# We compute the mean PSNR of the test images. The images of the dictionary are clipped
# to the range of the data. The last layer of the generator has this range anyway.

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
# With two codes the dictionary is better, and with four codes both are equally good.
# With eight codes or more the generator is better, and its advantage grows with the
# number of codes.

fig, ax = plt.subplots(layout="constrained")
ax.plot(counts, nonlinear, "o-", label="SparseGeneratorEncoder")
ax.plot(counts, linear, "s--", label="MiniBatchDictionaryLearning")
ax.set(xlabel="active codes of 64", ylabel="PSNR (dB)", xticks=counts)
ax.legend()
plt.show()
