"""
Topics of texts, from counts in a sparse matrix
===============================================

Counts of words are mostly zero, and kept in a SciPy sparse matrix. Does the encoder
take it as it is, and do its components mean something?
"""

# %%
# Count words
# -----------
# The texts are the paragraphs of Python's own reference, which ships with Python as
# the topics of its `help`. Counts are weighted as is usual for texts (TF-IDF), so that
# words that are in most paragraphs, or often in one, do not drown the others.

from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import sparse
from sklearn.decomposition import NMF
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.plotting import ComponentDisplay

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

texts = [
    text for topic in topics.values() for text in topic.split("\n\n") if len(text) > 200
]
vectorizer = TfidfVectorizer(
    stop_words="english",
    token_pattern="[a-z]{3,}",
    min_df=15,
    max_df=0.3,
    sublinear_tf=True,
    dtype=np.float32,
)
X = sparse.csr_array(vectorizer.fit_transform(texts))
words = vectorizer.get_feature_names_out()
share = X.nnz / np.prod(X.shape)
print(f"{X.shape[0]} paragraphs, {X.shape[1]} words, {share:.0%} not zero")

# %%
# Fit
# ---
# A paragraph is about few things: `n_nonzero_coefs` allows three active components. The
# sparse matrix is never made dense as a whole, and `sparse_output=True` gives codes in
# one, too.

encoder = SparseGeneratorEncoder(
    n_components=20,
    n_nonzero_coefs=3,
    hidden_layer_sizes=(50,),
    sparse_output=True,
    learning_rate_init=0.003,
    max_iter=40,
    tol=None,
    random_state=0,
)
codes = encoder.fit_transform(X)
print(f"codes: {type(codes).__name__} of shape {codes.shape}, {codes.nnz} not zero")

# %%
# What the components mean
# ------------------------
# The display finds what each component adds to the counts of all words, for the
# components that most paragraphs use. A sparse matrix has no names of features, so the
# display is told the words.

display = ComponentDisplay.from_estimator(
    encoder, X, components=12, feature_names=words
)
for component, share, change in zip(
    display.components, display.shares, display.changes, strict=True
):
    strongest = ", ".join(words[change.argsort()[:-7:-1]])
    print(f"{component:2} in {share:.0%}: {strongest}")

# %%
# How much is kept
# ----------------
# Non-negative matrix factorisation (NMF) is a usual way to find topics. Its codes are
# not limited to three, so its three largest codes of each paragraph are compared too.

nmf = NMF(20, max_iter=500, random_state=0)
dense = nmf.fit_transform(X)
largest = np.where(dense >= np.sort(dense, axis=1)[:, [-3]], dense, 0)
total = ((X.toarray() - X.mean(axis=0)) ** 2).sum()
for name, X_hat in {
    "sparse codes, 3 of 20": encoder.inverse_transform(codes),
    "NMF, 3 of 20": nmf.inverse_transform(largest),
    "NMF, all": nmf.inverse_transform(dense),
}.items():
    print(f"{name:<22} R2 {1 - ((X.toarray() - X_hat) ** 2).sum() / total:.2f}")
plt.show()

# %%
# It takes the sparse matrix as it is, and most components gather words that belong to
# one topic, such as statements and exceptions, strings, numbers, or modules. With three
# topics for a paragraph it explains more of the counts than NMF does with all twenty.
# Most of the variance is left: few words of a paragraph follow from its topics.
