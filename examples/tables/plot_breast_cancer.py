"""
Which measurements of a tumour vary together
============================================

Thirty measurements of each of 569 breast tumours are far from independent. Which of
them vary together, and do these patterns tell a malignant tumour from a benign one?
"""

# %%
# Fit the pipeline
# ----------------
# The features have different units, so they are standardised first. A table has fewer
# features than an image, and more noise: 10 components and a larger `sigma` are enough.
# Codes are non-negative by default, so that a component is either absent (zero) or
# present to some degree. The data frame has the names of the features.

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.metrics import active_codes
from sklearn_sparsegen.plotting import ClassActivationDisplay, ComponentDisplay

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

data = load_breast_cancer(as_frame=True)
X, y = data.data, data.target_names[data.target]
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

encoder = SparseGeneratorEncoder(
    n_components=10,
    sigma=0.4,  # in standard deviations of the features
    hidden_layer_sizes=(50,),
    transform_n_steps=20,
    learning_rate_init=0.003,
    max_iter=50,
    tol=None,
    random_state=0,
)
model = make_pipeline(StandardScaler(), encoder).fit(X_train)
codes = model.transform(X_test)
print(f"active codes of a tumour: {active_codes(codes).mean():.1f} of 10")

# %%
# What the components mean
# ------------------------
# A panel shows the six features that one component changes most: red bars are features
# that grow with it, and blue bars those that shrink. The title has the number of the
# component and the share of tumours that use it.

ComponentDisplay.from_estimator(model, X_train, components=8)

# %%
# The heat map shows how often each component is active among the tumours of each kind.

display = ClassActivationDisplay.from_estimator(model, X_train, y_train)
difference = abs(display.activation[0] - display.activation[1])
best = difference.argmax()
print(f"component {best} tells most about the diagnosis; it is active in")
for name, share in zip(display.classes, display.activation[:, best], strict=True):
    print(f"  {share:.0%} of the {name} tumours")

# %%
# How much is kept
# ----------------
# Principal components are the usual summary. They are compared by how much of the
# variance of new tumours they explain, and by how well a linear classifier of the
# codes tells the two kinds apart.

print("                      R2    accuracy")
for name, transformer in {
    "sparse codes": model,
    "PCA, 3 components": make_pipeline(StandardScaler(), PCA(3)).fit(X_train),
    "PCA, 10 components": make_pipeline(StandardScaler(), PCA(10)).fit(X_train),
}.items():
    Z = transformer.transform(X_test)
    scaled = transformer[0].transform(X_test)
    r2 = r2_score(scaled, transformer[1].inverse_transform(Z))
    classifier = LogisticRegression().fit(transformer.transform(X_train), y_train)
    print(f"{name:<20}  {r2:.2f}  {classifier.score(Z, y_test):.3f}")
plt.show()

# %%
# They do. One component is active in three quarters of the malignant tumours and in
# hardly any of the benign ones: that of tumours which are large and rough, with many
# concave points. A tumour uses about 3 of the 10 components, which explain more than 3
# principal components do. A classifier gains little: it does better than with 3
# principal components, and no better than with 10. What is gained is a description of a
# tumour by a few parts.
