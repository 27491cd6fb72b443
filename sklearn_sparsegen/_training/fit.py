"""Fitting: the state with which training starts, and its epochs.

`fit` and `partial_fit` call these functions, which change the `TrainingState` of an
encoder. Where several processes train together, all of them call each of these.
"""

import math

import numpy as np
import torch

from .._data.arrays import empty_tensor, resolve_device, to_array
from .._inference.batches import inference_batch_size
from .._model.generators import check_generator
from .._model.scale import fix_slopes, output_map
from .._utils.distributed import add, from_first, gather, n_processes, rank
from .._utils.precision import double
from .._utils.random import derive_seed, draw_seed, seeded_noise
from .._utils.warn import warn
from .checks import check_processes, check_result, check_scale, check_sigma
from .epoch import train_epoch, weights_are_finite
from .schedules import loss_has_converged
from .state import DataScale, built, check_fixed, fixed_values, unchanged_on_failure


class NoCallbacks:
    """In place of scikit-learn's context: callbacks run in the first process alone."""

    def subcontext(self, task_name):
        return self

    def call_on_fit_task_begin(self, **arguments):
        pass

    def call_on_fit_task_end(self, **arguments):
        return False


def begin(encoder, data, schedule, continues, in_parts=False):
    """Give an encoder the state before training, or check that training can go on.

    Returns the rows to train on, and those to validate on or None.
    """
    check_processes(encoder, data)
    seed = encoder._state.seed if continues else draw_seed(encoder.random_state)
    seed, held_out = from_first(seed), None
    if encoder.early_stopping:
        # With a warm start the same rows are held out again.
        split_seed = derive_seed(seed, "validation")
        data, held_out = data.split(encoder.validation_fraction, split_seed)
    if continues:
        state = encoder._state
        check_fixed(encoder)
        state.move(resolve_device(encoder.device))
        state.sigma = _sigma(encoder, state.scale, data)
        if held_out is None:  # a curve of before would not go on
            name = "validation_loss_curve_"
            state.curves = {k: v for k, v in state.curves.items() if k != name}
        state.publish(encoder, data.to_library)
    else:
        state = _new_state(encoder, data, schedule, seed)
    if state.memory is not None:
        draw = seeded_noise(derive_seed(state.seed + rank(), "chains"), state.like)
        state.memory.begin(data.n_places, data.places, draw)
    state.n_epochs_before = state.epoch
    state.best = state.messages = None
    state.in_parts = in_parts
    is_sigmoid = state.scale.output_activation == "sigmoid" and state.generator_is_ours
    if is_sigmoid and not data.is_in_unit_interval():
        warn(
            "output_activation='sigmoid' cannot reach the values of X outside [0, 1]; "
            "rescale X, or use output_activation='identity'."
        )
    return data, held_out


def _new_state(encoder, data, schedule, seed):
    """Return the state before the first epoch, which the encoder then has."""
    output_activation = encoder.output_activation
    if output_activation == "auto":
        is_unit = data.is_in_unit_interval()
        output_activation = "sigmoid" if is_unit else "identity"
    mean, variance, observed = data.moments()
    check_scale(mean, variance, observed, data.dtype)
    is_ours = not callable(encoder.generator)
    scale = DataScale(
        output_activation,
        is_mapped=is_ours and encoder._maps_output(output_activation),
        auto_sigma=math.sqrt(float(variance.sum()) / encoder._signal_to_noise),
        variance=float(variance @ observed),
    )
    sigma = _sigma(encoder, scale, data)
    like = empty_tensor(data.dtype, resolve_device(encoder.device))
    output = output_map(mean, variance, output_activation)
    state = built(encoder, seed, fixed_values(encoder), scale, output, like)
    generator, k = state.networks["generator_"], state.n_components
    check_generator(generator, k, encoder.n_features_in_)
    if scale.is_mapped:
        fix_slopes(generator, k, scale.variance, n_active=k)
    state.sigma, state.scheduled = sigma, schedule.at(1)
    state.publish(encoder, data.to_library)
    encoder._training_model().begin()
    encoder._start_networks(state, data)
    return state


def _sigma(encoder, scale, data):
    """Return the standard deviation of the noise, or raise."""
    sigma = scale.auto_sigma if encoder.sigma == "auto" else float(encoder.sigma)
    check_sigma(sigma, data)
    return sigma


