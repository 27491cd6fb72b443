"""Variational sparse coding."""

import math
from numbers import Integral, Real

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils._param_validation import Interval

from .._docs import share_descriptions
from .._priors import PointSpikeSlab
from .._torch import to_tensor
from ._variational import NormalPosterior, VariationalEncoder

_SHARPNESS = 50.0, 200.0  # of the relaxed spike, before and after the warm-up


class SpikeSlabPosterior:
    """Independent components, zero or from a normal distribution; (n, k) each.

    Parameters
    ----------
    mean, log_variance : tensor of shape (n, k)
        Of the slab.

    logit : tensor of shape (n, k)
        Log odds of the slab against the spike.

    sharpness : float, default=200.0
        Slope of the scaled sigmoid that takes the place of the step from zero to the
        slab in relaxed samples.
    """

    def __init__(self, mean, log_variance, logit, sharpness=_SHARPNESS[1]):
        self._parts = mean, log_variance, logit
        self.slab = NormalPosterior(mean, log_variance)
        self.log_slab = F.logsigmoid(logit)
        self.log_spike = F.logsigmoid(-logit)
        self.sharpness = sharpness

    @property
    def mean(self):
        """Mean of each entry."""
        return self.log_slab.exp() * self.slab.mean

    def __getitem__(self, rows):
        """Return the posterior of some of the rows."""
        return SpikeSlabPosterior(*(part[rows] for part in self._parts), self.sharpness)

    def sample(self, draw):
        """Sample codes; `draw()` gives a fresh tensor of standard normal values."""
        active = torch.special.ndtr(draw()) < self.log_slab.exp()
        return active * self.slab.sample(draw)

    def relaxed_sample(self, draw):
        """Sample codes that have a gradient, near zero where they are inactive."""
        uniform = torch.special.ndtr(draw())
        step = torch.sigmoid(self.sharpness * (uniform - 1 + self.log_slab.exp()))
        return step * self.slab.sample(draw)

    def log_prob(self, z):
        """Log of the density of each active entry of `z`, of the mass of all others."""
        active = self.log_slab + self.slab.log_prob(z)
        return torch.where(z != 0, active, self.log_spike)

    def divergence(self, alpha):
        """Divergence of each entry from the prior of `alpha` and a standard normal."""
        active = self.log_slab.exp()
        return active * (
            self.slab.divergence() + self.log_slab - math.log(alpha)
        ) + self.log_spike.exp() * (self.log_spike - math.log1p(-alpha))

    def divergences_from(self, other):
        """Divergence of each row from each row of another posterior, (n, n_other)."""
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
    """Prior that mixes, in equal parts, the posteriors of pseudo-inputs.

    Parameters
    ----------
    posterior : SpikeSlabPosterior
        Of the pseudo-inputs.
    """

    def __init__(self, posterior):
        self.posterior = posterior
        self.n_parts = len(posterior.log_slab)

    def sample(self, draw):
        """Sample codes; `draw()` gives a fresh tensor of standard normal values."""
        uniform = torch.special.ndtr(draw()[:, 0])
        part = (uniform * self.n_parts).long().clamp_max(self.n_parts - 1)
        return self.posterior[part].sample(draw)

    def log_prob(self, z):
        """Log probability of each code, (n, 1)."""
        parts = self.posterior.log_prob(z[:, None]).sum(2)
        return parts.logsumexp(1, keepdim=True) - math.log(self.n_parts)

    def divergence(self, posterior):
        """Bound on the divergence of each row of a posterior from this prior, (n,).

        That from the mixture is at most the mean of those from its parts plus that of
        the weights of this mean from equal ones; these weights are the best.
        """
        parts = posterior.divergences_from(self.posterior)
        return math.log(self.n_parts) - (-parts).logsumexp(1)


