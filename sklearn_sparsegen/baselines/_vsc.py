"""Variational sparse coding."""

import functools
import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
import torch.nn.functional as F

from .._base import BaseEncoder
from .._data.arrays import to_tensor
from .._model.priors import PointSpikeSlab
from .._utils.compat import Interval
from .._utils.docs import describe_like
from .._utils.parameters import COUNT, COUNT_OR_ZERO, parameter, parameters
from ._variational import (
    NormalPosterior,
    VAEEncoder,
    VariationalModel,
    build_recognition,
    recognise,
)

_SHARPNESS = 50.0, 200.0  # of the relaxed spike, before and after the warm-up


@dataclass(frozen=True)
class WarmUp:
    """The relaxed spike becomes sharper in each of the first `n_epochs` epochs."""

    n_epochs: int

    def at(self, epoch):
        progress = min(1.0, (epoch - 1) / self.n_epochs) if self.n_epochs else 1.0
        first, last = _SHARPNESS
        return {"_sharpness": float(first + progress * (last - first))}

    def left(self, epoch):
        """Return a sentence if the warm-up is not finished after an epoch, else ""."""
        return "" if epoch >= self.n_epochs else f"the warm-up takes {self.n_epochs}"


class SpikeSlabPosterior:
    """Independent components, each zero or from a normal distribution.

    The normal has a mean and a log variance, and `logit` is its log odds against zero,
    (n, k) each. In relaxed samples a scaled sigmoid of slope `sharpness` replaces the
    step from zero to the slab.
    """

    def __init__(self, mean, log_variance, logit, sharpness=_SHARPNESS[1]):
        self._parts = mean, log_variance, logit
        self.slab = NormalPosterior(mean, log_variance)
        self.log_slab = F.logsigmoid(logit)
        self.log_spike = F.logsigmoid(-logit)
        self.sharpness = sharpness

    @property
    def mean(self):
        return self.log_slab.exp() * self.slab.mean

    def __getitem__(self, rows):
        """Return the posterior of some of the rows."""
        return SpikeSlabPosterior(*(part[rows] for part in self._parts), self.sharpness)

    def sample(self, draw):
        active = torch.special.ndtr(draw()) < self.log_slab.exp()
        return active * self.slab.sample(draw)

    def relaxed_sample(self, draw):
        """Sample codes with a gradient; inactive entries are only near zero."""
        uniform = torch.special.ndtr(draw())
        step = torch.sigmoid(self.sharpness * (uniform - 1 + self.log_slab.exp()))
        return step * self.slab.sample(draw)

    def log_prob(self, z):
        """Return the log density of active entries, the log mass of the others."""
        active = self.log_slab + self.slab.log_prob(z)
        return torch.where(z != 0, active, self.log_spike)

    def figures(self):
        """Return which entries are active, and which rows have none."""
        active = self.log_slab > self.log_spike
        return {"active": active, "empty": ~active.any(1)}

    def divergence(self, alpha):
        """Return the divergence of each entry from a spike at 0 and a normal slab."""
        active = self.log_slab.exp()
        return active * (
            self.slab.divergence() + self.log_slab - math.log(alpha)
        ) + self.log_spike.exp() * (self.log_spike - math.log1p(-alpha))

    def divergences_from(self, other):
        """Return the divergence of each row from each row of another, (n, n_other)."""
        mean, scale, log_slab, log_spike = (
            part[:, None]
            for part in (self.slab.mean, self.slab.scale, self.log_slab, self.log_spike)
        )
        slab = (scale**2 + (mean - other.slab.mean) ** 2) / (2 * other.slab.scale**2)
        slab = slab - 0.5 + other.slab.scale.log() - scale.log()
        return (
            log_slab.exp() * (slab + log_slab - other.log_slab)
            + log_spike.exp() * (log_spike - other.log_spike)
        ).sum(2)


class PseudoInputPrior:
    """Equal mixture of the posteriors of pseudo-inputs, the rows of `posterior`."""

    def __init__(self, posterior):
        self.posterior = posterior
        self.n_parts = len(posterior.log_slab)

    def sample(self, draw):
        uniform = torch.special.ndtr(draw()[:, 0])
        part = (uniform * self.n_parts).long().clamp_max(self.n_parts - 1)
        return self.posterior[part].sample(draw)

    def log_prob(self, z):
        """Return the log probability of each code, (n, 1)."""
        parts = self.posterior.log_prob(z[:, None]).sum(2)
        return parts.logsumexp(1, keepdim=True) - math.log(self.n_parts)

    def divergence(self, posterior):
        """Return an upper bound of the divergence of each row from this prior, (n,).

        For any weights of the parts it is at most the weighted mean of the divergences
        from them, plus that of the weights from equal ones. The best are taken.
        """
        parts = posterior.divergences_from(self.posterior)
        return math.log(self.n_parts) - (-parts).logsumexp(1)

    def penalty(self, alpha):
        """Return the divergence of the share of active entries from `alpha`."""
        share = self.posterior.log_slab.exp().mean()
        penalty = share * (share / alpha).log()
        return penalty + (1 - share) * ((1 - share) / (1 - alpha)).log()


