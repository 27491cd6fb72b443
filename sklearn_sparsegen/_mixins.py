"""Methods that some encoders have and others do not."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from . import _arrays, _messages
from ._checks import finite, warn_of_convergence
from ._data import checked_weights, validated
from ._distributed import fail_together
from ._fitting import begin, run_epoch
from ._inference import infer_batches
from ._modes import in_default_modes
from ._parameters import check_count
from ._random import derive_seed, draw_seed, seeded_noise
from ._state import share, unchanged_on_failure
from ._types import Array, Data


class PartialFitMixin:
    """Mixin of encoders that can learn from one part of the data after another."""

    @in_default_modes
    @fail_together
    def partial_fit(
        self, X: Data, y: object = None, sample_weight: ArrayLike | None = None
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
            raise ValueError(_messages.NO_EARLY_STOPPING)
        with unchanged_on_failure(self):
            is_first_call = not hasattr(self, "generator_")
            schedule = self._make_schedule()
            data = validated(self, X, is_first_call, sample_weight)
            begin(self, data, continues=not is_first_call)
            share(self)
            self._may_go_on = True
            _, messages = run_epoch(self, data, schedule)
        warn_of_convergence(messages)
        return self


class SampleMixin:
    """Mixin of encoders whose codes have a prior, from which data can be sampled."""

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
        model = self._make_model()
        like = next(self.generator_.parameters())
        seed = derive_seed(draw_seed(self.random_state), "sample")
        draw = seeded_noise(seed, like)
        z = model.prior.sample(lambda: draw(n_samples, self.n_components_))
        X = model.likelihood.sample(model.generator(z), draw)
        return _arrays.to_array(finite(X, _arrays.to_array(X).dtype))


class ScoreMixin(SampleMixin):
    """Mixin of encoders that estimate the log-likelihood of data."""

    @in_default_modes
    def score_samples(self, X: Data) -> Array:
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
        model = self._make_model()
        scores = _arrays.Collected(data.n_rows)
        batches = infer_batches(model, data, self.batch_size, model.refinement)
        for x, solution in batches:
            score = model.log_likelihood(x, solution.z)
            scores.append(finite(score, np.float64, scores.n_rows, data.device))
        return data.to_library(scores.result())

    def score(
        self, X: Data, y: object = None, sample_weight: ArrayLike | None = None
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
        scores = _arrays.as_numpy(_arrays.from_array_api(scores))
        if sample_weight is None:
            return float(scores.mean())
        weights = checked_weights(sample_weight, len(scores))
        return float(np.average(scores, weights=weights))
