"""Encoders without a second network: codes are inferred through the generator."""

import dataclasses
from numbers import Integral

import numpy as np
import torch
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval

from . import _inference
from ._base import BaseEncoder, ScoreMixin
from ._data_term import (
    forward,
    full_rows,
    linear_layers,
    make_data_term,
    make_residual,
)
from ._fit import warn_of
from ._priors import LimitedSlab
from ._torch import (
    Recorded,
    draw_seed,
    row_noise,
    seeded_noise,
    tensor_batches,
    to_array,
)

_JACOBIAN_BYTES = 2**27  # what the Jacobians of score_samples may take at once
_CPU_ROWS = 512  # enough for fast products, and little memory


class PosteriorEncoder(BaseEncoder):
    """Base of the encoders that infer a code by maximising or sampling its posterior.

    Features of a row that are NaN are not observed: the energy leaves them out, and
    `inverse_transform(transform(X))` fills them in.

    Parameters
    ----------
    n_steps : int, default=30
        Number of steps of inference.
    """

    _parameter_constraints: dict = {
        **BaseEncoder._parameter_constraints,
        "n_steps": [Interval(Integral, 1, None, closed="left")],
    }

    # parameters of some, and of others settled
    init = "zeros"
    threshold = None
    n_nonzero_coefs = None

    def _make_inference(self, prior, *, polish=False, training=False):
        """Return a function of data and a start that infers codes.

        It returns the codes, their energy, which rows fell short, and which rows did in
        polishing. A row falls short whose energy is above where it began, or which,
        with the proximal solver, stopped short of `tol`.
        """
        polish &= bool(self.threshold or self.n_nonzero_coefs)
        stiffest = None
        if self.solver == "proximal" or polish:
            parameter = next(self.generator_.parameters())
            origin = parameter.new_zeros(1, self.n_components_)
            stiffest = _inference.stiffest_direction(
                origin, self.generator_, self.sigma
            )

        def infer(x, start, draw=None):
            term = make_data_term(x, self.generator_, self.sigma)
            if training:
                term = self._training_term(term)
            if self.solver == "proximal":
                z, energy, short = self._proximal_steps(term, start, prior, stiffest)
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
            return self._polish(x, z, energy, short, prior, stiffest)

        # noise comes from the host
        return infer if self.solver == "langevin" else Recorded(infer)

    def _make_start(self, prior):
        """Return a function of data and of `draw`: where the inference of codes starts.

        `draw` is a function that returns standard normal noise.
        """
        return {
            "normal": lambda x, draw: draw(),
            "prior": lambda x, draw: prior.sample(draw),
        }.get(self.init, lambda x, draw: x.new_zeros(1, self.n_components_))

    def _infer(self, x, begin, infer, seed, start=None, *, fill=False):
        """Return the codes of `x`, and which rows fell short in inference and after.

        From the codes `start`, or where `begin` says. A processor takes some rows at
        once; with `fill`, in multiples of `full_rows`, by copies of the last row.
        """
        n_rows = _CPU_ROWS if x.is_cpu else len(x)
        pieces = x.split(n_rows)
        starts = [None] * len(pieces) if start is None else start.split(n_rows)
        parts = [
            self._infer_at_once(piece, begin, infer, seed, start, fill)
            for piece, start in zip(pieces, starts, strict=True)
        ]
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))

    def _infer_at_once(self, x, begin, infer, seed, start=None, fill=False):
        n = len(x)
        if fill and x.is_cpu:
            n_filled = -n % full_rows(linear_layers(self.generator_))
            x = torch.cat([x, x[-1:].expand(n_filled, -1)])
        draw, noise = None, {}
        if self.init in ("normal", "prior") or self.solver == "langevin":
            draw = row_noise(x, seed, self.n_components_)
        if self.solver == "langevin":
            noise = {"draw": draw}
        if start is None:
            start = begin(x, draw)
        inferred = infer(x, start, **noise)
        z, energy, short, unpolished = (part[:n] for part in inferred)
        diverged = ~energy.isfinite()
        if diverged.any():
            raise ValueError(
                f"Inference diverged for {diverged.sum()} of {n} rows: "
                + self._advice(start[:n].expand_as(z)[diverged])
            )
        return z, short, unpolished

    def _complaints(self, all_short, n_samples):
        if not any(map(len, all_short)):
            return []
        short = torch.cat(all_short)
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
        choice = ", or take solver='proximal'" if "solver" in self.get_params() else ""
        return (
            f"step_size={self.step_size} is too long for sigma={self.sigma} and this "
            f"generator; a step_size below {stable:.2g} is stable here. Reduce it, "
            f"enlarge sigma, rescale X{choice}."
        )

    def _short_of_tol(self, rows, n_samples):
        shown = ", ".join(map(str, rows[:5])) + ", ..." * (len(rows) > 5)
        return (
            f"Inference stopped at n_steps={self.n_steps} short of tol={self.tol} for "
            f"{len(rows)} of {n_samples} rows ({shown}); increase either, or set "
            "tol=None to take n_steps steps whatever is left to gain."
        )

    def _infer_batches(self, X, polish=False):
        """Yield the data and the codes of each batch; warn of the rest at the end.

        The batches are for speed alone: no row depends on another.
        """
        prior = self._prior()
        begin = self._make_start(prior)
        infer = self._make_inference(prior, polish=polish)
        n_rows = self.batch_size
        if next(self.generator_.parameters()).is_cpu:
            layers = linear_layers(self.generator_)
            if layers is None:  # nobody knows how much memory a row takes
                n_rows += -n_rows % full_rows(layers)
            else:
                n_rows = _CPU_ROWS
        overshot, unfinished = [], []
        for x in tensor_batches(X, n_rows, self.generator_):
            z, short, unpolished = self._infer(
                x, begin, infer, (self._seed,), fill=True
            )
            if self.solver == "proximal":
                unpolished |= short
            else:
                overshot.append(z[short])
            unfinished.append(unpolished)
            yield x, z
        complaints = self._complaints(overshot, len(X))
        rows = np.flatnonzero(to_array(torch.cat(unfinished)))
        if len(rows) and not complaints:
            complaints = [self._short_of_tol(rows, len(X))]
        warn_of(complaints)

    def _proximal_steps(self, term, z, prior, stiffest, support=None):
        """Return the codes, their energy and which rows stopped short of `tol`."""
        tol = self.tol or 0.0
        z, energy, violation = _inference.proximal_steps(
            term,
            z,
            prior,
            n_steps=self.n_steps,
            tol=tol,
            stiffest=stiffest,
            support=support,
        )
        return z, energy, (violation > tol) & (self.tol is not None)

    def _polish(self, x, z, energy, short, prior, stiffest):
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
                stiffest=stiffest,
                support=support,
            )
            slab = LimitedSlab(n_active, prior.slab_scale)
            z = slab.prox(z, 0.0, z)[0]
        z, _, unpolished = self._proximal_steps(term, z, slab, stiffest, support)
        return z, energy, short, unpolished

    def _code_batches(self, X):
        for _, z in self._infer_batches(X, polish=True):
            yield z

    def _learn(self, batches, epoch_seed, all_short):
        prior = self._prior()
        begin = self._make_start(prior)
        infer = self._make_inference(prior, training=True)
        draw = seeded_noise(
            draw_seed(np.random.RandomState(epoch_seed)), self.generator_
        )
        for rows, x in batches:
            z, short, _ = self._infer_training(rows, x, begin, infer, epoch_seed)
            n_active = (prior.slab_proba(z) > 0.5).sum(1)
            if self.solver == "proximal":
                # An optimiser this good hides codes in the spike, where the prior is
                # cheap, behind weights that grow. The posterior says that these are
                # inactive: then they are noise, and the generator is to bear with it.
                z = prior.redraw_spike(z, draw)
            else:
                all_short.append(z[short])
            x_hat = forward(self.generator_, z)
            self._note_codes(z, x_hat.detach())
            residual = make_residual(x, x_hat)
            loss = residual.square().sum(1) / (2 * self.sigma**2)
            yield loss, {"loss": loss.detach() + prior.energy(z), "n_active": n_active}

    def _infer_training(self, rows, x, begin, infer, seed):
        """Return what `_infer` does, for those rows of the training data."""
        return self._infer(x, begin, infer, seed)

    def _note_codes(self, z, x_hat):
        """Take note of codes in training, and of what the generator makes of them."""

    def _training_term(self, term):
        """Return the data term that codes are inferred with in training."""
        return term

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class LaplaceScoreMixin(ScoreMixin):
    """Mixin of encoders whose likelihood has Laplace's approximation."""

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
