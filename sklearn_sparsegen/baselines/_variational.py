"""Variational autoencoders: what they share, and the classical one."""

import functools
from abc import abstractmethod
from numbers import Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval

from .._base import BaseEncoder, ScoreMixin
from .._data_term import forward, make_residual
from .._docs import share_descriptions
from .._fit import PartialFitMixin
from .._generators import build_generator, mlp_generator
from .._priors import SpikeSlab
from .._torch import draw_seed, row_noise, seeded_noise, tensor_batches, to_array

_N_DRAWS = 100  # of score_samples for each row


class VariationalEncoder(PartialFitMixin, ScoreMixin, BaseEncoder):
    """Base of the encoders with a recognition network, from data to codes.

    It mirrors the fully connected generator, and gives the parameters of a posterior
    q(z | x) in which components are independent.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(400,)
        Units of each hidden layer of the generator, and in reverse of the recognition
        network; `()` for linear ones.

    generator : {"convolutional"}, callable or torch.nn.Module, default=None
        What takes the place of the fully connected generator: as for
        :class:`~sklearn_sparsegen.SparseGeneratorEncoder`. The recognition network
        stays as `hidden_layer_sizes` and `activation` say.

    Attributes
    ----------
    recognition_ : torch.nn.Module
        The recognition network learned, from data to the posterior's parameters.

    loss_curve_ : list of float
        Mean of what training minimises in each epoch, in nats a row: the negative
        evidence lower bound, without the constant of the observation noise.
    """

    _n_heads = 2  # parameters of the posterior for each component

    @abstractmethod
    def _posterior(self, x):
        """Return the posterior q(z | x).

        It has a `mean`, `log_prob(z)` of each entry, `sample(draw)`, and a
        `relaxed_sample(draw)` that has a gradient.
        """

    @abstractmethod
    def _divergence(self, posterior):
        """Kullback-Leibler divergence from the prior, as the loss has it; (n,)."""

    def _initialize(self, X):
        super()._initialize(X)
        source = functools.partial(
            mlp_generator,
            hidden_layer_sizes=self._checked_hidden_layer_sizes()[::-1],
            activation=self.activation,
        )
        n_outputs = self._n_heads * self.n_components
        self.recognition_ = build_generator(
            source, X.shape[1], n_outputs, self._seed + 1
        ).to(next(self.generator_.parameters()))

    def _heads(self, x):
        """Return the parameters of the posterior, (n, k) each."""
        return forward(self.recognition_, x).chunk(self._n_heads, dim=1)

    @torch.no_grad()
    def _code_batches(self, X):
        for x in tensor_batches(X, self.batch_size, self.generator_):
            yield self._finite_posterior(x).mean

    def _finite_posterior(self, x):
        posterior = self._posterior(x)
        if not posterior.mean.isfinite().all():
            raise ValueError("Codes of X are not finite; rescale X.")
        return posterior

    def _data_term(self, x, z):
        residual = make_residual(x, forward(self.generator_, z))
        return residual.square().sum(1) / (2 * self.sigma**2)

    def _learn(self, batches, epoch_seed, all_short):
        draw = seeded_noise(
            draw_seed(np.random.RandomState(epoch_seed)), self.generator_
        )
        for _, x in batches:
            posterior = self._posterior(x)
            z = posterior.relaxed_sample(lambda x=x: draw(len(x), self.n_components_))
            loss = self._data_term(x, z) + self._divergence(posterior)
            yield loss, {"loss": loss, **self._figures(posterior)}

    def _figures(self, posterior):
        """Return what the curves besides the loss show."""
        return {}

    @torch.no_grad()
    def score_samples(self, X):
        """Estimate the log-likelihood of each row, by importance sampling.

        The logarithm of the mean of p(x, z) / q(z | x) over 100 draws from the
        posterior: a lower bound in expectation, closer than the evidence lower bound
        (Burda, Grosse and Salakhutdinov, ICLR 2016).

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
            If X or a parameter is invalid.
        """
        X = self._check_data(X)
        constant = X.shape[1] * np.log(2 * np.pi * self.sigma**2) / 2
        prior, scores = self._prior(), []
        for x in tensor_batches(X, self.batch_size, self.generator_):
            draw = row_noise(x, (self._seed,), self.n_components_)
            posterior = self._finite_posterior(x)
            log_weights = []
            for _ in range(_N_DRAWS):
                z = posterior.sample(draw)
                log_ratio = prior.log_prob(z).sum(1) - posterior.log_prob(z).sum(1)
                log_weights.append(log_ratio.double() - self._data_term(x, z))
            score = torch.stack(log_weights).logsumexp(0) - np.log(_N_DRAWS) - constant
            scores.append(to_array(score))
        return np.concatenate(scores)


class NormalPosterior:
    """Independent normal distributions, of given mean and log variance, (n, k) each."""

    def __init__(self, mean, log_variance):
        self.mean = mean
        # of no use outside, and infinite far outside
        self.scale = (log_variance.clamp(-20, 20) / 2).exp()

    def sample(self, draw):
        """Sample codes; `draw()` gives a fresh tensor of standard normal values."""
        return self.mean + self.scale * draw()

    relaxed_sample = sample

    def log_prob(self, z):
        """Log density of each entry of `z`."""
        return torch.distributions.Normal(self.mean, self.scale).log_prob(z)

    def divergence(self):
        """Kullback-Leibler divergence of each entry from the standard normal."""
        return (self.mean**2 + self.scale**2 - 1) / 2 - self.scale.log()


@share_descriptions
class VAEEncoder(VariationalEncoder):
    r"""Dense codes by a variational autoencoder.

    The generator of :class:`~sklearn_sparsegen.SparseGeneratorEncoder` under a standard
    normal prior, and a recognition network that gives mean and variance of a normal
    posterior q(z | x) [1]_. Both learn by minimising, with one draw from q,

    .. math:: \frac{|x - G(z)|^2}{2 \sigma^2}
              + \beta\, \mathrm{KL}(q(z | x) \,\|\, N(0, I)).

    `transform` gives the posterior mean. `beta=4` is the beta-VAE [2]_ that the paper
    compares with.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the divergence: 1 makes the loss the negative evidence lower bound.

    Attributes
    ----------
    generator_ : torch.nn.Module
        The generator learned, from codes to data.

    See Also
    --------
    VSCEncoder : The same with a spike-and-slab prior.

    References
    ----------
    .. [1] D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.

    .. [2] I. Higgins, L. Matthey, A. Pal, C. Burgess, X. Glorot, M. Botvinick, S.
       Mohamed and A. Lerchner, "beta-VAE: Learning Basic Visual Concepts with a
       Constrained Variational Framework", ICLR 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen.baselines import VAEEncoder
    >>> X = load_digits(return_X_y=True)[0][:200] / 16
    >>> encoder = VAEEncoder(
    ...     n_components=20, hidden_layer_sizes=(50,), tol=None, max_iter=5,
    ...     random_state=0,
    ... )
    >>> encoder.fit_transform(X).shape
    (200, 20)
    """

    _parameter_constraints: dict = {
        **VariationalEncoder._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components=200,
        *,
        beta=1.0,
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
        self.beta = beta

    def _prior(self):
        return SpikeSlab(alpha=1.0)  # a standard normal

    def _posterior(self, x):
        return NormalPosterior(*self._heads(x))

    def _divergence(self, posterior):
        return self.beta * posterior.divergence().sum(1)
