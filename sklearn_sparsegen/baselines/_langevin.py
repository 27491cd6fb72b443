"""Dense codes by Langevin dynamics: short-run inference and alternating back-prop."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from .._docs import share_descriptions
from .._fit import PartialFitMixin
from .._posterior import LaplaceScoreMixin, PosteriorEncoder
from .._priors import SpikeSlab
from .._torch import seeded_noise, to_array, to_tensor


class _LangevinEncoder(LaplaceScoreMixin, PosteriorEncoder):
    """Base of the encoders that sample dense codes by Langevin dynamics.

    Parameters
    ----------
    sigma : float, default=0.3
        Standard deviation of the observation noise, in units of X. A smaller one gives
        closer reconstructions, and needs a smaller `step_size`.

    step_size : float, default=0.1
        The paper's s: one step moves a code by `step_size ** 2 / 2` times the gradient
        of the log posterior, plus `step_size` times standard normal noise.
    """

    _parameter_constraints: dict = {
        **PosteriorEncoder._parameter_constraints,
        "step_size": [Interval(Real, 0, None, closed="neither")],
    }

    solver = "langevin"
    init = "normal"

    def __init__(
        self,
        n_components=200,
        *,
        sigma=0.3,
        hidden_layer_sizes=(400,),
        activation="relu",
        output_activation="auto",
        generator=None,
        image_shape=None,
        n_steps=30,
        step_size=0.1,
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
        self.n_steps = n_steps
        self.step_size = step_size

    def _prior(self):
        return SpikeSlab(alpha=1.0)  # a standard normal


@share_descriptions
class ShortRunEncoder(PartialFitMixin, _LangevinEncoder):
    r"""Dense codes by short-run inference.

    The generator of :class:`~sklearn_sparsegen.SparseGeneratorEncoder` under a standard
    normal prior. Codes are drawn from the posterior by a short run of Langevin dynamics
    that starts at a draw from the prior, in each epoch and in `transform` anew [1]_:

    .. math:: z \leftarrow z + \frac{s^2}{2} \frac{\partial}{\partial z} \log p(x, z)
              + s e

    Features of a row that are NaN are not observed: `inverse_transform(transform(X))`
    fills them in.

    Parameters
    ----------
    n_components : int, default=200
        Number of components of a code.

    Attributes
    ----------
    generator_ : torch.nn.Module
        The generator learned, from codes to data.

    See Also
    --------
    ABPEncoder : The same with chains that go on from epoch to epoch.

    References
    ----------
    .. [1] E. Nijkamp, B. Pang, T. Han, L. Zhou, S.-C. Zhu and Y. N. Wu, "Learning
       Multi-layer Latent Variable Model via Variational Optimization of Short Run MCMC
       for Approximate Inference", ECCV 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen.baselines import ShortRunEncoder
    >>> X = load_digits(return_X_y=True)[0][:200] / 16
    >>> encoder = ShortRunEncoder(
    ...     n_components=20, hidden_layer_sizes=(50,), tol=None, max_iter=5,
    ...     random_state=0,
    ... )
    >>> encoder.fit_transform(X).shape
    (200, 20)
    """


@share_descriptions
class ABPEncoder(_LangevinEncoder):
    r"""Dense codes by alternating back-propagation.

    The generator of :class:`~sklearn_sparsegen.SparseGeneratorEncoder` under a standard
    normal prior. Each row of the training data has a chain of Langevin dynamics of its
    own, which goes on from epoch to epoch [1]_. `transform` starts new rows at a draw
    from the prior.

    Features of a row that are NaN are not observed: `inverse_transform(transform(X))`
    fills them in. There is no `partial_fit`, as a chain belongs to a row of all data.

    Parameters
    ----------
    n_components : int, default=200
        Number of components of a code.

    Attributes
    ----------
    codes_ : ndarray of shape (n_samples, n_components)
        Where the chains of the training data stand. With `warm_start`, `fit` goes on
        from there where X has as many rows.

    See Also
    --------
    ShortRunEncoder : The same with chains that start anew each epoch.

    References
    ----------
    .. [1] T. Han, Y. Lu, S.-C. Zhu and Y. N. Wu, "Alternating Back-Propagation for
       Generator Network", AAAI 2017.

    Examples
    --------
    Data with missing values, filled in:

    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen.baselines import ABPEncoder
    >>> X = load_digits(return_X_y=True)[0][:200] / 16
    >>> X[np.random.default_rng(0).uniform(size=X.shape) < 0.2] = np.nan
    >>> encoder = ABPEncoder(
    ...     n_components=20, hidden_layer_sizes=(50,), tol=None, max_iter=5,
    ...     random_state=0,
    ... ).fit(X)
    >>> bool(np.isnan(encoder.inverse_transform(encoder.transform(X))).any())
    False
    """

    def _initialize(self, X):
        super()._initialize(X)
        self.codes_ = np.empty((0, self.n_components_))

    def _run_epoch(self, X, optimizer):
        if len(self.codes_) != len(X):
            draw = seeded_noise(self._seed, self.generator_)
            self.codes_ = to_array(draw(len(X), self.n_components_))
        return super()._run_epoch(X, optimizer)

    def _infer_training(self, rows, x, begin, infer, seed):
        start = to_tensor(self.codes_[rows], self.generator_)
        z, *short = self._infer(x, begin, infer, seed, start)
        self.codes_[rows] = to_array(z)
        return z, *short
