"""Sparse coding with variance regularisation."""

import functools
from dataclasses import replace

from .._base import BaseEncoder
from .._encoder import SparseGeneratorEncoder
from .._inference.model import Model
from .._inference.proximal import ProximalQuasiNewton, StiffestDirection
from .._inference.starts import Zeros
from .._model.priors import Exponential
from .._utils.docs import describe_like
from .._utils.parameters import COUNT, NON_NEGATIVE, POSITIVE, parameter, parameters


class VarianceHinge:
    """The data term of a batch plus a hinge on the spread of each component.

    The hinge is `weight * sum_j max(0, floor - sd_j)^2`, where sd_j is the standard
    deviation of component j over the batch. Each row carries an equal part of it.
    """

    separable = False  # the standard deviations depend on all rows

    def __init__(self, term, weight, floor):
        self._term = term
        self._weight = weight
        self._floor = floor

    def _hinge(self, z, n):
        """Return the part of each row, and the gradient of the whole by the codes."""
        centred = z - z.mean(0)
        # Without the small number the slope is not finite where all codes are equal.
        deviation = (centred.square().mean(0) + 1e-12).sqrt()
        lack = (self._floor - deviation).clamp_min(0)
        value = self._weight * lack.square().sum() / n
        return value, -2 * self._weight * (lack / deviation) * centred / n

    def value(self, z):
        value = self._term.value(z)
        return value + self._hinge(z, len(value))[0]

    def value_and_gradient(self, z):
        value, gradient = self._term.value_and_gradient(z)
        hinge, hinge_gradient = self._hinge(z, len(value))
        return value + hinge, gradient + hinge_gradient


@describe_like(
    SparseGeneratorEncoder,
    without=("alpha_", "alpha_curve_", "code_moments_", "components_", "start_"),
)
@parameters
class VarianceSparseEncoder(BaseEncoder):
    r"""Non-negative sparse codes that a variance hinge keeps from collapsing.

    Codes minimise, by proximal steps through the generator [1]_,

    .. math:: \frac{|x - G(z)|^2}{2 \sigma^2} + r \sum_j z_j, \qquad z \ge 0,

    which is the energy under an exponential prior of rate r. In training, a hinge keeps
    the standard deviation of each component over the batch from falling,

    .. math:: \beta \sum_j \max(0, T - \mathrm{sd}(z_j))^2,

    because otherwise codes shrink while the weights of the generator grow. `transform`
    leaves the hinge out, so that no row depends on another. The paper adds a second
    network that predicts codes. The hinge makes the energy no likelihood, so there is
    no `score`. Features of a row that are NaN are not observed:
    `inverse_transform(transform(X))` fills them in.

    Parameters
    ----------
    rate : float, default=3.0
        The rate r of the prior: the energy of a code of size one.

    variance_weight : float, default=300.0
        Weight :math:`\beta` of the hinge for a batch.

    min_scale : float, default=0.5
        Standard deviation T below which the hinge acts.

    n_steps : int, default=30
        Number of steps of inference.

    Attributes
    ----------
    loss_curve_ : list of float
        Mean energy of a row in each epoch, without the hinge.

    n_active_curve_ : list of float
        Mean number of active codes of a row in each epoch: those above zero.

    See Also
    --------
    sklearn_sparsegen.SparseGeneratorEncoder : Sparse codes under a spike and slab.

    References
    ----------
    .. [1] K. Evtimova and Y. LeCun, "Sparse Coding with Multi-Layer Decoders using
       Variance Regularization", Transactions on Machine Learning Research, 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_sparsegen.baselines import VarianceSparseEncoder
    >>> encoder = VarianceSparseEncoder(5, max_iter=5, tol=None, random_state=0)
    >>> bool((encoder.fit_transform(scale(load_wine().data)) >= 0).all())
    True
    """

    _can_score = False

    rate: float = parameter(POSITIVE, default=3.0)
    variance_weight: float = parameter(NON_NEGATIVE, default=300.0)
    min_scale: float = parameter(NON_NEGATIVE, default=0.5)
    n_steps: int = parameter(COUNT, default=30)
    sparse_output: bool = parameter("boolean", default=False)

    def _make_networks(self, state, output, like):
        networks = super()._make_networks(state, output, like)
        return networks | {"_stiffest": StiffestDirection(state.n_components).to(like)}

    def _inference_model(self):
        stiffest = self._state.networks["_stiffest"].under(self._likelihood())
        return Model(
            **self._model_parts(),
            prior=Exponential(float(self.rate)),
            solver=ProximalQuasiNewton(self.n_steps, None, stiffest),
            start=Zeros(self._state.n_components),
        )

    def _training_model(self):
        weight, floor = float(self.variance_weight), float(self.min_scale)
        return replace(
            self._inference_model(),
            coupling=functools.partial(VarianceHinge, weight=weight, floor=floor),
            stiffest=self._state.networks["_stiffest"],
        )
