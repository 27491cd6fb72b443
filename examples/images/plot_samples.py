"""
Images that the generator makes up
==================================

`sample` draws codes from the prior and gives what the generator makes of them. Do these
images look like the training data, and if not, why?
"""

# %%
# Draw samples
# ------------
# Two encoders learn from images of digits: one whose codes have many active components,
# and one with few components, of which many are active under the prior.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import active_codes

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X = (load_digits().data / 16).astype(np.float32)
encoder = SparseGeneratorEncoder(
    n_components=40,
    alpha=0.1,
    sigma=0.12,
    output_activation="sigmoid",
    hidden_layer_sizes=(100,),
    learning_rate_init=0.003,
    max_iter=40,
    tol=None,
    random_state=0,
).fit(X)
codes = encoder.transform(X)
samples = encoder.sample(500)
