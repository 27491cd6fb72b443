"""
Grid search over alpha, sigma and decay
=======================================

The score of an encoder is an estimate of the log-likelihood of the data, so a grid
search can choose its parameters without labels. In a pipeline with a classifier, the
score is that of the classifier.
"""

# %%
# Choose the parameters by likelihood
# -----------------------------------
# Three parameters are searched. `alpha` determines how many codes are active, `sigma`
# how close the reconstructions are, and `decay` how fast the codes become sparse.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from sklearn_sparsegen import SparseGeneratorEncoder

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X, y = load_digits(return_X_y=True)
X, y = X[:500].astype(np.float32), y[:500]

encoder = SparseGeneratorEncoder(
    n_components=32,
    hidden_layer_sizes=(64,),
    max_iter=30,
    batch_size=50,
    learning_rate_init=0.003,
    tol=None,
    random_state=0,
)
grid = {"alpha": [0.03, 0.3], "sigma": [1.0, 2.0], "decay": [0.033, 0.1]}
search = GridSearchCV(encoder, grid, cv=2).fit(X)
print("best:", search.best_params_)

results = search.cv_results_
labels = [
    ", ".join(f"{name}={value}" for name, value in params.items())
    for params in results["params"]
]
order = results["mean_test_score"].argsort()
_, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(results["mean_test_score"][order], range(len(order)), "o")
ax.set(
    yticks=range(len(order)),
    yticklabels=[labels[i] for i in order],
    xlabel="held-out log-likelihood (nats per row)",
)
plt.show()
