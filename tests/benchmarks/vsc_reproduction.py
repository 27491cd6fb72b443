"""Compare variational sparse coding with its published reproduction on MNIST.

    SPARSEGEN_DATA=folder python tests/benchmarks/vsc_reproduction.py

De la Fuente and Aduviri ("Replication: Variational Sparse Coding", ICLR Reproducibility
Challenge 2019) fit 60,000 images with batches of 32, 11 epochs, 200 components, 400
hidden units and alpha = 0.01. They classify the means of the (slab's) posterior from
5,000 labels: 20 epochs of SGD with momentum on one linear layer followed by a ReLU.
Their figures are 91.78 % for VSC and 86.57 % for the VAE. They have a Bernoulli
likelihood of the pixels, while it is normal here. Logistic regression, run to its
optimum, is shown beside their classifier. This uses one torch thread and three seeds,
and takes about ten minutes.
"""

import platform

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from sklearn_sparsegen.baselines import VAEEncoder, VSCEncoder
from sklearn_sparsegen.datasets import load_images

torch.set_num_threads(1)
mnist = load_images("mnist")


def published_classifier(Z, y, Z_test, y_test, seed):
    """Return the accuracy of the classifier of the reproduction."""
    torch.manual_seed(seed)
    layer = torch.nn.Linear(Z.shape[1], 10)
    sgd = torch.optim.SGD(layer.parameters(), lr=0.001, momentum=0.9)
    y = torch.from_numpy(y).long()
    for _ in range(20):
        for rows in torch.randperm(len(Z)).split(32):
            scores = layer(Z[rows]).relu()
            sgd.zero_grad()
            torch.nn.functional.cross_entropy(scores, y[rows]).backward()
            sgd.step()
    return (layer(Z_test).relu().argmax(1).numpy() == y_test).mean()


def means(encoder, X):
    """Return the means of the slab of the posterior."""
    with torch.no_grad():
        return encoder.recognition_(torch.from_numpy(X))[:, :200]


print(f"{platform.machine()}, one thread, torch {torch.__version__}")
print("         seed  published classifier  logistic regression  active codes")
for name, method in (("VSC", VSCEncoder), ("VAE", VAEEncoder)):
    for seed in range(3):
        settings = {"sigma": 0.3, "output_activation": "auto", "batch_size": 32}
        encoder = method(**settings, max_iter=11, tol=None, random_state=seed)
        encoder.fit(mnist.X_train)
        rows = np.random.default_rng(seed).permutation(60_000)[:5000]
        Z, Z_test = means(encoder, mnist.X_train[rows]), means(encoder, mnist.X_test)
        y, y_test = mnist.y_train[rows], mnist.y_test
        published = published_classifier(Z, y, Z_test, y_test, seed)
        regression = LogisticRegression(max_iter=1000).fit(Z, y).score(Z_test, y_test)
        active = (np.abs(encoder.transform(mnist.X_test)) > 0.2).sum(1).mean()
        print(
            f"{name:<8} {seed:<5} {published:<21.2%} {regression:<20.2%} {active:.1f}",
            flush=True,
        )
