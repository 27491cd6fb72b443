"""Dense codes by Langevin dynamics: short-run inference and alternating back-prop."""

from dataclasses import replace

from .._base import BaseEncoder
from .._encoder import SparseGeneratorEncoder
from .._inference.memories import Chains
from .._inference.model import Model
from .._inference.solvers import GradientSteps
from .._inference.starts import StandardNormal
from .._model.priors import SpikeSlab
from .._utils.docs import describe_like
from .._utils.parameters import COUNT, POSITIVE, parameter, parameters


@describe_like(
    SparseGeneratorEncoder,
    without=("alpha_", "alpha_curve_", "code_moments_", "components_", "start_"),
)
@parameters
class ShortRunEncoder(BaseEncoder):
    r"""Dense codes by short-run inference.

    The generator is that of :class:`~sklearn_sparsegen.SparseGeneratorEncoder`, and the
    prior is standard normal. Codes are drawn from the posterior by a short run of
    Langevin dynamics [1]_, which starts at a new draw from the prior in each epoch and
    in each call of `transform`. The user guide has the formula (Eq. 6).

    Features of a row that are NaN are not observed: `inverse_transform(transform(X))`
    fills them in.

    Parameters
    ----------
    sigma : "auto" or float, default="auto"
        Standard deviation of the observation noise, in units of X. A smaller value
        gives closer reconstructions, and needs a smaller `step_size`. "auto" is the
        root of the total variance of the first training data divided by 100. `sigma_`
        is the value used.

    n_steps : int, default=30
        Number of steps of inference.

    See Also
    --------
    ABPEncoder : The same with chains that continue from epoch to epoch.

    References
    ----------
    .. [1] E. Nijkamp, B. Pang, T. Han, L. Zhou, S.-C. Zhu and Y. N. Wu, "Learning
       Multi-layer Latent Variable Model via Variational Optimization of Short Run MCMC
       for Approximate Inference", ECCV 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_sparsegen.baselines import ShortRunEncoder
    >>> X = load_iris(as_frame=True).data
    >>> encoder = ShortRunEncoder(2, max_iter=5, tol=None, random_state=0).fit(X)
    >>> encoder.transform(X).shape
    (150, 2)
    """

    # At the start, steps of the default size are stable for any data.
    _signal_to_noise = 100

    n_steps: int = parameter(COUNT, default=30)
    step_size: float = parameter(POSITIVE, default=0.1)

    def _inference_model(self):
        return _langevin_model(self, self.n_steps)

    def _training_model(self):
        return replace(self._inference_model(), seed=self._epoch_seed)


@describe_like(ShortRunEncoder)
@parameters
class ABPEncoder(BaseEncoder):
    r"""Dense codes by alternating back-propagation.

    This is :class:`ShortRunEncoder`, except that each row of the training data has a
    chain of Langevin dynamics of its own, which continues from epoch to epoch [1]_.
    `transform` starts at a draw from the prior, from where it takes more steps to reach
    the posterior.

    There is no `partial_fit`, because a chain belongs to a row of all training data.

    Parameters
    ----------
    n_steps : int, default=30
        Number of steps of inference in each epoch of training.

    transform_n_steps : int, default=100
        Number of steps of inference in `transform` and `score`.

    Attributes
    ----------
    codes_ : ndarray of shape (n_samples, n_components)
        Codes at which the chains of the training data are. With `warm_start`, `fit`
        continues from there if X has as many rows.

    See Also
    --------
    ShortRunEncoder : The same with chains that start anew in each epoch.

    References
    ----------
    .. [1] T. Han, Y. Lu, S.-C. Zhu and Y. N. Wu, "Alternating Back-Propagation for
       Generator Network", AAAI 2017.

    Examples
    --------
    Data with missing values, which are filled in:

    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen.baselines import ABPEncoder
    >>> X = load_digits().data[:200] / 16
    >>> X[np.random.default_rng(0).uniform(size=X.shape) < 0.2] = np.nan
    >>> encoder = ABPEncoder(20, tol=None, max_iter=5, random_state=0).fit(X)
    >>> bool(np.isnan(encoder.inverse_transform(encoder.transform(X))).any())
    False
    """

    _learns_from_parts = False
    _signal_to_noise = ShortRunEncoder._signal_to_noise

    n_steps: int = parameter(COUNT, default=30)
    transform_n_steps: int = parameter(COUNT, default=100)
    step_size: float = parameter(POSITIVE, default=0.1)

    def _make_memory(self, state, like):
        return Chains(state.n_components, like)

    def _inference_model(self):
        return _langevin_model(self, self.transform_n_steps)

    def _training_model(self):
        chains = self._state.memory
        return replace(
            _langevin_model(self, self.n_steps),
            seed=self._epoch_seed,
            start=chains,
            memory=chains,
        )


def _langevin_model(encoder, n_steps):
    """Return a model with a normal prior and Langevin dynamics of so many steps."""
    return Model(
        **encoder._model_parts(),
        prior=SpikeSlab(alpha=1.0),  # the standard normal distribution
        solver=GradientSteps(n_steps, float(encoder.step_size), langevin=True),
        start=StandardNormal(),
    )
