"""Checks of the scale of data before training, and of the result after it."""

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from . import _messages
from ._arrays import resolve_device
from ._describe import describe
from ._distributed import devices, gather, n_processes
from ._precision import double
from ._scale import slopes_at_zero
from ._solvers import GradientSteps, stable_step_size

_LAST_EPOCHS = 5  # the least of whose losses is compared with the losses before


def check_processes(encoder, data):
    """Raise a ValueError in all processes if they do not fit the same model."""
    if n_processes() == 1:
        return
    device = resolve_device(encoder.device).type
    if device not in devices():
        raise ValueError(_messages.NO_BACKEND.format(device=device, devices=devices()))
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
                    _messages.PROCESSES_DIFFER.format(
                        name=name,
                        first=first.get(name),
                        number=number,
                        other=other.get(name),
                    )
                )


def check_scale(mean, variance, observed, dtype):
    """Raise a ValueError for data outside the range of floats.

    Warn of features of very different variances, of a mean so large that rounding
    changes the data, and of features that are NaN in all rows. `mean`, `variance` and
    share of `observed` values have shape (D,).
    """
    if not observed.all():
        columns = np.flatnonzero(observed == 0)
        columns = _messages.first_of(columns)
        _messages.warn(_messages.NEVER_OBSERVED.format(columns=columns))
    size, limit = np.sqrt(variance.sum()), _largest(dtype)
    if not size < limit or 0 < size < 1 / limit:
        raise ValueError(_messages.SCALE_OUT_OF_RANGE.format(size=size, dtype=dtype))
    varies = variance > 0
    varying = variance[varies]
    if len(varying) and np.median(varying) < 1e-3 * varying.mean():
        _messages.warn(_messages.UNEQUAL_VARIANCES)
    rounding = np.finfo(dtype).eps * np.abs(mean[varies])
    if (rounding > 1e-3 * np.sqrt(variance.mean())).any():
        _messages.warn(_messages.LARGE_OFFSET.format(dtype=dtype))


def check_sigma(encoder, data):
    """Raise a ValueError if sigma is 0, or its square outside the range of floats."""
    sigma, dtype = encoder.sigma_, data.dtype
    if sigma == 0:
        raise ValueError(_messages.NO_VARIANCE.format(n_samples=data.n_rows))
    if not 1 / _largest(dtype) < sigma < _largest(dtype):
        raise ValueError(_messages.SIGMA_OUT_OF_RANGE.format(sigma=sigma, dtype=dtype))


def _largest(dtype):
    """Return the largest number whose square is well within the range of floats."""
    return float(np.sqrt(np.finfo(dtype).max)) / 1e4


def check_result(encoder, data, figures, losses):
    """Return warnings of a useless result, each with a parameter and a value to try.

    `figures` are the means that `train_epoch` returned for the last epoch on the data.
    `losses` are those of the epochs in which no schedule changes the loss.
    """
    messages, rate = [], min(encoder.learning_rate_init / 3, 0.01)
    if "active" in figures:
        share, k = figures["active"].mean(), encoder.n_components_
        n_used = int((figures["active"] > 0).sum())
        starts_at_zero = figures["empty"] == 1 and encoder._infers_through_generator
        if starts_at_zero and not slopes_at_zero(encoder.generator_, k).any():
            messages.append(_messages.NO_SLOPE)
        elif figures["empty"] > 0.5:
            message = _messages.EMPTY_CODES.format(
                share=figures["empty"], advice=_advice(encoder, 0.5, rate)
            )
            messages.append(message)
        # As long as a schedule goes on, and without a spike, codes may be dense.
        elif share > 0.9 and losses and _alpha(encoder) < 0.5:
            message = _messages.DENSE_CODES.format(
                share=share, advice=_advice(encoder, 2.0, rate)
            )
            messages.append(message)
        elif n_used < k / 10:
            message = _messages.UNUSED_COMPONENTS.format(
                n_used=n_used, n_components=k, enough=max(2 * n_used, 1)
            )
            messages.append(message)
    _, variance, observed = data.moments()
    if figures["squared_error"] > variance @ observed > 0:
        advice = _advice_on_steps(encoder) or _messages.TRAIN_BETTER.format(
            max_iter=2 * encoder.max_iter, rate=rate
        )
        messages.append(_messages.WORSE_THAN_MEAN.format(advice=advice))
    if losses:
        # The least of several, because the loss of an epoch may be noisy.
        early, late = losses[:-_LAST_EPOCHS], losses[-_LAST_EPOCHS:]
        least, last = (min(early), min(late)) if early else (late[0], late[-1])
        if last > least + 0.01 * abs(least):
            message = _messages.LOSS_GREW.format(least=least, last=last, rate=rate)
            messages.append(message)
    return messages


def _advice_on_steps(encoder):
    """Return advice on gradient steps that are too long at the code zero, or ""."""
    model = encoder._make_model()
    if not isinstance(model.solver, GradientSteps):
        return ""
    like = next(model.generator.parameters())
    origin = like.new_zeros(1, encoder.n_components_)
    is_stable = model.solver.step_size <= stable_step_size(origin, model)
    return "" if is_stable else model.solver.advice(origin, model)


def _alpha(encoder):
    """Return the parameter alpha, or 1 where there is none or it has no effect."""
    if getattr(encoder, "n_nonzero_coefs", None) is not None:
        return 1.0
    return getattr(encoder, "alpha", 1.0)


def _advice(encoder, factor, rate):
    """Return the advice to multiply sigma, and to divide alpha where it acts.

    Where codes do not depend on sigma, it is to lower the learning rate to `rate`.
    """
    if not encoder._codes_depend_on_sigma:
        return f"reduce learning_rate_init (try {rate:.2g})"
    verbs = ("reduce", "increase") if factor < 1 else ("increase", "reduce")
    sigma, auto = encoder.sigma_ * factor, encoder._auto_sigma
    if auto and (auto < sigma if factor < 1 else auto > sigma):
        sigma = auto  # which is farther on
    advice = f"{verbs[0]} sigma (try {sigma:.2g})"
    alpha = _alpha(encoder)
    if alpha < 0.5:
        advice += f" or {verbs[1]} alpha (try {alpha / factor or 0.05:.2g})"
    return advice


def finite(tensor, dtype, n_before=0, device="cpu"):
    """Return a tensor as float32 or float64, or raise unless all of it is finite.

    `n_before` is the number of rows before these.
    """
    result = tensor.detach().to(device)
    result = double(result) if dtype == np.float64 else result.float()
    (failed,) = (~result.isfinite().reshape(len(result), -1).all(1)).nonzero(
        as_tuple=True
    )
    if len(failed):
        rows = _messages.first_of((failed + n_before).tolist())
        raise ValueError(_messages.RESULT_NOT_FINITE.format(rows=rows))
    return result


def warn_of_convergence(messages):
    for message in messages:
        _messages.warn(message, ConvergenceWarning)
