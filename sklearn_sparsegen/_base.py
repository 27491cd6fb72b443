"""What all encoders share: scikit-learn's conventions, on arrays.

An encoder differs by the objects that it builds: fitted attributes (`_build`), schedule
(`_make_schedule`) and model (`_make_model`). Apart from scikit-learn's own methods,
nothing else calls a subclass.
"""

import contextlib
import math
from abc import ABC, abstractmethod
from numbers import Integral

import numpy as np
import torch
from scipy import sparse
from sklearn import base
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_array, check_scalar, gen_batches, get_tags
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _arrays, _generators, _messages, _training
from ._checks import check_result, check_scale, check_sigma, warn_of_convergence
from ._inference import infer_batches
from ._likelihoods import NormalLikelihood
from ._modes import in_default_modes
from ._parameters import ANY_POSITIVE, COUNT, NON_NEGATIVE, parameter, parameters
from ._random import draw_seed, seeded_noise
from ._scale import fix_slopes, output_map
from ._state import check_fixed, fixed_values, networks, unchanged_on_failure


@parameters
class BaseEncoder(
    CallbackSupportMixin,
    base.ClassNamePrefixFeaturesOutMixin,
    base.TransformerMixin,
    base.BaseEstimator,
    ABC,
):
    """Base of the encoders; `SparseGeneratorEncoder` describes the parameters."""

    n_components: int = parameter(200, COUNT, kw_only=False, fixed=True)
    sigma: float | str = parameter("auto", StrOptions({"auto"}), ANY_POSITIVE)
    hidden_layer_sizes: tuple = parameter((400,), "array-like", COUNT, fixed=True)
    activation: str = parameter(
        "relu", StrOptions(set(_generators.ACTIVATIONS)), fixed=True
    )
    output_activation: str = parameter(
        "identity", StrOptions({"auto", "identity", "sigmoid"}), fixed=True
    )
    generator: object = parameter(
        None, StrOptions({"convolutional"}), callable, None, fixed=True
    )
    image_shape: tuple | None = parameter(None, "array-like", None, fixed=True)
    max_iter: int = parameter(200, COUNT)
    learning_rate_init: float = parameter(0.001, ANY_POSITIVE)
    batch_size: int | str = parameter("auto", StrOptions({"auto"}), COUNT)
    shuffle: bool = parameter(True, "boolean")
    tol: float | None = parameter(0.005, NON_NEGATIVE, None)
    warm_start: bool = parameter(False, "boolean")
    device: object = parameter("auto", str, torch.device)
    random_state: object = parameter(None, "random_state")
    verbose: int | bool = parameter(False, "verbose")

    # Total variance of the data over the variance of the noise, with sigma="auto". On
    # MNIST sigma is then 0.3, as in the paper.
    _signal_to_noise = 600
    _infers_through_generator = True

    @abstractmethod
    def _make_model(self, X=None):
        """Return the model: for an epoch of training on X, or, with None, for use."""

    def _make_schedule(self):
        """Return the schedule of what depends on the epoch."""
        return _training.ConstantSchedule()

    def _build(self, X, rescale):
        """Return the networks that training starts with, by attribute.

        `rescale` is the `Rescale` after the last layer of the generator, or None.
        """
        source = _generators.resolve_source(
            self.generator,
            _arrays.layer_sizes(self.hidden_layer_sizes),
            self.image_shape,
            activation=self.activation,
            output_activation=self.output_activation_,
            rescale=rescale,
        )
        k = self.n_components_
        generator = _generators.build_generator(source, k, X.shape[1], self._seed)
        device, dtype = _arrays.resolve_device(self.device), _arrays.float_dtype(X)
        generator.to(device, getattr(torch, dtype.name))
        _generators.check_generator(generator, k, X.shape[1])
        if self._infers_through_generator:
            _generators.check_derivatives(generator, k)
        if rescale is not None and self._generator_is_ours:
            fix_slopes(generator, k, self._data_variance, n_active=k)
        return {"generator_": generator}

    def _model_parts(self, X):
        """Return the parts of the model that are the same in all encoders."""
        return {
            "generator": self.generator_,
            "likelihood": self._likelihood(),
            "n_components": self.n_components_,
            # An epoch draws the same noise, whatever came before it.
            "seed": (self._seed,) if X is None else (self._seed, self.n_iter_),
        }

    def _likelihood(self):
        return NormalLikelihood(self.sigma_)

    @in_default_modes
    @base._fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the generator from data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.

        y : Ignored
            Not used, but passed on to callbacks.

        Returns
        -------
        self : object
            The fitted encoder.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, or if inference or training diverges.

        Warns
        -----
        ConvergenceWarning
            If fit is interrupted, or ends before its schedule does or before the loss
            has converged to `tol`; if gradient steps of the last epoch end at a higher
            energy than they started at; if most rows have no active code, nearly all
            codes are active, few components are ever active, or reconstructions are
            worse than the mean; or if the loss has grown.

        UserWarning
            If features differ greatly in variance, or a sigmoid cannot reach X, or X is
            too far from zero for its type.
        """
        with unchanged_on_failure(self):
            continues = self.warm_start and hasattr(self, "generator_")
            schedule = self._make_schedule()
            X = self._validate(X, reset=not continues)
            optimizer = self._begin(X, continues)
            # Without a y, scikit-learn's ScoringMonitor would call no scorer.
            data = {"estimator": self, "X": X, "y": X if y is None else y}
            context = self._init_callback_context(max_subtasks=self.max_iter)
            context.call_on_fit_task_begin(**data)
            try:
                messages = self._run_epochs(X, schedule, optimizer, context, data)
            except KeyboardInterrupt:
                messages = [_messages.INTERRUPTED.format(epoch=self.n_iter_ + 1)]
            self._optimizer_state = optimizer.state_dict() if self.warm_start else None
            context.call_on_fit_task_end(**data, reconstruction_attributes={})
        warn_of_convergence(messages)
        return self

    def _begin(self, X, continues):
        """Set the fitted attributes before an epoch; return the optimiser."""
        if continues:
            check_fixed(self)
        else:
            self._initialise(X)
        self.sigma_ = self._auto_sigma if self.sigma == "auto" else float(self.sigma)
        check_sigma(self, X)
        is_sigmoid = self.output_activation_ == "sigmoid" and self._generator_is_ours
        if is_sigmoid and not _arrays.is_in_unit_interval(X):
            _messages.warn(_messages.SIGMOID_CANNOT_REACH)
        modules, state = networks(self).values(), self._optimizer_state
        return _training.make_optimizer(modules, self.learning_rate_init, state)

    def _initialise(self, X):
        """Set all fitted attributes to their values before the first epoch."""
        self.output_activation_ = self.output_activation
        if self.output_activation == "auto":
            is_unit = _arrays.is_in_unit_interval(X)
            self.output_activation_ = "sigmoid" if is_unit else "identity"
        self._seed = draw_seed(self.random_state)
        self.n_components_ = int(self.n_components)
        mean, variance, observed = _arrays.moments(X)
        check_scale(mean, variance, observed, _arrays.float_dtype(X))
        self._auto_sigma = math.sqrt(float(variance.sum()) / self._signal_to_noise)
        self._generator_is_ours = not callable(self.generator)
        # The mean squared distance of a row from the mean, where it is observed.
        self._data_variance = float(variance @ observed)
        rescale = output_map(mean, variance, self.output_activation_)
        vars(self).update(self._build(X, rescale))
        self._fixed_values = fixed_values(self)
        self.n_iter_ = 0
        self.loss_curve_ = []
        vars(self).pop("n_active_curve_", None)
        self._optimizer_state = None

    def _run_epochs(self, X, schedule, optimizer, context, data):
        """Run epochs until there is a reason to stop; return what to warn of."""
        losses, converged = [], False
        for _ in range(self.max_iter):
            epoch = context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(**data)
            figures, messages = self._run_epoch(X, schedule, optimizer)
            left = schedule.left(self.n_iter_)
            if not left:
                losses.append(self.loss_curve_[-1])
            if losses and self.tol is not None:
                converged = _training.loss_has_converged(losses, self.tol)
            # A callback gets a copy of the encoder, and a copy has networks of its own.
            stop = epoch.call_on_fit_task_end(**data, reconstruction_attributes={})
            if stop or converged:
                break
        if left:
            message = _messages.SCHEDULE_NOT_FINISHED
            messages.append(message.format(n_epochs=self.n_iter_, left=left))
        elif not (stop or self.tol is None or converged):
            message = _messages.LOSS_STILL_FALLS
            messages.append(message.format(max_iter=self.max_iter, tol=self.tol))
        return messages + check_result(self, X, figures, losses)

    def _run_epoch(self, X, schedule, optimizer):
        """Train for one epoch on X; return its figures and what to warn of."""
        vars(self).update(schedule.at(self.n_iter_ + 1))
        model = self._make_model(X)
        seed, like = (self._seed, self.n_iter_), next(self.generator_.parameters())
        rng = np.random.default_rng(seed) if self.shuffle else None
        size = _arrays.training_batch_size(self.batch_size, len(X))
        batches = _arrays.training_batches(X, size, like, rng)
        draw = seeded_noise(draw_seed(np.random.RandomState(seed)), like)
        figures, rising = _training.train_epoch(model, batches, optimizer, draw)
        self.n_iter_ += 1
        figures = {name: _arrays.to_array(value) for name, value in figures.items()}
        if not np.isfinite(figures["loss"]):
            raise ValueError(_messages.LOSS_NOT_FINITE.format(epoch=self.n_iter_))
        shown = {"loss": float(figures["loss"])}
        if "active" in figures:
            self.component_frequency_ = figures["active"]
            shown["n_active"] = float(figures["active"].sum())
        for name, value in shown.items():
            curve = f"{name}_curve_"
            setattr(self, curve, [*getattr(self, curve, []), value])
        if self.verbose:
            text = ", ".join(f"{name} {value:.6g}" for name, value in shown.items())
            print(f"Epoch {self.n_iter_}: {text}")
        if not len(rising):
            return figures, []
        rows = range(len(rising))
        return figures, [model.solver.explain(rising, rows, len(X), model)]

    @in_default_modes
    def transform(self, X):
        """Infer the codes of data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        Z : {ndarray, CSR array} of shape (n_samples, n_components)
            Codes, as float64 if X is, else float32.

        Raises
        ------
        ValueError
            If inference diverges, or if X or a parameter is invalid.

        Warns
        -----
        ConvergenceWarning
            If gradient steps end at a higher energy than they started at, or proximal
            steps stop before they reach a tolerance that is set, for any row.
        """
        X = self._check_data(X)
        model = self._make_model()
        # Only encoders whose codes have exact zeros have this parameter.
        as_csr = getattr(self, "sparse_output", False)
        parts, dtype = [], _arrays.float_dtype(X)
        for _, solution in infer_batches(model, X, self.batch_size, model.refinement):
            part = _arrays.to_array(solution.z).astype(dtype, copy=False)
            parts.append(sparse.csr_array(part) if as_csr else part)
        return sparse.vstack(parts, format="csr") if as_csr else np.concatenate(parts)

    @in_default_modes
    def inverse_transform(self, X):
        """Generate data from codes.

        Parameters
        ----------
        X : {array-like, sparse array} of shape (n_samples, n_components)
            The codes.

        Returns
        -------
        X_generated : ndarray of shape (n_samples, n_features)
            Mean of the data given the codes. The type is float64 if X is, else float32.

        Raises
        ------
        ValueError
            If X is invalid or of the wrong width.
        """
        check_is_fitted(self)
        mean = self._likelihood().mean
        return self._map_codes(X, lambda z: mean(self.generator_(z)))

    @torch.no_grad()
    def _map_codes(self, Z, function):
        """Apply a function of tensors to codes, batch by batch."""
        Z = check_array(Z, accept_sparse="csr", input_name="X", estimator=self)
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"X holds codes of {Z.shape[1]} components, but "
                f"{type(self).__name__} has n_components={self.n_components_}."
            )
        like, parts = next(self.generator_.parameters()), []
        size = _arrays.inference_batch_size(self.batch_size)
        for batch in gen_batches(Z.shape[0], size):
            z = Z[batch].toarray() if sparse.issparse(Z) else Z[batch]
            part = _arrays.to_array(function(_arrays.to_tensor(z, like)))
            parts.append(part.astype(_arrays.float_dtype(Z), copy=False))
        return np.concatenate(parts)

    @in_default_modes
    @torch.no_grad()
    def sample(self, n_samples=1):
        """Sample data from the model (Eq. 2): codes from the prior, noise added.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            `G(z) + sigma * e`; an integer `random_state` gives the same rows each time.

        Raises
        ------
        TypeError, ValueError
            If n_samples is not an integer above 0.
        """
        check_is_fitted(self)
        self._validate_params()
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        model = self._make_model()
        like = next(self.generator_.parameters())
        draw = seeded_noise(draw_seed(self.random_state), like)
        z = model.prior.sample(lambda: draw(n_samples, self.n_components_))
        return _arrays.to_array(model.likelihood.sample(model.generator(z), draw))

    def _check_data(self, X):
        """Validate the data and the parameters of a method that infers codes."""
        check_is_fitted(self)
        self._validate_params()
        return self._validate(X)

    def _validate(self, X, reset=False):
        # X keeps its type and is converted batch by batch, so that nothing copies it.
        finite = "allow-nan" if get_tags(self).input_tags.allow_nan else True
        checks = {"dtype": "numeric", "ensure_all_finite": finite}
        X = validate_data(self, _arrays.fill_masked(X), reset=reset, **checks)
        if X.dtype.kind not in "biuf":
            raise TypeError(f"X must hold real numbers, got the type {X.dtype}.")
        return X

    @property
    def _n_features_out(self):
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = True
        return tags

    def __getstate__(self):
        """Return the state with its tensors on the CPU, so that it loads anywhere."""
        return _arrays.on_cpu(super().__getstate__())

    def __setstate__(self, state):
        """Set the state; move the networks to `device` if this machine has it."""
        super().__setstate__(state)
        for network in networks(self).values():
            with contextlib.suppress(ValueError):
                network.to(_arrays.resolve_device(self.device))
