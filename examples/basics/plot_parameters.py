"""
What the main parameters do
===========================

Which parameters make codes sparser, reconstructions closer, or inference faster? Each
figure changes one of `alpha`, `sigma`, `n_components` and the number of steps, and
shows the number of active codes and the PSNR of digits that are not in the training
data.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X = load_digits().data.astype(np.float32)  # values from 0 to 16
X_train, X_test = train_test_split(X, train_size=500, random_state=0)
base = SparseGeneratorEncoder(
    n_components=50,
    hidden_layer_sizes=(60,),
    sigma=1.0,
    decay=0.2,
    learning_rate_init=0.003,
    max_iter=12,
    tol=None,
    random_state=0,
)


def measure(encoder):
    """Return the mean number of active codes and the PSNR of the test digits."""
    codes = encoder.transform(X_test)
    X_hat = encoder.inverse_transform(codes)
    psnr = peak_signal_noise_ratio(X_test, X_hat, data_range=16).mean()
    return active_codes(codes).mean(), psnr


def draw(name, values, curves):
    """Draw both measures against the values of a parameter, and print them."""
    _, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
    for label, measures in curves.items():
        for value, (n_active, psnr) in zip(values, measures, strict=True):
            print(f"{label}={value}: {n_active:.1f} active codes, {psnr:.1f} dB")
        for ax, curve in zip(axes, np.transpose(measures), strict=True):
            ax.plot(values, curve, "o-", label=label)
    for ax, measure_name in zip(axes, ("active codes", "PSNR (dB)"), strict=True):
        ax.set(xlabel=name, ylabel=measure_name, xscale="log")
        ax.set_xticks(values, values)
        ax.minorticks_off()
    axes[0].set_ylim(bottom=0)
    if len(curves) > 1:
        ax.legend(fontsize="small")


def fit_each(name, values):
    """Fit an encoder for each value of a parameter, and draw."""
    encoders = [clone(base).set_params(**{name: value}) for value in values]
    draw(name, values, {name: [measure(encoder.fit(X_train)) for encoder in encoders]})
    return encoders


# %%
# alpha
# -----
# `alpha` is the prior probability that a component is active. At 1 there is no spike,
# and codes are dense. At 0.5 an active code costs nothing but its size. Below 0.5 it
# also costs log((1 - alpha) / alpha) nats, so that fewer are worth it.

alphas = [0.01, 0.05, 0.5, 1.0]
encoders = fit_each("alpha", alphas)

# %%
# sigma
# -----
# `sigma` is the standard deviation of the noise, in units of X, so the size of what a
# reconstruction may leave out. Larger values give fewer active codes, and
# reconstructions that are less close.

fit_each("sigma", [0.5, 1.0, 2.0, 4.0])

# %%
# n_components
# ------------
# A code may choose its active components among more of them, which brings it closer.
# The number of active codes grows much less than the number of components.

fit_each("n_components", [10, 30, 100])

# %%
# n_steps and transform_n_steps
# -----------------------------
# `n_steps` is the number of steps of inference in training, and `transform_n_steps`
# that of `transform`, which can be set after `fit`. Both cost time in proportion.

steps = [1, 2, 4, 10, 30]
curves = {}
for n_steps in (2, 8):
    encoder = clone(base).set_params(n_steps=n_steps).fit(X_train)
    curves[f"n_steps={n_steps}, transform_n_steps"] = [
        measure(encoder.set_params(transform_n_steps=count)) for count in steps
    ]
draw("transform_n_steps", steps, curves)

# %%
# Three values of alpha, and the codes of one digit
# -------------------------------------------------
# Bars are active codes. With alpha = 1 and alpha = 0.5 most components share in the
# digit; with alpha = 0.01 a few of them make it.

_, axes = plt.subplots(1, 4, figsize=(9, 2), sharey=True, layout="constrained")
for ax, alpha, encoder in zip(axes, alphas, encoders, strict=True):
    (code,) = encoder.transform(X_test[:1])
    ax.vlines(range(len(code)), 0, code)
    ax.set(title=f"alpha = {alpha}", xlabel="component")
axes[0].set_ylabel("code")
plt.show()

# %%
# A smaller `alpha` and a larger `sigma` make codes sparser, at the price of
# reconstructions that are less close. More steps make them closer with about the same
# number of active codes, and so do more components, once there are enough of them. The
# price of both is time.
