"""A sparse autoencoder that keeps the largest components of each code."""

from dataclasses import dataclass

import torch

from .._base import BaseEncoder
from .._encoder import SparseGeneratorEncoder
from .._inference.model import Step
from .._model.likelihoods import squared_error
from .._model.linear_layers import forward, row_multiple
from .._utils.docs import describe_like
from .._utils.parameters import COUNT, check_limit, parameter, parameters
from .._utils.types import Sizes
from ._variational import RecognitionModel, build_recognition


def keep_largest(z, n):
    """Return non-negative codes with all but the n largest entries of each set to zero.

    The first of several equal entries are kept: `topk` alone may choose among them by
    the number of rows. An entry that is NaN stays so.
    """
    least = z.detach().topk(n, dim=1).values[:, -1:]
    larger, equal = z > least, z == least
    n_left = n - larger.sum(1, keepdim=True)
    return z * (larger | (equal & (equal.cumsum(1) <= n_left)))


@dataclass
class TopKModel(RecognitionModel):
    """An autoencoder of at most `n_active` components.

    `weight` is the generator's first one, whose columns have norm 1, or None for a
    generator whose scale is not ours to change.
    """

    recognition: torch.nn.Module
    n_active: int
    weight: torch.Tensor | None

    codes_depend_on_sigma = False

    def batch_shape(self, batch_size):
        if not next(self.generator.parameters()).is_cpu:
            return batch_size, 1
        # Of entries that are nearly equal, rounding decides which one is kept.
        multiple = row_multiple(self.recognition[1:])
        return batch_size + -batch_size % multiple, multiple

    def codes(self, x):
        return keep_largest(forward(self.recognition, x).relu(), self.n_active)

    def loss(self, x, rows, draw):
        """Return the data term at the codes that the network finds, as a `Step`."""
        z = self.codes(x)
        # Between epochs the norms are 1. Within one, codes are divided in place of the
        # columns, so that the length of a column changes nothing and has no gradient.
        scaled = z if self.weight is None else z / self.weight.norm(dim=0)
        output = forward(self.generator, scaled)
        loss, active = self.likelihood.energy(x, output), z.detach() > 0
        figures = {
            "loss": loss,
            "squared_error": squared_error(x, self.likelihood.mean(output)),
            "active": active,
            "empty": ~active.any(1),
        }
        return Step(loss, figures, z, output)

    @torch.no_grad()
    def end_epoch(self, means, n_missed):
        """Bring the columns of the generator's first weight back to norm 1."""
        if self.weight is not None:
            self.weight.div_(self.weight.norm(dim=0))


@torch.no_grad()
def start_at_transpose(recognition, generator):
    """Start a recognition network at the transposed weights of the generator."""
    up, down = (
        [module for module in network if isinstance(module, torch.nn.Linear)]
        for network in (generator, recognition)
    )
    up[0].weight /= up[0].weight.norm(dim=0)
    up[-1].bias.zero_()  # so that the output starts at the mean
    for layer, mirrored in zip(up, reversed(down), strict=True):
        mirrored.weight.copy_(layer.weight.T)
        mirrored.bias.zero_()


@describe_like(
    SparseGeneratorEncoder,
    without=("alpha_", "alpha_curve_", "code_moments_", "components_", "start_"),
)
@parameters
class TopKEncoder(BaseEncoder):
    r"""Non-negative codes of at most k active components, by a TopK autoencoder.

    A recognition network gives the code in one pass, and the k largest components are
    kept [1]_ [2]_. Without hidden layers, the default, it and the generator are linear,

    .. math:: z = \mathrm{TopK}(\mathrm{ReLU}(W_e x + b_e)), \qquad G(z) = W_d z + b,

    of data that are centred and divided by one number, as in all encoders of this
    library. Both networks learn by minimising :math:`|x - G(z)|^2`. The columns of
    :math:`W_d` have norm 1, as have those of the first weight of a deeper generator,
    unless it is your own. :math:`W_e` starts at the transpose of :math:`W_d`,
    :math:`b_e` at 0 and :math:`b` at the mean of the data. Gao et
    al. subtract :math:`b` from x first, and not only the mean. This is the same model,
    because :math:`b_e` is learned. Their auxiliary loss for components that are never
    active is left out; `component_frequency_` tells which these are. An autoencoder
    gives no probability to codes, so that there are neither `score` nor `sample`.

    Parameters
    ----------
    sigma : "auto" or float, default="auto"
        Unit of the loss, :math:`|x - G(z)|^2 / (2 \sigma^2)`. Nothing else depends on
        it. "auto" is the root of the total variance of the first training data divided
        by 600. `sigma_` is the value used.

    hidden_layer_sizes : array-like of int, default=()
        Number of units of each hidden layer of the generator; `()` makes it linear. The
        recognition network has these layers in reverse order.

    n_nonzero_coefs : int or None, default=None
        Largest number k of active codes of a row, in training and in `transform`. None
        is a tenth of `n_components`, but at least 1.

    Attributes
    ----------
    recognition_ : torch.nn.Module
        The recognition network learned, from data to codes before ReLU and TopK.

    loss_curve_ : list of float
        Mean of :math:`|x - G(z)|^2 / (2 \sigma^2)` in each epoch.

    n_active_curve_ : list of float
        Mean number of active codes of a row in each epoch: those above zero.

    See Also
    --------
    sklearn_sparsegen.SparseGeneratorEncoder : Codes inferred through the generator,
        also under `n_nonzero_coefs`.

    References
    ----------
    .. [1] A. Makhzani and B. Frey, "k-Sparse Autoencoders", ICLR 2014.

    .. [2] L. Gao, T. Dupré la Tour, H. Tillman, G. Goh, R. Troll, A. Radford,
       I. Sutskever, J. Leike and J. Wu, "Scaling and evaluating sparse autoencoders",
       arXiv:2406.04093, 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen.baselines import TopKEncoder
    >>> encoder = TopKEncoder(50, n_nonzero_coefs=7, max_iter=5, tol=None)
    >>> int((encoder.fit_transform(load_digits().data) > 0).sum(axis=1).max())
    7
    """

    _can_sample = _can_score = False

    hidden_layer_sizes: Sizes = parameter("array-like", COUNT, default=(), fixed=True)
    n_nonzero_coefs: int | None = parameter(COUNT, None, default=None)
    sparse_output: bool = parameter("boolean", default=False)

    def _validate_params(self):
        super()._validate_params()
        check_limit(self)

    def _make_networks(self, state, output, like):
        networks = super()._make_networks(state, output, like)
        recognition = build_recognition(self, state, output, n_heads=1)
        return networks | {"recognition_": recognition.to(like)}

    def _start_networks(self, state, data):
        if state.fixed["generator"] is None:
            networks = state.networks
            start_at_transpose(networks["recognition_"], networks["generator_"])

    def _inference_model(self):
        state, k = self._state, self._state.n_components
        generator = state.networks["generator_"]
        limit = self.n_nonzero_coefs or max(1, k // 10)
        is_ours = state.generator_is_ours
        return TopKModel(
            generator=generator,
            likelihood=self._likelihood(),
            recognition=state.networks["recognition_"],
            n_active=min(int(limit), k),
            weight=next(generator.children()).weight if is_ours else None,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags
