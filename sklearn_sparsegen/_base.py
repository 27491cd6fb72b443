"""What all encoders share: scikit-learn's conventions, on arrays.

An encoder differs by the objects that it builds: fitted attributes (`_build`), schedule
(`_make_schedule`) and model (`_make_model`). Apart from scikit-learn's own methods,
nothing else calls a subclass.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Literal, Self, TypeVar

import torch
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn import base
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_array, gen_batches
from sklearn.utils.validation import check_is_fitted

from . import _arrays, _generators, _messages, _training
from ._checks import finite, warn_of_convergence
from ._data import check_namespace, checked, validated
from ._distributed import fail_together, rank
from ._fitting import NoCallbacks, begin, run_epochs
from ._inference import infer_batches
from ._likelihoods import NormalLikelihood
from ._modes import in_default_modes
from ._parameters import (
    ANY_POSITIVE,
    COUNT,
    NON_NEGATIVE,
    OPEN_SHARE,
    one_of,
    parameter,
    parameters,
)
from ._scale import fix_slopes
from ._state import from_arrays, share, to_arrays, unchanged_on_failure
from ._types import (
    Activation,
    Array,
    Data,
    Generator,
    ImageShape,
    Matrix,
    OutputActivation,
    RandomState,
    Sizes,
)

_F = TypeVar("_F", bound=Callable)
_checks_parameters: Callable[[_F], _F]
_checks_parameters = base._fit_context(prefer_skip_nested_validation=True)


@parameters
class BaseEncoder(
    CallbackSupportMixin,
    base.ClassNamePrefixFeaturesOutMixin,
    base.TransformerMixin,
    base.BaseEstimator,
    ABC,
):
    """Base of the encoders; `SparseGeneratorEncoder` describes the parameters."""

    n_components: int = parameter(COUNT, default=200, kw_only=False, fixed=True)
    sigma: Literal["auto"] | float = parameter(
        one_of(Literal["auto"]), ANY_POSITIVE, default="auto"
    )
    hidden_layer_sizes: Sizes = parameter(
        "array-like", COUNT, default=(400,), fixed=True
    )
    activation: Activation = parameter(one_of(Activation), default="relu", fixed=True)
    output_activation: OutputActivation = parameter(
        one_of(OutputActivation), default="identity", fixed=True
    )
    generator: Generator = parameter(
        one_of(Literal["convolutional"]), callable, None, default=None, fixed=True
    )
    image_shape: ImageShape | None = parameter(
        "array-like", None, default=None, fixed=True
    )
    max_iter: int = parameter(COUNT, default=200)
    learning_rate_init: float = parameter(ANY_POSITIVE, default=0.001)
    batch_size: Literal["auto"] | int = parameter(
        one_of(Literal["auto"]), COUNT, default="auto"
    )
    shuffle: bool = parameter("boolean", default=True)
    tol: float | None = parameter(NON_NEGATIVE, None, default=0.005)
    n_iter_no_change: int = parameter(COUNT, default=5)
    early_stopping: bool = parameter("boolean", default=False)
    validation_fraction: float = parameter(OPEN_SHARE, default=0.1)
    warm_start: bool = parameter("boolean", default=False)
    device: str | torch.device = parameter(str, torch.device, default="auto")
    random_state: RandomState = parameter("random_state", default=None)
    verbose: int | bool = parameter("verbose", default=False)

    # Total variance of the data over the variance of the noise, with sigma="auto". On
    # MNIST sigma is then 0.3, as in the paper.
    _signal_to_noise = 600
    _infers_through_generator = True
    _codes_depend_on_sigma = True

    @abstractmethod
    def _make_model(self, X=None):
        """Return the model: for an epoch of training on X, or, with None, for use."""

    def _make_schedule(self):
        """Return the schedule of what depends on the epoch."""
        return _training.ConstantSchedule()

    def _build(self, rescale, like, X=None):
        """Return the fitted networks, by attribute, of the type and device of `like`.

        `rescale` is the `Rescale` after the last layer of the generator, or None. X are
        the training data that the networks start with, or None where their weights are
        to be loaded.
        """
        fixed, k = self._fixed_values, self.n_components_
        source = _generators.resolve_source(
            fixed["generator"],
            _arrays.layer_sizes(fixed["hidden_layer_sizes"]),
            fixed["image_shape"],
            activation=fixed["activation"],
            output_activation=self.output_activation_,
            rescale=rescale,
        )
        n_features = self.n_features_in_
        generator = _generators.build_generator(source, k, n_features, self._seed)
        generator.to(like)
        if X is not None:
            _generators.check_generator(generator, k, n_features)
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
    @fail_together
    @_checks_parameters
    def fit(
        self,
        X: "Data",
        y: object = None,
        sample_weight: "ArrayLike | None" = None,
    ) -> Self:
        """Learn the generator from data.

        Parameters
        ----------
        X : {array-like, sparse array} of shape (n_samples, n_features), or iterable
            Training data. An iterable gives batches of rows: arrays, tensors, or tuples
            of which they are the first, as a `torch.utils.data.DataLoader` does. An
            epoch is one pass, and a step of the optimiser takes one batch as it is.

        y : Ignored
            Not used, but passed on to callbacks.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, by which their losses and all moments are multiplied.
            A row of weight zero counts as if it were not there. In a batch that is
            drawn at random, a row of weight two is not the same as two rows.

        Returns
        -------
        self : object
            The fitted encoder.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, or if inference or training diverges.

        RuntimeError
            If another process of a group of `torch.distributed` fails or ends.

        KeyboardInterrupt
            If the user interrupts. The encoder then keeps the epochs that were whole,
            and can be used.

        Warns
        -----
        ConvergenceWarning
            If fit ends before its schedule does or before the loss has converged to
            `tol`; if gradient steps of the last epoch end at a higher energy than they
            started at; if most rows have no active code, nearly all codes are active,
            few components are ever active, or reconstructions are worse than the mean;
            or if the loss has grown.

        UserWarning
            If features differ greatly in variance, or a sigmoid cannot reach X, or X is
            too far from zero for its type.
        """
        with unchanged_on_failure(self):
            continues = self.warm_start and hasattr(self, "generator_")
            schedule = self._make_schedule()
            data = validated(self, X, not continues, sample_weight)
            # Without a y, scikit-learn's ScoringMonitor would call no scorer.
            y = data.X if y is None else y
            metadata = {"sample_weight": sample_weight}
            arguments = {"estimator": self, "X": data.X, "y": y, "metadata": metadata}
            data, held_out = begin(self, data, continues)
            self._may_go_on, self._best = False, None
            self._epochs_left, self._n_compared = int(self.max_iter), 0
            context = NoCallbacks()
            if rank() == 0:
                context = self._init_callback_context(max_subtasks=self.max_iter)
            context.call_on_fit_task_begin(**arguments)
            share(self)
            messages = run_epochs(self, data, held_out, schedule, context, arguments)
            share(self)
            context.call_on_fit_task_end(**arguments, reconstruction_attributes={})
        warn_of_convergence(messages)
        return self

    @in_default_modes
    def transform(self, X: "Data") -> Array:
        """Infer the codes of data.

        Parameters
        ----------
        X : {array-like, sparse array} of shape (n_samples, n_features), or iterable
            Data, or batches of data, as for `fit`.

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

        UserWarning
            If the codes have so few zeros that a CSR array is larger than a dense one.
        """
        data = self._check_data(X)
        model = self._make_model()
        # Only encoders whose codes have exact zeros have this parameter.
        as_csr = getattr(self, "sparse_output", False)
        kind = _arrays.CollectedSparse if as_csr else _arrays.Collected
        codes = kind(data.n_rows)
        batches = infer_batches(model, data, self.batch_size, model.refinement)
        for _, solution in batches:
            codes.append(finite(solution.z, data.dtype, codes.n_rows, data.device))
        Z = codes.result()
        if not as_csr:
            return data.to_library(Z)
        share = Z.nnz / math.prod(Z.shape)
        if share > 2 / 3:  # an entry has a value and a column
            message = _messages.DENSE_OUTPUT.format(share=share)
            _messages.warn(message)
        return Z

    def iter_transform(self, X: "Data") -> Iterator[Array]:
        """Infer the codes of data batch by batch, so that memory is bounded.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or iterable of batches
            Data, as for `transform`.

        Yields
        ------
        Z : {ndarray, CSR array} of shape (n_rows, n_components)
            Codes of the next rows: of a batch of the iterable, or of at most
            `batch_size` rows, for "auto" 500. They are those of `transform`.

        Raises
        ------
        ValueError
            Where `transform` raises it; the rows are those of the batch.
        """
        size = _arrays.inference_batch_size(self.batch_size)
        for rows in self._check_data(X).arrays(size):
            yield self.transform(rows)

    @in_default_modes
    def inverse_transform(self, X: "Matrix") -> Array:
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
            If X is invalid or of the wrong width, or if a result is not finite.
        """
        check_is_fitted(self)
        mean = self._likelihood().mean
        return self._map_codes(X, lambda z: mean(self.generator_(z)))

    @torch.no_grad()
    def _map_codes(self, Z, function):
        """Apply a function of tensors to codes, batch by batch."""
        check = functools.partial(check_array, accept_sparse="csr", input_name="X")
        to_library, Z = _arrays.to_library_of(Z), checked(Z, check)
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"X holds codes of {Z.shape[1]} components, but "
                f"{type(self).__name__} has n_components={self.n_components_}."
            )
        like, results = (
            next(self.generator_.parameters()),
            _arrays.Collected(Z.shape[0]),
        )
        size = _arrays.inference_batch_size(self.batch_size)
        for batch in gen_batches(Z.shape[0], size):
            z = Z[batch].toarray() if sparse.issparse(Z) else Z[batch]
            result = function(_arrays.to_tensor(z, like))
            dtype, device = _arrays.float_dtype(Z), _arrays.result_device(Z)
            results.append(finite(result, dtype, results.n_rows, device))
        return to_library(results.result())

    def _check_data(self, X):
        """Validate the data and the parameters of a method that infers codes."""
        check_is_fitted(self)
        self._validate_params()
        check_namespace(self, X)
        return validated(self, X)

    @property
    def _n_features_out(self):
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self):
        """Return the state, with arrays in place of networks and of the optimiser."""
        state = to_arrays(self, super().__getstate__())
        if not (self.warm_start or getattr(self, "_may_go_on", False)):
            state.pop("_optimizer", None)  # nothing is likely to go on from it
        return state

    @in_default_modes
    def __setstate__(self, state):
        """Set the state; the networks go to `device` if this machine has it."""
        from_arrays(self, state)