@describe_like(VAEEncoder)
@parameters
class VSCEncoder(BaseEncoder):
    r"""Sparse codes by variational sparse coding.

    The prior is that of :class:`~sklearn_sparsegen.SparseGeneratorEncoder` with
    `positive_code=False`. A recognition network gives mean, variance and probability of
    the slab of a posterior of the same form [1]_,

    .. math:: q(z | x) = \prod_j \gamma_j N(z_j; \mu_j, s_j^2)
              + (1 - \gamma_j) \delta_0(z_j).

    Both networks learn by minimising the negative evidence lower bound,

    .. math:: \frac{|x - G(z)|^2}{2 \sigma^2} + \sum_j \gamma_j \left[
              \frac{\mu_j^2 + s_j^2 - 1}{2} - \log s_j + \log
              \frac{\gamma_j}{\alpha} \right]
              + (1 - \gamma_j) \log \frac{1 - \gamma_j}{1 - \alpha},

    with z one draw from a relaxation of q: a scaled sigmoid, which becomes sharper in
    each epoch of a warm-up, replaces the step from zero to the slab. `transform` gives
    the mean of the posterior, :math:`\gamma \mu`.

    Parameters
    ----------
    alpha : float, default=0.01
        Prior probability of the slab, in (0, 1).

    warmup : int, default=10
        Number of epochs in which the slope of the scaled sigmoid grows from 50 to 200.

    n_pseudo_inputs : int or None, default=None
        Number of pseudo-inputs, read when `fit` starts anew. The prior is then an equal
        mixture of their posteriors, and learned: they start at random rows of the
        training data, and a penalty keeps the share of their active codes near `alpha`.
        An upper bound replaces the divergence from the mixture; in [1]_ a network
        chooses one pseudo-input instead. None: the prior is fixed.

    Attributes
    ----------
    n_active_curve_ : list of float
        Mean number of active codes of a row in each epoch: those whose posterior
        probability of the slab is above one half.

    component_frequency_ : ndarray of shape (n_components,)
        Share of the rows of the last epoch in which each component was active.

    pseudo_inputs_ : torch.nn.Embedding or None
        The pseudo-inputs learned, if there are any: data of mean 0 and variance 1, as
        they are after the first module of `recognition_`.

    See Also
    --------
    sklearn_sparsegen.SparseGeneratorEncoder : Sparse codes without a second network.

    References
    ----------
    .. [1] F. Tonolini, B. S. Jensen and R. Murray-Smith, "Variational Sparse Coding",
       UAI 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen.baselines import VSCEncoder
    >>> encoder = VSCEncoder(20, warmup=5, max_iter=5, tol=None, random_state=0)
    >>> encoder.fit_transform(load_digits().data / 16).shape
    (1797, 20)
    """

    alpha: float = parameter(Interval(Real, 0, 1, closed="neither"), default=0.01)
    warmup: int = parameter(COUNT_OR_ZERO, default=10)
    n_pseudo_inputs: int | None = parameter(COUNT, None, default=None, fixed=True)

    def _make_schedule(self, last_epoch):
        return WarmUp(self.warmup)

    def _make_networks(self, state, output, like):
        recognition = build_recognition(self, state, output, n_heads=3).to(like)
        networks = super()._make_networks(state, output, like)
        n, pseudo_inputs = state.fixed["n_pseudo_inputs"], None
        if n is not None:
            inputs = like.new_zeros(n, self.n_features_in_)
            pseudo_inputs = torch.nn.Embedding.from_pretrained(inputs, freeze=False)
        return networks | {"recognition_": recognition, "pseudo_inputs_": pseudo_inputs}

    @torch.no_grad()
    def _start_networks(self, state, data):
        n = state.fixed["n_pseudo_inputs"]
        if n is None:
            return
        if n > data.n_rows:
            raise ValueError(
                f"n_pseudo_inputs={n} must not be above n_samples={data.n_rows}: each "
                "starts at a row of X."
            )
        places = np.random.default_rng(state.seed).choice(data.n_rows, n, replace=False)
        rows, weight = data.rows(places), state.networks["pseudo_inputs_"].weight
        # In the unit of the layers, so that the unit of X does not matter.
        to_unit = state.networks["recognition_"][0]
        weight.copy_(to_unit(to_tensor(rows, weight)))

    def _inference_model(self):
        state, alpha = self._state, float(self.alpha)
        recognition = state.networks["recognition_"]
        pseudo_inputs = state.networks["pseudo_inputs_"]
        sharpness = state.scheduled["_sharpness"]
        family = functools.partial(SpikeSlabPosterior, sharpness=sharpness)

        def make_prior():
            if pseudo_inputs is None:
                return PointSpikeSlab(alpha)
            inputs = pseudo_inputs.weight
            return PseudoInputPrior(recognise(recognition[1:], family, 3, inputs))

        def divergence(posterior, prior):
            if pseudo_inputs is None:
                return posterior.divergence(alpha).sum(1)
            penalty = state.n_components * prior.penalty(alpha)
            return prior.divergence(posterior) + penalty

        return VariationalModel(
            **self._model_parts(),
            encode=functools.partial(recognise, recognition, family, 3),
            make_prior=make_prior,
            divergence=divergence,
            alpha=alpha,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags
