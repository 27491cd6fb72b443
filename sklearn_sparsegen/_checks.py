"""What is said aloud: data of an unsuitable scale, and results that are useless."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from . import _messages

_STACKLEVEL = 6  # frames from a check before training to the line that called `fit`


def check_scale(mean, variance, dtype):
    """Raise a ValueError for data outside the range of floats.

    Warn, at the line that called `fit`, of features of very different variances, and of
    a mean so large that rounding is felt. `mean` and `variance` have shape (D,).
    """
    limit = np.sqrt(np.finfo(dtype).max) / 1e4
    size = np.sqrt(variance.sum())
    if not size < limit or 0 < size < 1 / limit:
        raise ValueError(_messages.SCALE_OUT_OF_RANGE.format(size=size, dtype=dtype))
    varying = variance[variance > 0]
    if len(varying) and np.median(varying) < 1e-3 * varying.mean():
        warnings.warn(_messages.UNEQUAL_VARIANCES, stacklevel=_STACKLEVEL)
    rounding = np.finfo(dtype).eps * np.abs(mean).max()
    if len(varying) and rounding > 1e-3 * size / np.sqrt(len(varying)):
        message = _messages.LARGE_OFFSET.format(dtype=dtype)
        warnings.warn(message, stacklevel=_STACKLEVEL)


def explain_useless(encoder, figures, losses):
    """Return what to warn of after `fit`, each with a parameter and a value to try.

    `figures` are those of the last epoch, and `losses` are those of the epochs in which
    no schedule changes the loss.
    """
    messages, sigma = [], encoder.sigma_
    rate, alpha = encoder.learning_rate_init / 3, getattr(encoder, "alpha_", 1.0)
    if getattr(encoder, "n_nonzero_coefs", None) is not None:
        alpha = 1.0  # it has no effect
    if "active" in figures:
        share, k = figures["active"].mean(), encoder.n_components_
        n_used = int((figures["active"] > 0).sum())
        if figures["empty"] > 0.5:
            message = _messages.EMPTY_CODES.format(
                share=figures["empty"], sigma=sigma / 2, alpha=2 * alpha or 0.05
            )
            messages.append(message)
        elif share > 0.9 and alpha < 0.5:
            message = _messages.DENSE_CODES.format(
                share=share, sigma=2 * sigma, alpha=alpha / 2
            )
            messages.append(message)
        elif n_used < k / 10:
            message = _messages.UNUSED_COMPONENTS.format(
                n_used=n_used, n_components=k, enough=max(2 * n_used, 1)
            )
            messages.append(message)
    if figures["squared_error"] > encoder._data_variance:
        message = _messages.WORSE_THAN_MEAN.format(
            max_iter=2 * encoder.max_iter, rate=rate
        )
        messages.append(message)
    if losses and losses[-1] > losses[0] + 0.01 * abs(losses[0]):
        message = _messages.LOSS_GREW.format(
            first=losses[0], last=losses[-1], rate=rate
        )
        messages.append(message)
    return messages


def warn_of_convergence(messages):
    """Warn with each message, at the line that called a method of the encoder."""
    for message in messages:
        warnings.warn(message, ConvergenceWarning, stacklevel=4)
