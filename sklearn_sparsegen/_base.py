"""What all encoders share: transform, sample, and scikit-learn's manners."""

import contextlib
from abc import ABC, abstractmethod
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_array, check_scalar, gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._fit import FitMixin, networks
from ._generators import ACTIVATIONS
from ._torch import (
    draw_seed,
    float_dtype,
    on_cpu,
    resolve_device,
    seeded_noise,
    to_array,
    to_tensor,
)


class BaseEncoder(
    FitMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
    ABC,
):
    """Base of the encoders: one generator, and a code for each row of data.

    An encoder says what its prior is, how it finds codes and what it learns from a
    batch; all else is here.

    Parameters
    ----------
    n_components : int, default=200
        Number of components of a code.

    sigma : float, default=0.3
        Standard deviation of the observation noise, in units of X. A smaller one gives
        closer reconstructions.

    hidden_layer_sizes : array-like of int, default=(400,)
        Units of each hidden layer of the generator; `()` for a linear one.

    activation : {"identity", "relu", "sigmoid", "tanh"}, default="relu"
        Nonlinearity of the hidden layers.

    output_activation : {"auto", "identity", "sigmoid"}, default="auto"
        Nonlinearity of the output. "auto" is "sigmoid" where the training data lie in
        [0, 1], else "identity".

    generator : {"convolutional"}, callable or torch.nn.Module, default=None
        What takes the place of the fully connected generator. "convolutional" has
        transposed convolutions, for images of `image_shape`; `hidden_layer_sizes` has
        no effect on it. Or a factory `(n_components, n_features) -> torch.nn.Module`,
        or a module, which is copied with its weights: the parameters of the layers
        above have no effect on these. Random torch operations of a factory follow
        `random_state`. A module is used in evaluation mode, so that rows do not
        interact.

    image_shape : array-like of int or None, default=None
        Height, width and, if it is not 1, number of channels of the images that the
        rows of X are, in the order of a row's values. Only the convolutional generator
        asks for it; height and width must be multiples of 4 there.

    max_iter : int, default=100
        Maximum number of epochs.

    learning_rate_init : float, default=0.001
        Learning rate of Adam.

    batch_size : int, default=100
        Number of rows that a step of Adam, or a stride of `transform`, takes, though
        inference on a processor may take a stride of its own. The code of a row does
        not depend on it, but for rounding.

    shuffle : bool, default=True
        Whether to visit the rows in a new order each epoch.

    tol : float or None, default=0.001
        `fit` stops once the loss has not fallen by more than `tol` times its absolute
        value in any of 5 successive epochs. None: after `max_iter` epochs.

    warm_start : bool, default=False
        Whether `fit` goes on from the result of the last call.

    device : str or torch.device, default="auto"
        Where to compute. "auto" is a CUDA GPU if there is one, else the CPU.

    random_state : int, RandomState instance or None, default=None
        Seed of the generator's weights, the order of rows and the noise of inference.
        An int gives the same results in every call. The noise of a row's inference
        depends on it and on that row alone. None takes fresh entropy at each `fit`.

    verbose : int or bool, default=False
        Whether to print a line an epoch.

    Attributes
    ----------
    generator_ : torch.nn.Module
        The generator learned, from codes to data.

    n_iter_ : int
        Number of epochs run.

    loss_curve_ : list of float
        Mean energy a row in each epoch: `|x - G(z)|^2 / (2 sigma^2) - log p(z)`, at
        the codes that the generator learns from.

    output_activation_ : {"identity", "sigmoid"}
        The output nonlinearity chosen, for a generator that is not your own.

    n_components_ : int
        Number of components of a code.

    n_features_in_ : int
        Number of features seen in fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in fit, where X has string names.
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "sigma": [Interval(Real, 0, None, closed="neither")],
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "output_activation": [StrOptions({"auto", "identity", "sigmoid"})],
        "generator": [StrOptions({"convolutional"}), callable, None],
        "image_shape": ["array-like", None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # a parameter of encoders whose codes hold exact zeros
    sparse_output = False

    def __init__(
        self,
        n_components=200,
        *,
        sigma=0.3,
        hidden_layer_sizes=(400,),
        activation="relu",
        output_activation="auto",
        generator=None,
        image_shape=None,
        max_iter=100,
        learning_rate_init=0.001,
        batch_size=100,
        shuffle=True,
        tol=1e-3,
        warm_start=False,
        device="auto",
        random_state=None,
        verbose=False,
    ):
        self.n_components = n_components
        self.sigma = sigma
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.output_activation = output_activation
        self.generator = generator
        self.image_shape = image_shape
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @abstractmethod
    def _prior(self):
        """Return the prior of the codes as it stands."""

    @abstractmethod
    def _code_batches(self, X):
        """Yield the codes of each batch of X, as `transform` gives them."""

    @abstractmethod
    def _learn(self, batches, epoch_seed, all_short):
        """Yield the loss of each row of each batch, and figures for the curves.

        `batches` yields the places of the rows in X, and the rows. Codes of rows whose
        inference falls short are appended to `all_short`.
        """

    def _begin_epoch(self):
        """Take the schedule's step of one epoch, the first included."""

    def _schedule_left(self):
        """Say what the schedule has not reached yet, "" when it is done."""
        return ""

    def _complaints(self, all_short, n_samples):
        """Return what to warn of, given the codes of rows that fell short."""
        return []

    def transform(self, X):
        """Infer the codes of data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        Z : {ndarray, sparse array} of shape (n_samples, n_components)
            Codes, in CSR format if a parameter `sparse_output` says so. The type is
            float64 if X is, else float32.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, or if inference diverges.

        Warns
        -----
        ConvergenceWarning
            If inference by gradient steps ends above the energy where it began, or
            inference by proximal steps stops at `n_steps` short of `tol`, for any row.
        """
        X = self._check_data(X)
        parts = []
        for z in self._code_batches(X):
            part = to_array(z).astype(float_dtype(X), copy=False)
            parts.append(sparse.csr_array(part) if self.sparse_output else part)
        if self.sparse_output:
            return sparse.vstack(parts, format="csr")
        return np.concatenate(parts)

    def inverse_transform(self, X):
        """Generate data from codes.

        Parameters
        ----------
        X : {array-like, sparse array} of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X_generated : ndarray of shape (n_samples, n_features)
            What the generator makes of the codes, without noise: the mean of the data
            given the codes. The type is float64 if X is, else float32.

        Raises
        ------
        ValueError
            If X is invalid or of the wrong width.
        """
        check_is_fitted(self)
        return self._map_codes(X, self.generator_)

    def sample(self, n_samples=1):
        """Sample data from the model (Eq. 2): codes from the prior, noise on top.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            `G(z) + sigma * e`, z from the prior and e standard normal. An integer
            `random_state` gives the same rows at every call.

        Raises
        ------
        TypeError
            If n_samples is not an integer.

        ValueError
            If n_samples is below 1.
        """
        check_is_fitted(self)
        self._validate_params()
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        draw = seeded_noise(draw_seed(self.random_state), self.generator_)
        z = self._prior().sample(lambda: draw(n_samples, self.n_components_))
        with torch.no_grad():
            x = self.generator_(z)
        return to_array(x + self.sigma * draw(*x.shape))

    def _check_data(self, X):
        """Validate the data and the parameters of a method that infers codes."""
        check_is_fitted(self)
        self._validate_params()
        return self._validate(X)

    def _map_codes(self, Z, function):
        """Apply a function of code tensors to codes, batch by batch."""
        Z = check_array(Z, accept_sparse="csr", input_name="X", estimator=self)
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"X holds codes of {Z.shape[1]} components, but "
                f"{type(self).__name__} has n_components={self.n_components_}."
            )
        parts = []
        for batch in gen_batches(Z.shape[0], self.batch_size):
            z = Z[batch].toarray() if sparse.issparse(Z) else Z[batch]
            with torch.no_grad():
                part = function(to_tensor(z, self.generator_))
            parts.append(to_array(part).astype(float_dtype(Z), copy=False))
        return np.concatenate(parts)

    # scikit-learn and pickle ------------------------------------------------------

    @property
    def _n_features_out(self):
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self):
        """Return the state with its tensors on the CPU, so that it loads anywhere."""
        return on_cpu(super().__getstate__())

    def __setstate__(self, state):
        """Set the state, the generator back on `device` where that is there."""
        super().__setstate__(state)
        for network in networks(self).values():
            with contextlib.suppress(ValueError):
                network.to(resolve_device(self.device))


class ScoreMixin:
    """Mixin of encoders that estimate the log-likelihood of each row."""

    def score(self, X, y=None):
        """Estimate the mean log-likelihood of data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        y : Ignored
            Not used.

        Returns
        -------
        score : float
            Mean of `score_samples(X)`, in nats a row: higher is better.
        """
        return float(self.score_samples(X).mean())