def run_epochs(encoder, data, held_out, schedule, context, arguments):
    """Run the epochs that are left of a fit, and find what to warn of.

    `held_out` are the rows to validate on, or None. `context` is scikit-learn's, and
    `arguments` are those of its hooks.
    """
    state = encoder._state
    last_epoch = state.n_epochs_before + int(encoder.max_iter)
    # Losses are compared over the epochs in which no schedule changes them.
    epochs = range(state.n_epochs_before + 1, state.epoch + 1)
    n_compared = sum(not schedule.left(epoch) for epoch in epochs)
    while state.messages is None:
        check_processes(encoder, data)  # a callback may have changed a parameter
        task = context.subcontext(task_name="epoch")
        task.call_on_fit_task_begin(**arguments)
        with unchanged_on_failure(encoder):
            figures, messages = run_epoch(encoder, data, schedule, held_out)
        losses = state.curves["loss_curve_"]
        watched = losses if held_out is None else state.curves["validation_loss_curve_"]
        left, tol = schedule.left(state.epoch), encoder.tol
        n_compared += not left
        losses, watched = (
            curve[len(curve) - n_compared :] for curve in (losses, watched)
        )
        is_best = len(watched) > 0 and np.argmin(watched) == len(watched) - 1
        if held_out is not None and is_best:
            state.keep_best()
        converged = tol is not None and loss_has_converged(
            watched, tol, int(encoder.n_iter_no_change)
        )
        # A callback gets a copy of the encoder, and a copy has networks of its own.
        stop = task.call_on_fit_task_end(**arguments, reconstruction_attributes={})
        stop = from_first(stop)
        if not (stop or converged or state.epoch == last_epoch):
            continue
        state.take_best()
        if left:
            messages.append(
                f"fit ended after {state.epoch} epochs, but {left}; increase max_iter."
            )
        elif not (stop or tol is None or converged):
            messages.append(
                f"fit ended at max_iter={encoder.max_iter} epochs before the loss "
                f"converged to tol={tol}; increase either, or set tol=None to train "
                "for max_iter epochs without a test."
            )
        state.messages = messages + check_result(encoder, data, figures, losses)


def run_epoch(encoder, data, schedule, held_out=None):
    """Train for one epoch on the data; return its figures and what to warn of."""
    state = encoder._state
    epoch = state.epoch + 1
    state.scheduled = schedule.at(epoch)
    rate = float(encoder.learning_rate_init)
    if encoder.learning_rate == "cosine" and not state.in_parts:
        progress = (epoch - 0.5) / (state.n_epochs_before + int(encoder.max_iter))
        rate *= (1 + math.cos(math.pi * progress)) / 2
    state.optimizer.param_groups[0]["lr"] = rate
    model = encoder._training_model()
    if state.memory is not None and model.memory is None:
        state.memory.clear()  # after training without it, it would be out of date
    order = state.seed if encoder.shuffle else None
    batches = data.training_batches(encoder.batch_size, state.like, order, state.epoch)
    seed = state.seed, state.epoch
    if n_processes() > 1:
        seed = *seed, rank()
    draw = seeded_noise(draw_seed(np.random.RandomState(seed)), state.like)
    means, (rows, codes) = train_epoch(model, batches, state.optimizer, draw)
    figures = {name: to_array(value) for name, value in means.items()}
    shown = {"loss": float(figures["loss"])}
    if "active" in figures:
        shown["n_active"] = float(figures["active"].sum())
    if held_out is not None:
        shown["validation_loss"] = _validation_loss(encoder, held_out)
    is_finite = all(map(math.isfinite, shown.values()))
    if not (is_finite and weights_are_finite(state.networks.values())):
        raise ValueError(
            f"Training diverged in epoch {epoch}: the loss or a weight is not finite; "
            "reduce learning_rate_init or rescale X."
        )
    curves = {f"{name}_curve_": value for name, value in shown.items()}
    for name, value in state.scheduled.items():
        if not name.startswith("_"):
            curves[f"{name}curve_"] = value
    for name, value in curves.items():
        curves[name] = [*state.curves.get(name, []), value]
    state.curves = state.curves | curves
    state.epoch, state.component_frequency = epoch, means.get("active")
    state.publish(encoder, data.to_library)
    if encoder.verbose and rank() == 0:
        text = ", ".join(f"{name} {value:.6g}" for name, value in shown.items())
        print(f"Epoch {epoch}: {text}")
    text = None
    if rows:
        text = model.solver.explain(torch.cat(codes), sorted(rows), data.n_rows, model)
    texts = gather(text)
    if n_processes() > 1:
        texts = [text and f"Process {i}: {text}" for i, text in enumerate(texts)]
    return figures, [text for text in texts if text]


@torch.no_grad()
def _validation_loss(encoder, data):
    """Return the mean loss of rows that training does not see."""
    state, model, total = encoder._state, encoder._inference_model(), 0.0
    draw = seeded_noise(derive_seed(state.seed, "validation"), state.like)
    size = inference_batch_size(encoder.batch_size)
    for rows, x, weights in data.training_batches(size, state.like, None, 0):
        losses = double(model.loss(x, rows, draw).figures["loss"])
        weights = weights.to(losses)
        total = total + torch.stack([weights @ losses, weights.sum()])
    add([total])
    return (total[0] / total[1]).item()