@share_descriptions
class VSCEncoder(VariationalEncoder):
    r"""Sparse codes by variational sparse coding.

    The generator of :class:`~sklearn_sparsegen.SparseGeneratorEncoder` under the prior
    of its `spike_scale=0`, and a recognition network that gives mean, variance and
    probability of the slab of a posterior of the same form [1]_,

    .. math:: q(z | x) = \prod_j \gamma_j N(z_j; \mu_j, s_j^2)
              + (1 - \gamma_j) \delta_0(z_j).

    Both learn by minimising the negative evidence lower bound, whose divergence has a
    closed form,

    .. math:: \frac{|x - G(z)|^2}{2 \sigma^2} + \sum_j \gamma_j \left[
              \frac{\mu_j^2 + s_j^2 - 1}{2} - \log s_j + \log
              \frac{\gamma_j}{\alpha} \right]
              + (1 - \gamma_j) \log \frac{1 - \gamma_j}{1 - \alpha},

    with z one draw from a relaxation of q: a scaled sigmoid, sharper with each epoch of
    a warm-up, in place of the step from zero to the slab. `transform` gives the
    posterior mean :math:`\gamma \mu`.

    Parameters
    ----------
    alpha : float, default=0.01
        Prior probability of the slab, in (0, 1).

    warmup : int, default=10
        Number of epochs over which the slope of the scaled sigmoid grows from 50 to
        200.

    n_pseudo_inputs : int or None, default=None
        Number of pseudo-inputs. With them the prior is an equal mixture of their
        posteriors, and learned: they start at random rows of the training data, and a
        penalty keeps the share of their active codes near `alpha`. The divergence from
        the mixture is replaced by an upper bound, where [1]_ has a network choose one
        pseudo-input. None: the prior stays as it is. Read when `fit` starts afresh.

    Attributes
    ----------
    n_active_curve_ : list of float
        Mean number of active codes a row in each epoch: those with a posterior
        probability of the slab above one half.

    pseudo_inputs_ : torch.nn.Embedding
        The pseudo-inputs learned, if there are any.

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
    >>> X = load_digits(return_X_y=True)[0][:200] / 16
    >>> encoder = VSCEncoder(
    ...     n_components=20, hidden_layer_sizes=(50,), tol=None, max_iter=5, warmup=5,
    ...     random_state=0,
    ... )
    >>> encoder.fit_transform(X).shape
    (200, 20)
    """

    _parameter_constraints: dict = {
        **VariationalEncoder._parameter_constraints,
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "warmup": [Interval(Integral, 0, None, closed="left")],
        "n_pseudo_inputs": [Interval(Integral, 1, None, closed="left"), None],
    }

    _curves = ("loss", "n_active")
    _n_heads = 3

    def __init__(
        self,
        n_components=200,
        *,
        alpha=0.01,
        warmup=10,
        n_pseudo_inputs=None,
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
        super().__init__(
            n_components,
            sigma=sigma,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            output_activation=output_activation,
            generator=generator,
            image_shape=image_shape,
            max_iter=max_iter,
            learning_rate_init=learning_rate_init,
            batch_size=batch_size,
            shuffle=shuffle,
            tol=tol,
            warm_start=warm_start,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.alpha = alpha
        self.warmup = warmup
        self.n_pseudo_inputs = n_pseudo_inputs

    def _initialize(self, X):
        super()._initialize(X)
        vars(self).pop("pseudo_inputs_", None)
        if self.n_pseudo_inputs is not None:
            if self.n_pseudo_inputs > len(X):
                raise ValueError(
                    f"n_pseudo_inputs={self.n_pseudo_inputs} must not be above "
                    f"n_samples={len(X)}: each starts at a row of X."
                )
            rng = np.random.default_rng(self._seed)
            rows = rng.choice(len(X), self.n_pseudo_inputs, replace=False)
            self.pseudo_inputs_ = torch.nn.Embedding.from_pretrained(
                to_tensor(X[rows], self.generator_), freeze=False
            )

    def _begin_epoch(self):
        progress = min(1.0, self.n_iter_ / self.warmup) if self.warmup else 1.0
        first, last = _SHARPNESS
        self._sharpness = first + progress * (last - first)

    def _schedule_left(self):
        if self.n_iter_ >= self.warmup:
            return ""
        return f"the warm-up takes {self.warmup}"

    def _prior(self):
        if not hasattr(self, "pseudo_inputs_"):
            return PointSpikeSlab(self.alpha)
        return PseudoInputPrior(self._posterior(self.pseudo_inputs_.weight))

    def _posterior(self, x):
        return SpikeSlabPosterior(*self._heads(x), self._sharpness)

    def _divergence(self, posterior):
        if not hasattr(self, "pseudo_inputs_"):
            return posterior.divergence(self.alpha).sum(1)
        prior = self._prior()
        share = prior.posterior.log_slab.exp().mean()
        penalty = share * (share / self.alpha).log()
        penalty = penalty + (1 - share) * ((1 - share) / (1 - self.alpha)).log()
        return prior.divergence(posterior) + self.n_components_ * penalty

    def _figures(self, posterior):
        return {"n_active": (posterior.log_slab > posterior.log_spike).sum(1)}
