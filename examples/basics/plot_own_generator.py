"""
A generator of your own
=======================

The generator may be any PyTorch module from codes to data. How is one passed to the
encoder, and what has to be observed?
"""

# %%
# A factory
# ---------
# A factory is a function of the number of components and the number of features that
# returns a module. This one makes images of digits as a sum of two parts: a linear
# dictionary, and a network that corrects it. It gives data in the units of X; so the
# pixels are divided by 16, and a sigmoid keeps the output between 0 and 1.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio
from sklearn_sparsegen.plotting import ReconstructionDisplay

torch.set_num_threads(1)  # with small matrices, several threads are slower than one


class DictionaryAndNetwork(nn.Module):
    def __init__(self, n_components, n_features):
        super().__init__()
        self.dictionary = nn.Linear(n_components, n_features)
        self.network = nn.Sequential(
            nn.Linear(n_components, 100), nn.GELU(), nn.Linear(100, n_features)
        )

    def forward(self, codes):
        return torch.sigmoid(self.dictionary(codes) + self.network(codes))


X = (load_digits().data / 16).astype(np.float32)
X_train, X_test = train_test_split(X, random_state=0)


def fit_and_report(name, generator):
    encoder = SparseGeneratorEncoder(
        n_components=50,
        generator=generator,
        sigma=0.1,
        decay=0.1,
        learning_rate_init=0.003,
        max_iter=25,
        tol=None,
        random_state=0,
    ).fit(X_train)
    codes = encoder.transform(X_test)
    psnr = peak_signal_noise_ratio(X_test, encoder.inverse_transform(codes)).mean()
    print(f"{name}: {psnr:.1f} dB, {active_codes(codes).mean():.1f} codes of 50")
    return encoder


# A class is a factory, too. None is the generator of the library.
own = fit_and_report("own generator", DictionaryAndNetwork)
fit_and_report("the default  ", None)
ReconstructionDisplay.from_estimator(own, X_test, image_shape=(8, 8))

# %%
# A module
# --------
# A module is copied with its weights, and training goes on from there; your module does
# not change. So one can begin with a generator that has been trained before, such as
# that of another encoder. Its score is better from the start: here after one epoch, at
# the final value of `alpha`.

print("log-likelihood per row after one epoch")
for name, generator in {
    "from a trained module": own.generator_,
    "from a new module": DictionaryAndNetwork,
}.items():
    encoder = SparseGeneratorEncoder(
        n_components=50,
        generator=generator,
        sigma=0.1,
        alpha_init=0.05,
        max_iter=1,
        tol=None,
        random_state=0,
    )
    print(f"  {name:<22} {encoder.fit(X_train).score(X_test):.0f}")
plt.show()

# %%
# Pass a factory or a module as `generator`. A factory is better where encoders are
# compared: its random weights follow `random_state`, and each fold of a
# cross-validation has weights of its own. Three things have to be observed. The output
# is in the units of X. It must be the same for the same code, whatever else is in the
# batch, so there is no dropout and no batch normalisation. It needs two derivatives by
# the codes, which all common layers have.
