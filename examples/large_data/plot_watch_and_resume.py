"""
Watching training, and going on after an interruption
=====================================================

How does one see whether a long training goes well, and what is lost if the process is
killed on the way?
"""

# %%
# Watch
# -----
# `verbose=True` prints a line per epoch: the loss, the value of `alpha` and the number
# of active codes. Callbacks of scikit-learn do more: `ScoringMonitor` computes scores
# after each epoch, and `ProgressBar`, which needs the package rich, draws a bar.

import tempfile

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_sparsegen import SparseGeneratorEncoder
from sklearn_sparsegen.callbacks import Checkpoint
from sklearn_sparsegen.metrics import make_encoder_scorer
from sklearn_sparsegen.plotting import TrainingDisplay

torch.set_num_threads(1)  # with small matrices, several threads are slower than one

X = load_digits().data.astype(np.float32)
X_train, X_test = train_test_split(X, random_state=0)
psnr = make_encoder_scorer("psnr", data_range=16)
monitor = ScoringMonitor(scoring={"psnr": lambda encoder, X, y: psnr(encoder, X_test)})
encoder = SparseGeneratorEncoder(
    n_components=100,
    hidden_layer_sizes=(100,),
    decay=0.1,
    max_iter=16,
    tol=None,
    random_state=0,
    verbose=True,
)
encoder.set_callbacks(monitor).fit(X_train)

# %%
# The display shows the history. While `alpha` falls, active codes cost more and more,
# so the loss may rise. It is what happens after the shaded epochs that tells whether
# training goes well: the loss falls, and the number of active codes settles.

TrainingDisplay.from_estimator(encoder)

# %%
# The monitor has the PSNR of the test digits after each epoch.

logs = monitor.get_logs().data
values = [log["psnr"] for log in logs if log["task_name"] == "epoch"]
_, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
ax.plot(range(1, len(values) + 1), values, "o-")
ax.set(xlabel="epoch", ylabel="PSNR of test digits (dB)")

# %%
# Go on after an interruption
# ---------------------------
# `Checkpoint` saves the state of training every few epochs. Here a callback stands for
# what kills a process: it raises an error in the tenth epoch. The same lines are then
# run again, and `fit` goes on from the last file.


class Kill:
    """Raise an error in the tenth epoch."""

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **kwargs):
        if context.task_name == "epoch" and estimator.n_iter_ == 9:
            raise RuntimeError("killed")

    def on_fit_task_end(self, estimator, context, **kwargs):
        pass

    def teardown(self, estimator, context):
        pass


with tempfile.TemporaryDirectory() as folder:
    checkpoint = Checkpoint(folder, every=4)
    stopped = clone(encoder).set_callbacks(checkpoint, Kill())
    try:
        stopped.fit(X_train)
    except RuntimeError as error:
        print("The first process was", error)
    resumed = clone(encoder).set_callbacks(checkpoint).fit(X_train)

# %%
# The second run printed the epochs from the ninth on. Does it have the codes of the fit
# that nothing stopped?

codes = encoder.transform(X_test)
print("active codes:", np.count_nonzero(codes, axis=1).mean().round(1), "of 100")
print("the same codes:", np.array_equal(resumed.transform(X_test), codes))
plt.show()

# %%
# It does, bit by bit: what is lost is the time since the last file, here one epoch. A
# fit that was finished is not run again at all, so that a grid search, too, goes on
# where it was killed.
