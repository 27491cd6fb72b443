"""Variational autoencoders: the model that they share, and the classical one."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .._base import BaseEncoder
from .._data.arrays import layer_sizes
from .._encoder import SparseGeneratorEncoder
from .._inference.model import Step
from .._inference.solvers import Solution
from .._model.generators import Rescale, build_generator, mlp_generator
from .._model.likelihoods import squared_error
from .._model.linear_layers import forward
from .._model.priors import SpikeSlab
from .._model.protocols import Likelihood
from .._utils.docs import describe_like
from .._utils.parameters import NON_NEGATIVE, parameter, parameters
from .._utils.precision import double
from .._utils.random import row_noise
from .._utils.warn import first_of

_N_DRAWS = 100  # of the likelihood estimate, for each row


@dataclass
class RecognitionModel:
    """A model whose codes a network finds in one pass; `CodeModel` is the protocol.

    A subclass has `codes(x)` and `loss`.
    """

    generator: torch.nn.Module
    likelihood: Likelihood

    solver = refinement = memory = None
    alpha = 1.0
    codes_depend_on_sigma = True

    def begin(self):
        """Do nothing: any generator will do."""

    def batch_shape(self, batch_size):
        """Return the rows of a batch of inference; it is not filled up."""
        return batch_size, 1

    @torch.no_grad()
    def infer(self, x, rows=None):
        not_converged = torch.zeros(len(x), dtype=torch.bool)
        return Solution(self.codes(x), None, not_converged)

    def check(self, solution, rows):
        (failed,) = (~solution.z.isfinite().all(1)).nonzero(as_tuple=True)
        if len(failed):
            rows = first_of([rows[i] for i in failed])
            raise ValueError(
                f"The codes of rows {rows} of X are not finite; rescale X."
            )

    def end_step(self):
        """Do nothing."""

    def end_epoch(self, means, n_missed):
        """Do nothing."""

    def is_flat_at_zero(self):
        return False  # inference does not start there

    def advice_on_steps(self):
        return ""


@dataclass
class VariationalModel(RecognitionModel):
    """A variational autoencoder.

    `encode` maps data to the posterior q(z | x), with independent components. It has a
    `mean`, `log_prob(z)` of each entry, `sample(draw)`, `relaxed_sample(draw)`, which
    has a gradient, and `figures()` for the curves. `make_prior()` returns the prior for
    the present weights. The loss adds `divergence(posterior, prior)` of each row.
    """

    n_components: int
    seed: tuple
    encode: Callable
    make_prior: Callable
    divergence: Callable
    alpha: float = 1.0

    @property
    def prior(self):
        return self.make_prior()

    def codes(self, x):
        return self.encode(x).mean

    def loss(self, x, rows, draw):
        """Return the negative evidence lower bound at one draw from the posterior."""
        posterior = self.encode(x)
        z = posterior.relaxed_sample(lambda: draw(len(x), self.n_components))
        output = forward(self.generator, z)
        energy = self.likelihood.energy(x, output)
        loss = energy + self.divergence(posterior, self.prior)
        error = squared_error(x, self.likelihood.mean(output))
        figures = {"loss": loss, "squared_error": error, **posterior.figures()}
        return Step(loss, figures, z, output)

    @torch.no_grad()
    def log_likelihood(self, x, z):
        """Return the log of the mean importance weight of 100 draws, for each row."""
        draw = row_noise(x, self.seed, self.n_components)
        posterior, prior, log_weights = self.encode(x), self.prior, []
        for _ in range(_N_DRAWS):
            z = posterior.sample(draw)
            log_ratio = prior.log_prob(z).sum(1) - posterior.log_prob(z).sum(1)
            energy = self.likelihood.energy(x, forward(self.generator, z))
            log_weights.append(double(log_ratio) - double(energy))
        log_mean = torch.stack(log_weights).logsumexp(0) - math.log(_N_DRAWS)
        return log_mean - self.likelihood.constant(x.shape[1])


def build_recognition(encoder, state, output, n_heads):
    """Return a recognition network for an encoder, on the CPU.

    It mirrors the fully connected generator, and has `n_heads` outputs per component.
    First it undoes the map `output` at the end of the generator, unless a sigmoid
    follows there.
    """
    fixed, n_features = state.fixed, encoder.n_features_in_
    source = functools.partial(
        mlp_generator,
        hidden_layer_sizes=layer_sizes(fixed["hidden_layer_sizes"])[::-1],
        activation=fixed["activation"],
    )
    n_outputs = n_heads * state.n_components
    # The generator has the seed itself.
    network = build_generator(source, n_features, n_outputs, state.seed + 1)
    undo = Rescale(torch.zeros(n_features), 1.0)
    if state.scale.output_activation != "sigmoid":
        undo = Rescale(-output.offset / output.scale, 1 / output.scale)
    return torch.nn.Sequential(undo, *network)


def recognise(network, family, n_heads, x):
    """Return the posterior of a family whose parameters the network gives."""
    return family(*forward(network, x).chunk(n_heads, dim=1))


class NormalPosterior:
    """Independent normal distributions, from mean and log variance, (n, k) each."""

    def __init__(self, mean, log_variance):
        self.mean = mean
        # Far outside these bounds the scale would be 0 or infinite.
        self.scale = (log_variance.clamp(-20, 20) / 2).exp()

    def sample(self, draw):
        return self.mean + self.scale * draw()

    relaxed_sample = sample

    def log_prob(self, z):
        return torch.distributions.Normal(self.mean, self.scale).log_prob(z)

    def figures(self):
        """Return figures of training besides the loss: none."""
        return {}

    def divergence(self):
        """Return the divergence of each entry from the standard normal."""
        return (self.mean**2 + self.scale**2 - 1) / 2 - self.scale.log()


@describe_like(
    SparseGeneratorEncoder,
    without=(
        "alpha_",
        "alpha_curve_",
        "code_moments_",
        "components_",
        "start_",
        "n_active_curve_",
        "component_frequency_",
    ),
)
@parameters
class VAEEncoder(BaseEncoder):
    r"""Dense codes by a variational autoencoder.

    The generator is that of :class:`~sklearn_sparsegen.SparseGeneratorEncoder`, and the
    prior is a standard normal distribution. A recognition network gives mean and
    variance of a normal posterior q(z | x) [1]_. Both networks learn by minimising,
    with one draw from q,

    .. math:: \frac{|x - G(z)|^2}{2 \sigma^2}
              + \beta\, \mathrm{KL}(q(z | x) \,\|\, N(0, I)).

    `transform` gives the mean of the posterior. `beta=4` is the beta-VAE [2]_ that the
    paper compares with.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the divergence. 1 makes the loss the negative evidence lower bound.

    Attributes
    ----------
    recognition_ : torch.nn.Module
        The recognition network learned, from data to the parameters of the posterior.

    loss_curve_ : list of float
        Mean loss of a row in each epoch, in nats, without the constant of the
        observation noise.

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
    >>> import numpy as np
    >>> from sklearn_sparsegen.baselines import VAEEncoder
    >>> X = np.random.default_rng(0).normal(size=(100, 6))
    >>> encoder = VAEEncoder(3, max_iter=5, tol=None, random_state=0).fit(X)
    >>> encoder.sample(2).shape
    (2, 6)
    """

    beta: float = parameter(NON_NEGATIVE, default=1.0)

    def _make_networks(self, state, output, like):
        networks = super()._make_networks(state, output, like)
        recognition = build_recognition(self, state, output, n_heads=2)
        return networks | {"recognition_": recognition.to(like)}

    def _inference_model(self):
        beta, recognition = float(self.beta), self._state.networks["recognition_"]
        return VariationalModel(
            **self._model_parts(),
            encode=functools.partial(recognise, recognition, NormalPosterior, 2),
            make_prior=lambda: SpikeSlab(alpha=1.0),  # the standard normal distribution
            divergence=lambda posterior, prior: beta * posterior.divergence().sum(1),
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags
