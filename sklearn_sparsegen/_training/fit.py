"""Fitting: the attributes with which training starts, and its epochs.

`fit` and `partial_fit` call these functions, which set the attributes of an encoder.
Where several processes train together, all of them call each of these.
"""

import math

import numpy as np
import torch

from .._data.arrays import empty_tensor, resolve_device, to_array
from .._inference.batches import inference_batch_size
from .._model.generators import Rescale
from .._model.scale import output_map
from .._utils.distributed import add, from_first, gather, n_processes, rank
from .._utils.precision import double
from .._utils.random import derive_seed, draw_seed, seeded_noise
from .._utils.warn import warn
from .checks import check_processes, check_result, check_scale, check_sigma
from .epoch import make_optimizer, train_epoch, weights_are_finite
from .schedules import loss_has_converged
from .state import (
    check_fixed,
    copy_of_networks,
    fixed_values,
    load_networks,
    networks,
    unchanged_on_failure,
)


class NoCallbacks:
    """In place of scikit-learn's context: callbacks run in the first process alone."""

    def subcontext(self, task_name):
        return self

    def call_on_fit_task_begin(self, **arguments):
        pass

    def call_on_fit_task_end(self, **arguments):
        return False


def begin(encoder, data, continues):
    """Set the fitted attributes to their values before training, or check them.

    Returns the rows to train on, and those to validate on or None.
    """
    check_processes(encoder, data)
    if not continues:
        encoder._seed = from_first(draw_seed(encoder.random_state))
    held_out = None
    if encoder.early_stopping:
        # With a warm start the same rows are held out again.
        seed = derive_seed(encoder._seed, "validation")
        data, held_out = data.split(encoder.validation_fraction, seed)
    else:  # a curve of before would not go on
        vars(encoder).pop("validation_loss_curve_", None)
    if continues:
        check_fixed(encoder)
        _move(encoder)
        _set_sigma(encoder, data)
    else:
        _initialise(encoder, data)
    is_sigmoid = encoder.output_activation_ == "sigmoid" and encoder._generator_is_ours
    if is_sigmoid and not data.is_in_unit_interval():
        warn(
            "output_activation='sigmoid' cannot reach the values of X outside [0, 1]; "
            "rescale X, or use output_activation='identity'."
        )
    return data, held_out


def _move(encoder):
    """Put the networks on `device`, which may have changed since the last epoch."""
    like = empty_tensor("float32", resolve_device(encoder.device))
    if next(encoder.generator_.parameters()).device == like.device:
        return
    for network in networks(encoder).values():
        network.to(like.device)
    # This puts the optimiser's state where the weights are.
    encoder._optimizer.load_state_dict(encoder._optimizer.state_dict())


def _set_sigma(encoder, data):
    is_auto = encoder.sigma == "auto"
    encoder.sigma_ = encoder._auto_sigma if is_auto else float(encoder.sigma)
    check_sigma(encoder, data)


def _initialise(encoder, data):
    """Set all fitted attributes to their values before the first epoch."""
    encoder.output_activation_ = encoder.output_activation
    if encoder.output_activation == "auto":
        is_unit = data.is_in_unit_interval()
        encoder.output_activation_ = "sigmoid" if is_unit else "identity"
    encoder.n_components_ = int(encoder.n_components)
    encoder._fixed_values = fixed_values(encoder)
    encoder._generator_is_ours = not callable(encoder.generator)
    mean, variance, observed = data.moments()
    dtype = data.dtype
    check_scale(mean, variance, observed, dtype)
    encoder._auto_sigma = math.sqrt(float(variance.sum()) / encoder._signal_to_noise)
    # The mean squared distance of a row from the mean, where it is observed.
    encoder._data_variance = float(variance @ observed)
    _set_sigma(encoder, data)
    like = empty_tensor(dtype, resolve_device(encoder.device))
    rescale = output_map(mean, variance, encoder.output_activation_)
    built = encoder._build(rescale, like, data)
    vars(encoder).update(built)
    encoder._network_names = [
        name for name, value in built.items() if isinstance(value, torch.nn.Module)
    ]
    modules = encoder.generator_.modules()
    encoder._is_rescaled = any(isinstance(m, Rescale) for m in modules)
    encoder._optimizer = make_optimizer(networks(encoder).values())
    encoder.n_iter_ = 0
    encoder.loss_curve_ = []
    for name in ("n_active_curve_", "validation_loss_curve_"):
        vars(encoder).pop(name, None)


