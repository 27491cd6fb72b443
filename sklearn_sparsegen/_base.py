"""What all encoders share: transform, score, sample, and scikit-learn's manners."""

import contextlib
import dataclasses
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

from . import _inference
from ._data_term import make_data_term
from ._fit import FitMixin, warn_of
from ._generators import ACTIVATIONS
from ._priors import LimitedSlab
from ._torch import (
    Recorded,
    draw_seed,
    float_dtype,
    on_cpu,
    resolve_device,
    row_noise,
    seeded_noise,
    tensor_batches,
    to_array,
    to_tensor,
)

_JACOBIAN_BYTES = 2**27  # what the Jacobians of score_samples may take at once
_CPU_ROWS = 256  # whose buffers stay in a processor's cache


class BaseEncoder(
    FitMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
    ABC,
):
    """Base of the encoders: one generator, and codes inferred through it.

    An encoder says what its prior is and what its schedule does at the start of an
    epoch; all else is here.
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
        "solver": [StrOptions({"gradient", "langevin", "proximal"})],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "step_size": [Interval(Real, 0, None, closed="neither")],
        "init": [StrOptions({"zeros", "normal", "prior"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "warm_start": ["boolean"],
        "threshold": [
            StrOptions({"posterior"}),
            Interval(Real, 0, None, closed="left"),
            None,
        ],
        "n_nonzero_coefs": [Interval(Integral, 1, None, closed="left"), None],
        "sparse_output": ["boolean"],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _prior(self):
        """Return the prior of the codes as it stands."""

    @abstractmethod
    def _begin_epoch(self):
        """Take the schedule's step of one epoch, the first included."""

    @abstractmethod
    def _schedule_left(self):
        """Say what the schedule has not reached yet, "" when it is done."""

    # Inference --------------------------------------------------------------------

    def _make_inference(self, prior, polish=False):
        """Return a function of data and a start that infers codes.

        It returns the codes, their energy, which rows fell short, and which rows did in
        polishing. A row falls short whose energy is above where it began, or which,
        with the proximal solver, stopped short of `tol`.
        """
        polish &= bool(self.threshold or self.n_nonzero_coefs)
        first_step = None
        if self.solver == "proximal" or polish:
            first_step = _inference.first_step(
                self.generator_, self.n_components_, self.sigma
            )

        def infer(x, start, draw=None):
            term = make_data_term(x, self.generator_, self.sigma)
            if self.solver == "proximal":
                z, energy, short = self._proximal_steps(term, start, prior, first_step)
            else:
                z = _inference.gradient_steps(
                    term,
                    start,
                    prior,
                    n_steps=self.n_steps,
                    step_size=self.step_size,
                    draw=draw,
                )
                before, energy = (
                    term.value(codes) + prior.energy(codes) for codes in (start, z)
                )
                rounding = x.shape[1] * torch.finfo(x.dtype).eps * before.abs()
                # noise may well raise the energy
                short = (energy > before + rounding) & (self.solver == "gradient")
            if not polish:
                return z, energy, short, torch.zeros_like(short)
            return self._polish(x, z, energy, short, prior, first_step)

        # noise comes from the host
        return infer if self.solver == "langevin" else Recorded(infer)

    def _infer(self, x, prior, infer, seed):
        """Return the codes of `x`, and which rows fell short in inference and after."""
        if x.is_cpu and len(x) > _CPU_ROWS:
            parts = [
                self._infer(part, prior, infer, seed) for part in x.split(_CPU_ROWS)
            ]
            return tuple(torch.cat(part) for part in zip(*parts, strict=True))
        draw, noise = None, {}
        if self.init != "zeros" or self.solver == "langevin":
            draw = row_noise(x, seed, self.n_components_)
        if self.solver == "langevin":
            noise = {"draw": draw}
        start = {
            "zeros": lambda: x.new_zeros(1, self.n_components_),
            "normal": draw,
            "prior": lambda: prior.sample(draw),
        }[self.init]()
        z, energy, short, unpolished = infer(x, start, **noise)
        diverged = ~energy.isfinite()
        if diverged.any():
            raise ValueError(
                f"Inference diverged for {diverged.sum()} of {len(x)} rows: "
                + self._advice(start.expand_as(z)[diverged])
            )
        return z, short, unpolished

    def _complaints(self, short, n_samples):
        """Return what to warn of, given the codes of rows that fell short."""
        short = torch.cat(short)
        if not len(short):
            return []
        if self.solver == "proximal":
            return [self._short_of_tol(len(short), n_samples)]
        return [
            f"Inference overshot: the energy of {len(short)} of {n_samples} rows "
            "ended above where it began; " + self._advice(short)
        ]

    def _advice(self, z):
        """Say what would keep inference around the codes `z` from diverging."""
        if self.solver == "proximal":
            return "its energy is not finite; rescale X."
        z = z[:20]  # enough for a figure of this kind
        stable = min(
            _inference.stable_step_size(
                codes, self.generator_, self._prior(), self.sigma
            )
            for codes in (z, torch.zeros_like(z))
        )
        return (
            f"step_size={self.step_size} is too long for sigma={self.sigma} and this "
            f"generator; a step_size below {stable:.2g} is stable here. Reduce it, "
            "enlarge sigma, rescale X, or take solver='proximal'."
        )

    def _short_of_tol(self, n_short, n_samples):
        return (
            f"Inference stopped at n_steps={self.n_steps} short of tol={self.tol} for "
            f"{n_short} of {n_samples} rows; increase either, or set tol=None to take "
            "n_steps steps whatever is left to gain."
        )

    def _infer_batches(self, X, polish=False):
        """Yield the data and the codes of each batch; warn of the rest at the end.

        The batches are for speed alone: no row depends on another.
        """
        prior = self._prior()
        infer = self._make_inference(prior, polish)
        all_short, n_unpolished = [], 0
        for x in tensor_batches(X, self.batch_size, self.generator_):
            z, short, unpolished = self._infer(x, prior, infer, (self._seed,))
            all_short.append(z[short])
            n_unpolished += unpolished.sum()
            yield x, z
        complaints = self._complaints(all_short, len(X))
        if n_unpolished and not complaints:
            complaints = [self._short_of_tol(n_unpolished, len(X))]
        warn_of(complaints)

    def _proximal_steps(self, term, z, prior, first_step, support=None):
        """Return the codes, their energy and which rows stopped short of `tol`."""
        tol = self.tol or 0.0
        z, energy, violation = _inference.proximal_steps(
            term,
            z,
            prior,
            n_steps=self.n_steps,
            tol=tol,
            first_step=first_step,
            support=support,
        )
        return z, energy, (violation > tol) & (self.tol is not None)

    def _polish(self, x, z, energy, short, prior, first_step):
        """Infer codes again with some of them zero: by `threshold`, or their number.

        Those that `threshold` sets to zero stay so. Under `n_nonzero_coefs`, steps may
        exchange an active code for another.
        """
        term = make_data_term(x, self.generator_, self.sigma)
        slab = dataclasses.replace(prior, alpha=1.0)
        support = None
        if self.threshold == "posterior":
            support = prior.slab_proba(z) >= 0.5
        elif self.threshold:
            support = z.abs() >= self.threshold
        if support is not None:
            z = z * support
        if self.n_nonzero_coefs is not None:
            n_active = min(self.n_nonzero_coefs, self.n_components_)
            z = _inference.prune(
                term,
                z,
                n_active,
                prior.slab_scale,
                first_step=first_step,
                support=support,
            )
            slab = LimitedSlab(n_active, prior.slab_scale)
            z = slab.prox(z, 0.0, z)
        z, _, unpolished = self._proximal_steps(term, z, slab, first_step, support)
        return z, energy, short, unpolished

    def transform(self, X):
        """Infer the codes of data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        Z : {ndarray, sparse array} of shape (n_samples, n_components)
            Codes, in CSR format if `sparse_output`. The type is float64 if X is, else
            float32.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, or if inference diverges.

        Warns
        -----
        ConvergenceWarning
            If the energy of some rows ends above where it began, or if proximal steps
            stop at `n_steps` short of `tol`.
        """
        X = self._check_data(X)
        parts = []
        for _, z in self._infer_batches(X, polish=True):
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
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        draw = seeded_noise(draw_seed(self.random_state), self.generator_)
        z = self._prior().sample(lambda: draw(n_samples, self.n_components_))
        with torch.no_grad():
            x = self.generator_(z)
        return to_array(x + self.sigma * draw(*x.shape))

    def score_samples(self, X):
        """Estimate the log-likelihood of each row.

        Laplace's approximation around the inferred code,
        `log p(x, z) + (k/2) log 2 pi - (1/2) log det H + (1/2) g' inv(H) g`, where g is
        the gradient of log p(x, z), H = J'J / sigma^2 + diag(w(z)), J the Jacobian of
        the generator and w the weight of the prior. Exact for a linear generator and
        alpha = 1; else it misses most where inference has not arrived at its optimum.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Estimates of log p(x), in nats, as float64.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, or if inference diverges.

        Warns
        -----
        ConvergenceWarning
            If the energy of some rows ends above where it began, or if proximal steps
            stop at `n_steps` short of `tol`.
        """
        X = self._check_data(X)
        prior, scores = self._prior(), []
        for x, z in self._infer_batches(X):
            row_bytes = x.element_size() * x.shape[1] * z.shape[1]
            for rows in gen_batches(len(x), max(1, _JACOBIAN_BYTES // row_bytes)):
                score = _inference.laplace_log_likelihood(
                    x[rows], z[rows], self.generator_, prior, self.sigma
                )
                scores.append(to_array(score))
        return np.concatenate(scores)

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
        if hasattr(self, "generator_"):
            with contextlib.suppress(ValueError):
                self.generator_.to(resolve_device(self.device))
