"""The fit loop: schedule, batches, Adam (Algorithm 1)."""

import copy
import functools
import warnings

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import gen_batches, get_tags
from sklearn.utils.validation import validate_data

from ._generators import (
    build_generator,
    check_generator,
    convolutional_generator,
    mlp_generator,
)
from ._torch import (
    draw_seed,
    float_dtype,
    resolve_device,
    tensor_batches,
)

_PATIENCE = 5  # epochs in which the loss must fall by `tol` once


class FitMixin(CallbackSupportMixin):
    """Mixin that learns a generator: `fit`.

    Lower alpha; for each batch infer its codes, and take a step of Adam on the
    generator at them; repeat. What an encoder learns from a batch, it says itself.
    """

    _curves = ("loss",)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the generator from data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.

        y : Ignored
            Not used, but handed to callbacks.

        Returns
        -------
        self : object
            The fitted encoder.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, or if inference diverges.

        Warns
        -----
        ConvergenceWarning
            If fit ends before its schedule does or before the loss has settled to
            `tol`, if it is interrupted, or if inference overshoots in the last epoch.
            Proximal steps do not overshoot, and in training may stop short of `tol`.
        """
        continues = self.warm_start and hasattr(self, "generator_")
        X = self._validate(X, reset=not continues)
        if not continues:
            self._initialize(X)
        # The target of a generator is X itself; and without a y, scikit-learn's
        # ScoringMonitor would call no scorer.
        data = {"estimator": self, "X": X, "y": X if y is None else y}
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(**data)
        optimizer = self._make_optimizer()
        try:
            complaints = self._run_epochs(X, optimizer, context, data)
        except KeyboardInterrupt:
            complaints = [
                f"fit was interrupted in epoch {self.n_iter_ + 1}; the encoder keeps "
                "what it has learned."
            ]
        self._optimizer_state = optimizer.state_dict() if self.warm_start else None
        context.call_on_fit_task_end(**data, reconstruction_attributes=self._snapshot)
        warn_of(complaints)
        return self

    def _validate(self, X, reset=False):
        # any type of numbers, to be converted batch by batch: nothing copies all of X
        allow_nan = get_tags(self).input_tags.allow_nan
        X = validate_data(
            self,
            X,
            dtype="numeric",
            ensure_all_finite="allow-nan" if allow_nan else True,
            reset=reset,
        )
        if X.dtype.kind not in "biuf":
            raise TypeError(f"X must hold real numbers, got the type {X.dtype}.")
        return X

    def _initialize(self, X):
        """Build the generator, and set what is learned to its start."""
        self._seed = draw_seed(self.random_state)
        self.output_activation_ = self._choose_output_activation(X)
        self.generator_ = build_generator(
            self._generator_source(),
            self.n_components,
            X.shape[1],
            self._seed,
        ).to(resolve_device(self.device), getattr(torch, float_dtype(X).name))
        self.n_components_ = self.n_components
        self.n_iter_ = 0
        for name in self._curves:
            setattr(self, f"{name}_curve_", [])
        self._optimizer_state = None

    def _generator_source(self):
        """Return the factory or the module that `generator` stands for."""
        if not (self.generator is None or isinstance(self.generator, str)):
            return self.generator
        activations = {
            "activation": self.activation,
            "output_activation": self.output_activation_,
        }
        if self.generator is None:
            sizes = self._checked_hidden_layer_sizes()
            return functools.partial(
                mlp_generator, hidden_layer_sizes=sizes, **activations
            )
        if self.image_shape is None:
            raise ValueError(
                "generator='convolutional' needs image_shape: (height, width), or "
                "(height, width, channels) in the order of a row's values."
            )
        return functools.partial(
            convolutional_generator, image_shape=self.image_shape, **activations
        )

    def _checked_hidden_layer_sizes(self):
        sizes = np.ravel(self.hidden_layer_sizes)
        if sizes.size and not (sizes.dtype.kind in "iu" and sizes.min() > 0):
            raise ValueError(
                "hidden_layer_sizes must hold integers above 0, got "
                f"{self.hidden_layer_sizes!r}."
            )
        return sizes.astype(int).tolist()

    def _choose_output_activation(self, X):
        # these pass over NaN, and copy nothing; none is above or below no data at all
        lowest, highest = (f.reduce(X, axis=None) for f in (np.fmin, np.fmax))
        in_unit_interval = not (lowest < 0 or highest > 1)
        if self.output_activation == "auto":
            return "sigmoid" if in_unit_interval else "identity"
        if self.output_activation == "sigmoid" and not in_unit_interval:
            warnings.warn(
                "output_activation='sigmoid' cannot reach the values of X outside "
                "[0, 1]; rescale X, or take output_activation='identity'.",
                stacklevel=5,
            )
        return self.output_activation

    def _make_optimizer(self):
        """Adam on the generator, going on from its state where there is one."""
        # a set_params(n_components=...) between two calls would end in a shape error
        check_generator(self.generator_, self.n_components, self.n_features_in_)
        parameters = [
            parameter
            for network in networks(self).values()
            for parameter in network.parameters()
            if parameter.requires_grad
        ]
        optimizer = torch.optim.Adam(parameters, fused=True)
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
        optimizer.param_groups[0]["lr"] = self.learning_rate_init
        return optimizer

    def _run_epochs(self, X, optimizer, context, data):
        """Run epochs until there is a reason to stop; return what to warn of."""
        best_loss, n_stale = np.inf, 0
        for _ in range(self.max_iter):
            epoch = context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(**data)
            complaints = self._run_epoch(X, optimizer)
            if self.tol is not None and not self._schedule_left():
                loss = self.loss_curve_[-1]
                improved = loss < best_loss - self.tol * abs(loss)
                n_stale = 0 if improved else n_stale + 1
                best_loss = min(loss, best_loss)
            stop = epoch.call_on_fit_task_end(
                **data, reconstruction_attributes=self._snapshot
            )
            if stop or n_stale == _PATIENCE:
                break
        if left := self._schedule_left():
            complaints.append(
                f"fit ended after {self.n_iter_} epochs, but {left}; increase max_iter."
            )
        elif not stop and self.tol is not None and n_stale < _PATIENCE:
            complaints.append(
                f"fit ended at max_iter={self.max_iter} epochs before the loss settled "
                f"to tol={self.tol}; increase either, or set tol=None to train for "
                "max_iter epochs whatever the loss does."
            )
        return complaints

    # An interrupt within torch's own switches of gradients would leave them off.
    @torch.enable_grad()
    def _run_epoch(self, X, optimizer):
        """One epoch of Algorithm 1; return what to warn of."""
        self._begin_epoch()
        n_samples = len(X)
        # The same epoch draws the same numbers, whatever came before it.
        epoch_seed = (self._seed, self.n_iter_)
        order = np.arange(n_samples)
        if self.shuffle:
            np.random.default_rng(epoch_seed).shuffle(order)
        batches = zip(
            (order[rows] for rows in gen_batches(n_samples, self.batch_size)),
            tensor_batches(X, self.batch_size, self.generator_, order),
            strict=True,
        )
        all_short, totals = [], dict.fromkeys(self._curves, 0.0)
        for loss, figures in self._learn(batches, epoch_seed, all_short):
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
            # summed where they are: reading them makes a GPU wait
            for name in self._curves:
                totals[name] += figures[name].detach().double().sum()
        self.n_iter_ += 1
        if not np.isfinite(totals["loss"].item()):
            raise ValueError(
                f"Training diverged in epoch {self.n_iter_}: the loss is not finite; "
                "reduce learning_rate_init or rescale X."
            )
        for name, total in totals.items():
            getattr(self, f"{name}_curve_").append(total.item() / n_samples)
        if self.verbose:
            shown = ", ".join(
                f"{name} {getattr(self, f'{name}_curve_')[-1]:.6g}"
                for name in self._curves
            )
            print(f"Epoch {self.n_iter_}: {shown}")
        return self._complaints(all_short, n_samples)

    def _snapshot(self):
        """Return what a callback needs, kept from further change."""
        curves = [f"{name}_curve_" for name in self._curves]
        return {
            **copy.deepcopy(networks(self)),
            **{name: list(getattr(self, name)) for name in curves},
        }


class PartialFitMixin:
    """Mixin of encoders that learn from parts of the data, one after another."""

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Train for one epoch on X, from where the encoder stands.

        Each call is one epoch of the schedule.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, or a part of it.

        y : Ignored
            Not used.

        Returns
        -------
        self : object
            The encoder.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, or if inference diverges.

        Warns
        -----
        ConvergenceWarning
            If inference overshoots.
        """
        first_call = not hasattr(self, "generator_")
        X = self._validate(X, reset=first_call)
        if first_call:
            self._initialize(X)
        optimizer = self._make_optimizer()
        complaints = self._run_epoch(X, optimizer)
        self._optimizer_state = optimizer.state_dict()
        warn_of(complaints)
        return self


def networks(encoder):
    """Return the networks that an encoder has learned, by attribute."""
    return {
        name: value
        for name, value in vars(encoder).items()
        if name.endswith("_") and isinstance(value, torch.nn.Module)
    }


def warn_of(complaints):
    """Warn of each complaint, on behalf of a public method's caller."""
    for complaint in complaints:
        warnings.warn(complaint, ConvergenceWarning, stacklevel=4)
