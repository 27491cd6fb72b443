"""What all encoders share: scikit-learn's conventions, on arrays.

An encoder differs by the objects that it builds: its networks (`_make_networks`), what
it remembers (`_make_memory`), its schedule (`_make_schedule`) and its model, for
training (`_training_model`) and for use (`_inference_model`). Apart from scikit-learn's
own methods, nothing else calls a subclass.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Literal, Self, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn import base
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_array, gen_batches
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._data.arrays import (
    Collected,
    CollectedSparse,
    as_numpy,
    finite,
    float_dtype,
    layer_sizes,
    result_device,
    to_array,
    to_library_of,
    to_tensor,
)
from ._data.validation import check_namespace, checked, checked_weights, validated
from ._inference.batches import infer_batches, inference_batch_size
from ._model.generators import (
    build_generator,
    resolve_source,
)
from ._model.likelihoods import NormalLikelihood
from ._training.fit import NoCallbacks, begin, run_epoch, run_epochs
from ._training.schedules import ConstantSchedule
from ._training.state import from_pickle, to_pickle, unchanged_on_failure
from ._utils.compat import fit_context
from ._utils.distributed import fail_together, rank
from ._utils.modes import in_default_modes
from ._utils.parameters import (
    ANY_POSITIVE,
    COUNT,
    NON_NEGATIVE,
    OPEN_SHARE,
    check_count,
    one_of,
    parameter,
    parameters,
)
from ._utils.random import derive_seed, draw_seed, seeded_noise
from ._utils.types import (
    Activation,
    Array,
    Data,
    Generator,
    ImageShape,
    LearningRate,
    Matrix,
    OutputActivation,
    RandomState,
    Sizes,
)
from ._utils.warn import warn, warn_of_convergence

_F = TypeVar("_F", bound=Callable)
_checks_parameters: Callable[[_F], _F]
_checks_parameters = fit_context(prefer_skip_nested_validation=True)


def _available_if(flag: str) -> Callable[[_F], _F]:
    """Return a decorator of methods of the encoders in which a flag is set."""
    return available_if(lambda encoder: getattr(encoder, flag))


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
    learning_rate: LearningRate = parameter(one_of(LearningRate), default="constant")
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
    # Whether there are the methods `partial_fit`, `sample`, and `score` with
    # `score_samples`.
    _learns_from_parts = _can_sample = _can_score = True

    @abstractmethod
    def _inference_model(self):
        """Return the model that `transform`, `score` and `sample` use."""

    def _training_model(self):
        """Return the model for an epoch of training."""
        return self._inference_model()

    def _make_schedule(self, last_epoch):
        """Return the schedule of what depends on the epoch."""
        return ConstantSchedule()

    def _maps_output(self, output_activation):
        """Return whether our generator ends with a map to the unit of the data."""
        return True

    def _make_networks(self, state, output, like):
        """Return the networks of a new state, by attribute, their weights random.

        `output` is that map, and `like` has the type and the device of the weights.
        """
        fixed, output_activation = state.fixed, state.scale.output_activation
        hidden = layer_sizes(fixed["hidden_layer_sizes"])
        rescale = output if state.scale.is_mapped else None
        source = resolve_source(fixed, hidden, output_activation, rescale)
        sizes = state.n_components, self.n_features_in_
        return {"generator_": build_generator(source, *sizes, state.seed).to(like)}

    def _start_networks(self, state, data):
        """Change the random weights where the data, or other weights, suggest it."""

    def _make_memory(self, state, like):
        """Return what training remembers of the codes, or None."""
        return None

    def _model_parts(self):
        """Return the parts of the model that are the same in all encoders."""
        return {
            "generator": self._state.networks["generator_"],
            "likelihood": self._likelihood(),
            "n_components": self._state.n_components,
            "seed": (self._state.seed,),
        }

    @property
    def _epoch_seed(self):
        # An epoch draws the same noise, whatever came before it.
        return self._state.seed, self._state.epoch

    def _likelihood(self):
        return NormalLikelihood(self._state.sigma)

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
            continues = self.warm_start and hasattr(self, "_state")
            n_epochs = self._state.epoch if continues else 0
            schedule = self._make_schedule(n_epochs + int(self.max_iter))
            data = validated(self, X, not continues, sample_weight)
            # Without a y, scikit-learn's ScoringMonitor would call no scorer.
            y = data.X if y is None else y
            metadata = {"sample_weight": sample_weight}
            arguments = {"estimator": self, "X": data.X, "y": y, "metadata": metadata}
            data, held_out = begin(self, data, schedule, continues)
            state, context = self._state, NoCallbacks()
            if rank() == 0:
                context = self._init_callback_context(max_subtasks=self.max_iter)
            # Here a Checkpoint replaces the values of the state by those that it saved.
            context.call_on_fit_task_begin(**arguments)
            state.broadcast(self, data.to_library)
            run_epochs(self, data, held_out, schedule, context, arguments)
            state.broadcast(self, data.to_library)
            context.call_on_fit_task_end(**arguments, reconstruction_attributes={})
        warn_of_convergence(state.messages)
        return self

    @_available_if("_learns_from_parts")
    @in_default_modes
    @fail_together
    def partial_fit(
        self,
        X: "Data",
        y: object = None,
        sample_weight: "ArrayLike | None" = None,
    ) -> Self:
        """Train for one epoch of the schedule on X, from the present state.

        The data of the first call fix the unit and the offset that the generator works
        with, the value of `sigma="auto"` and that of `output_activation="auto"`.

        Parameters
        ----------
        X : {array-like, sparse array} of shape (n_samples, n_features), or iterable
            Training data, or a part of it; or batches of rows, as for `fit`, over which
            an epoch is one pass.

        y : Ignored
            Not used.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, as for `fit`.

        Returns
        -------
        self : object
            The encoder, trained for one more epoch.

        Raises
        ------
        ValueError
            If inference diverges, or if the data or a parameter are invalid, as
            `early_stopping=True` is.

        RuntimeError
            If another process of a group of `torch.distributed` fails or ends.

        Warns
        -----
        ConvergenceWarning
            If gradient steps end at a higher energy than they started at.

        UserWarning
            If a sigmoid cannot reach X; in the first call also if features differ
            greatly in variance or X is too far from zero for its type.
        """
        self._validate_params()
        if self.early_stopping:
            raise ValueError(
                "partial_fit takes one epoch, and cannot stop early; set "
                "early_stopping=False, or call fit."
            )
        with unchanged_on_failure(self):
            continues = hasattr(self, "_state")
            schedule = self._make_schedule(int(self.max_iter))
            data = validated(self, X, not continues, sample_weight)
            begin(self, data, schedule, continues, in_parts=True)
            self._state.broadcast(self, data.to_library)
            _, messages = run_epoch(self, data, schedule)
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
        model = self._inference_model()
        # Only encoders whose codes have exact zeros have this parameter.
        as_csr = getattr(self, "sparse_output", False)
        kind = CollectedSparse if as_csr else Collected
        codes = kind(data.n_rows)
        batches = infer_batches(model, data, self.batch_size)
        for _, solution in batches:
            codes.append(finite(solution.z, data.dtype, codes.n_rows, data.device))
        Z = codes.result()
        if not as_csr:
            return data.to_library(Z)
        share = Z.nnz / math.prod(Z.shape)
        if share > 2 / 3:  # an entry has a value and a column
            message = (
                f"{share:.0%} of the entries of the codes are not zero, so that a CSR "
                "array is larger than a dense one; set threshold='posterior', or "
                "sparse_output=False."
            )
            warn(message)
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
        size = inference_batch_size(self.batch_size)
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
        return self._map_codes(X, lambda z: mean(self._state.networks["generator_"](z)))

    @_available_if("_can_sample")
    @in_default_modes
    @torch.no_grad()
    def sample(self, n_samples: int = 1) -> NDArray[np.floating]:
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
            If n_samples is not an integer above 0, or if a result is not finite.
        """
        check_is_fitted(self)
        self._validate_params()
        check_count(n_samples, "n_samples")
        model = self._inference_model()
        like = next(self._state.networks["generator_"].parameters())
        seed = derive_seed(draw_seed(self.random_state), "sample")
        draw = seeded_noise(seed, like)
        z = model.prior.sample(lambda: draw(n_samples, self._state.n_components))
        X = model.likelihood.sample(model.generator(z), draw)
        return to_array(finite(X, to_array(X).dtype))

    @_available_if("_can_score")
    @in_default_modes
    def score_samples(self, X: "Data") -> Array:
        r"""Estimate the log-likelihood of each row.

        Encoders that infer codes through the generator use Laplace's approximation,

        .. math:: \log p(x, z) + \frac{k}{2} \log 2\pi - \frac{1}{2} \log\det H
                  + \frac{1}{2} g^\top H^{-1} g,

        around the code z that `transform` returns. Here g is the gradient of
        log p(x, z), J the generator's Jacobian, w the prior's weight and
        H = J'J / sigma^2 + diag(w(z)). It is exact for a linear generator and a normal
        prior; otherwise the error is largest where inference has not converged. For
        non-negative codes the estimate includes the log of the probability that each
        component of the normal approximation is not negative, as if the components were
        independent. Encoders with a recognition network take the log of the mean of
        p(x, z) / q(z | x) over 100 draws from q, a lower bound in expectation (Burda,
        Grosse and Salakhutdinov, ICLR 2016).

        Parameters
        ----------
        X : {array-like, sparse array} of shape (n_samples, n_features), or iterable
            Rows of data, or batches of them, as for `fit`.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Estimates of log p(x), in nats, as float64.

        Raises
        ------
        ValueError
            Where `transform` raises it, for the same reasons.

        Warns
        -----
        ConvergenceWarning
            If inference does not converge for all rows; see `transform`.
        """
        data = self._check_data(X)
        model = self._inference_model()
        scores = Collected(data.n_rows)
        batches = infer_batches(model, data, self.batch_size)
        for x, solution in batches:
            score = model.log_likelihood(x, solution.z)
            scores.append(finite(score, np.float64, scores.n_rows, data.device))
        return data.to_library(scores.result())

    @_available_if("_can_score")
    def score(
        self, X: "Data", y: object = None, sample_weight: "ArrayLike | None" = None
    ) -> float:
        """Estimate the mean log-likelihood of data.

        Parameters
        ----------
        X : {array-like, sparse array} of shape (n_samples, n_features), or iterable
            Data, as for `score_samples`.

        y : Ignored
            Not used.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            Mean of `score_samples(X)`, in nats per row. Higher is better.
        """
        scores = self.score_samples(X)
        scores = as_numpy(scores)
        if sample_weight is None:
            return float(scores.mean())
        weights = checked_weights(sample_weight, len(scores))
        return float(np.average(scores, weights=weights))

    @torch.no_grad()
    def _map_codes(self, Z, function):
        """Apply a function of tensors to codes, batch by batch."""
        check = functools.partial(check_array, accept_sparse="csr", input_name="X")
        to_library, Z = to_library_of(Z), checked(Z, check)
        if Z.shape[1] != self._state.n_components:
            raise ValueError(
                f"X holds codes of {Z.shape[1]} components, but "
                f"{type(self).__name__} has n_components={self._state.n_components}."
            )
        like, results = (
            next(self._state.networks["generator_"].parameters()),
            Collected(Z.shape[0]),
        )
        size = inference_batch_size(self.batch_size)
        for batch in gen_batches(Z.shape[0], size):
            z = Z[batch].toarray() if sparse.issparse(Z) else Z[batch]
            result = function(to_tensor(z, like))
            dtype, device = float_dtype(Z), result_device(Z)
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
        return self._state.n_components

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self):
        """Return the state, with arrays in place of networks and of the optimiser."""
        return to_pickle(self, super().__getstate__())

    @in_default_modes
    def __setstate__(self, state):
        """Set the state; the networks go to `device` if this machine has it."""
        from_pickle(self, state)