def run_epochs(encoder, data, held_out, schedule, context, arguments):
    """Run the epochs that are left of a fit; return what to warn of.

    `held_out` are the rows to validate on, or None. `context` is scikit-learn's, and
    `arguments` are those of its hooks.
    """
    while encoder._epochs_left:
        check_processes(encoder, data)  # a callback may have changed a parameter
        epoch = context.subcontext(task_name="epoch")
        epoch.call_on_fit_task_begin(**arguments)
        with unchanged_on_failure(encoder):
            figures, messages = run_epoch(encoder, data, schedule, held_out)
        curve = encoder.loss_curve_
        watched = curve if held_out is None else encoder.validation_loss_curve_
        left, tol = schedule.left(encoder.n_iter_), encoder.tol
        encoder._epochs_left -= 1
        # Losses are compared over the epochs in which no schedule changes them.
        encoder._n_compared += not left
        losses, watched = (
            losses[len(losses) - encoder._n_compared :] for losses in (curve, watched)
        )
        is_best = len(watched) > 0 and np.argmin(watched) == len(watched) - 1
        if held_out is not None and is_best:
            encoder._best = copy_of_networks(encoder)
        converged = tol is not None and loss_has_converged(
            watched, tol, int(encoder.n_iter_no_change)
        )
        # A callback gets a copy of the encoder, and a copy has networks of its own.
        stop = epoch.call_on_fit_task_end(**arguments, reconstruction_attributes={})
        stop = from_first(stop)
        if not (stop or converged or encoder._epochs_left == 0):
            continue
        if encoder._best is not None:
            load_networks(encoder, encoder._best)
            encoder._best = None
        encoder._epochs_left = 0
        if left:
            messages.append(
                f"fit ended after {encoder.n_iter_} epochs, but {left}; increase "
                "max_iter."
            )
        elif not (stop or tol is None or converged):
            messages.append(
                f"fit ended at max_iter={encoder.max_iter} epochs before the loss "
                f"converged to tol={tol}; increase either, or set tol=None to train "
                "for max_iter epochs without a test."
            )
        encoder._fit_warnings = messages + check_result(encoder, data, figures, losses)
    return encoder._fit_warnings


def run_epoch(encoder, data, schedule, held_out=None):
    """Train for one epoch on the data; return its figures and what to warn of."""
    epoch = encoder.n_iter_ + 1
    vars(encoder).update(schedule.at(epoch))
    optimizer = encoder._optimizer
    optimizer.param_groups[0]["lr"] = float(encoder.learning_rate_init)
    model = encoder._make_model(data)
    seed = encoder._seed, encoder.n_iter_
    like = next(encoder.generator_.parameters())
    order = encoder._seed if encoder.shuffle else None
    batches = data.training_batches(encoder.batch_size, like, order, encoder.n_iter_)
    if n_processes() > 1:
        seed = *seed, rank()
    draw = seeded_noise(draw_seed(np.random.RandomState(seed)), like)
    figures, rising = train_epoch(model, batches, optimizer, draw)
    active = figures.get("active")
    figures = {name: to_array(value) for name, value in figures.items()}
    modules = networks(encoder).values()
    shown, results = {"loss": float(figures["loss"])}, {"n_iter_": epoch}
    if "active" in figures:
        results["component_frequency_"] = data.to_library(active)
        shown["n_active"] = float(figures["active"].sum())
    if held_out is not None:
        shown["validation_loss"] = _validation_loss(encoder, held_out)
    is_finite = all(map(math.isfinite, shown.values()))
    if not (is_finite and weights_are_finite(modules)):
        raise ValueError(
            f"Training diverged in epoch {epoch}: the loss or a weight is not finite; "
            "reduce learning_rate_init or rescale X."
        )
    for name, value in shown.items():
        curve = f"{name}_curve_"
        results[curve] = [*getattr(encoder, curve, []), value]
    # All at once, so that an interrupt leaves all of them or none.
    vars(encoder).update(results)
    if encoder.verbose and rank() == 0:
        text = ", ".join(f"{name} {value:.6g}" for name, value in shown.items())
        print(f"Epoch {epoch}: {text}")
    (rows, codes), text = rising, None
    if rows:
        text = model.solver.explain(codes, sorted(rows), data.n_rows, model)
    texts = gather(text)
    if n_processes() > 1:
        texts = [text and f"Process {i}: {text}" for i, text in enumerate(texts)]
    return figures, [text for text in texts if text]


@torch.no_grad()
def _validation_loss(encoder, data):
    """Return the mean loss of rows that training does not see."""
    model = encoder._make_model()
    model.memory = None  # the moments are those of the training rows
    like = next(encoder.generator_.parameters())
    draw = seeded_noise(derive_seed(encoder._seed, "validation"), like)
    total = 0.0
    size = inference_batch_size(encoder.batch_size)
    for rows, x, weights in data.training_batches(size, like, None, 0):
        _, figures, _ = model.loss(x, rows, weights, draw)
        losses = double(figures["loss"])
        weights = weights.to(losses)
        total = total + torch.stack([weights @ losses, weights.sum()])
    add([total])
    return (total[0] / total[1]).item()
