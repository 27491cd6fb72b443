"""Checks of the scale of data before training, and of the result after it."""

import numpy as np
import torch

from .._data.arrays import resolve_device
from .._utils.distributed import devices, gather, n_processes
from .._utils.warn import first_of, warn
from .describe import describe

_LAST_EPOCHS = 5  # the least of whose losses is compared with the losses before


def check_processes(encoder, data):
    """Raise a ValueError in all processes if they do not fit the same model."""
    if n_processes() == 1:
        return
    device = resolve_device(encoder.device).type
    if device not in devices():
        raise ValueError(
            f"device={device!r} cannot take part in this process group, which "
            f"exchanges tensors of {devices()} alone; choose another device, or "
            "init_process_group with a backend for it, such as 'cpu:gloo,cuda:nccl'."
        )
    parts = encoder.get_params(deep=False)
    for name in ("device", "verbose"):
        del parts[name]
    # The seed, and the weights of a module, are those of the first process.
    for name, value in parts.items():
        if isinstance(value, np.random.RandomState | torch.nn.Module):
            parts[name] = str(type(value))
    parts["the class of the encoder"] = type(encoder).__name__
    parts["the number of features of X"] = encoder.n_features_in_
    parts["the names of the features of X"] = getattr(encoder, "feature_names_in_", "")
    parts["the type of X"] = str(data.dtype)
    parts["n_iter_"] = getattr(encoder, "n_iter_", 0)
    first, *others = gather({name: describe(value) for name, value in parts.items()})
    for number, other in enumerate(others, start=1):
        for name in parts:
            if first.get(name) != other.get(name):
                raise ValueError(
                    f"The processes of the group must fit the same model, but {name} "
                    f"differs: {first.get(name)} in process 0, {other.get(name)} in "
                    f"process {number}."
                )


def check_scale(mean, variance, observed, dtype):
    """Raise a ValueError for data outside the range of floats.

    Warn of features of very different variances, of a mean so large that rounding
    changes the data, and of features that are NaN in all rows. `mean`, `variance` and
    share of `observed` values have shape (D,).
    """
    if not observed.all():
        columns = np.flatnonzero(observed == 0)
        columns = first_of(columns)
        warn(
            f"No value of the features {columns} of X is observed, so that nothing is "
            "learned of them, and their reconstructions mean nothing; drop these "
            "features."
        )
    size, limit = np.sqrt(variance.sum()), _largest(dtype)
    if not size < limit or 0 < size < 1 / limit:
        raise ValueError(
            f"The spread of X, {size:.3g}, is outside the range of {dtype}; rescale X."
        )
    varies = variance > 0
    varying = variance[varies]
    if len(varying) and np.median(varying) < 1e-3 * varying.mean():
        warn(
            "Most features of X have a standard deviation below a thirtieth of the "
            "root of the mean variance, so that codes ignore them; scale X, for "
            "example with sklearn.preprocessing.StandardScaler."
        )
    rounding = np.finfo(dtype).eps * np.abs(mean[varies])
    if (rounding > 1e-3 * np.sqrt(variance.mean())).any():
        warn(
            f"The mean of X is so large against its spread that rounding to {dtype} "
            "changes the codes; subtract the mean first, or pass float64."
        )


def check_sigma(sigma, data):
    """Raise a ValueError if sigma is 0, or its square outside the range of floats."""
    dtype = data.dtype
    if sigma == 0:
        raise ValueError(
            "sigma='auto' has no value, because the first training data do not vary "
            f"(n_samples={data.n_rows}); pass more data, or a number for sigma."
        )
    if not 1 / _largest(dtype) < sigma < _largest(dtype):
        raise ValueError(
            f"sigma={sigma:.3g} is outside the range of {dtype}; set another one, or "
            "rescale X."
        )


def _largest(dtype):
    """Return the largest number whose square is well within the range of floats."""
    return float(np.sqrt(np.finfo(dtype).max)) / 1e4


def check_result(encoder, data, figures, losses):
    """Return warnings of a useless result, each with a parameter and a value to try.

    `figures` are the means that `train_epoch` returned for the last epoch on the data.
    `losses` are those of the epochs in which no schedule changes the loss.
    """
    messages, rate = [], min(encoder.learning_rate_init / 3, 0.01)
    model = encoder._training_model()
    if "active" in figures:
        share, k = figures["active"].mean(), encoder.n_components_
        n_used = int((figures["active"] > 0).sum())
        if figures["empty"] == 1 and model.is_flat_at_zero():
            messages.append(
                "No row has an active code, because the output of the generator does "
                "not change with the codes at z = 0; give its layers biases or more "
                "units, or use init='normal'."
            )
        elif figures["empty"] > 0.5:
            message = (
                f"{figures['empty']:.0%} of the training rows have no active code; "
                f"{_advice(encoder, model, 0.5, rate)}."
            )
            messages.append(message)
        # As long as a schedule goes on, and without a spike, codes may be dense.
        elif share > 0.9 and losses and model.alpha < 0.5:
            advice = _advice(encoder, model, 2.0, rate)
            messages.append(f"{share:.0%} of all codes are active; {advice}.")
        elif n_used < k / 10:
            message = (
                f"Only {n_used} of n_components={k} components were active in the last "
                f"epoch; reduce n_components (try {max(2 * n_used, 1)})."
            )
            messages.append(message)
    _, variance, observed = data.moments()
    if figures["squared_error"] > variance @ observed > 0:
        advice = model.advice_on_steps() or (
            f"increase max_iter (try {2 * encoder.max_iter}), or reduce "
            f"learning_rate_init (try {rate:.2g})."
        )
        messages.append(
            "The reconstructions of the training data are worse than their mean; "
            f"{advice}"
        )
    if losses:
        # The least of several, because the loss of an epoch may be noisy.
        early, late = losses[:-_LAST_EPOCHS], losses[-_LAST_EPOCHS:]
        least, last = (min(early), min(late)) if early else (late[0], late[-1])
        if last > least + 0.01 * abs(least):
            message = (
                f"The loss grew from {least:.6g} to {last:.6g} while no schedule "
                f"changed it; reduce learning_rate_init (try {rate:.2g})."
            )
            messages.append(message)
    return messages


def _advice(encoder, model, factor, rate):
    """Return the advice to multiply sigma, and to divide alpha where it acts.

    Where codes do not depend on sigma, it is to lower the learning rate to `rate`.
    """
    if not model.codes_depend_on_sigma:
        return f"reduce learning_rate_init (try {rate:.2g})"
    verbs = ("reduce", "increase") if factor < 1 else ("increase", "reduce")
    sigma, auto = encoder.sigma_ * factor, encoder._state.scale.auto_sigma
    if auto and (auto < sigma if factor < 1 else auto > sigma):
        sigma = auto  # which is farther on
    advice = f"{verbs[0]} sigma (try {sigma:.2g})"
    if model.alpha < 0.5:
        advice += f" or {verbs[1]} alpha (try {model.alpha / factor or 0.05:.2g})"
    return advice
