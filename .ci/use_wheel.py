"""Use the installed package once: fit, transform, print."""

import importlib.metadata
from importlib.resources import files

from sklearn.datasets import load_digits

from sklearn_sparsegen import SparseGeneratorEncoder

X = load_digits().data[:200]
encoder = SparseGeneratorEncoder(20, max_iter=35, tol=None, random_state=0)
codes = encoder.fit_transform(X)
share = (codes != 0).mean()
assert 0 < share < 1, share
assert files("sklearn_sparsegen").joinpath("py.typed").is_file()
version = importlib.metadata.version("sklearn-sparsegen")
print(f"sklearn-sparsegen {version}: codes of shape {codes.shape}, {share:.0%} active")
