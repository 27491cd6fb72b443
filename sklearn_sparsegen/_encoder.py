"""SparseGeneratorEncoder, the paper's model."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._docs import share_descriptions
from ._fit import PartialFitMixin
from ._linear_generator import LinearGenerator
from ._posterior import LaplaceScoreMixin, PosteriorEncoder
from ._priors import PointSpikeSlab, SpikeSlab


@share_descriptions
class SparseGeneratorEncoder(PartialFitMixin, LaplaceScoreMixin, PosteriorEncoder):
    r"""Sparse nonlinear codes from one generator network and no encoder.

    The model of a row of data x with code z is

    .. math:: x = G(z) + \sigma e, \qquad
              p(z) = \prod_j \alpha N(z_j; 0, s_1^2) + (1 - \alpha) N(z_j; 0, s_2^2)

    with G a neural network, e standard normal noise, a wide slab of standard deviation
    :math:`s_1` and a narrow spike of standard deviation :math:`s_2`. `transform` infers
    the code that maximises the posterior by following its gradient through G; `fit`
    alternates between that and Adam steps on G, and lowers :math:`\alpha` once an
    epoch, so that the codes grow sparser as training goes on. This is Algorithm 1 of
    Li and Han [1]_, with the equations corrected as the user guide tells.

    Parameters
    ----------
    alpha : float, default=0.01
        Prior probability of the slab at the end of the schedule, in [0, 1]: about the
        share of active codes. 1 gives dense codes under a normal prior.

    alpha_init : float, default=1.0
        Where the schedule starts, in [`alpha`, 1]. `alpha_init=alpha` keeps it
        constant.

    decay : float, default=0.033
        What is subtracted from alpha at the start of each epoch, the first included,
        until it reaches `alpha`.

    sigma : float, default=0.3
        Standard deviation of the observation noise, in units of X. A smaller one gives
        closer reconstructions and less sparse codes, and needs a smaller `step_size`.

    spike_scale : float, default=0.1
        Standard deviation of the spike, below `slab_scale`. The paper states a
        *variance* of 0.1, but its public code has 0.1 here, which its step size fits.
        0 makes the spike a point mass, so that inactive codes are exactly zero; it
        needs `solver="proximal"`.

    slab_scale : float, default=1.0
        Standard deviation of the slab.

    solver : {"gradient", "langevin", "proximal"}, default="gradient"
        How codes are inferred: by gradient steps, as in the paper; by Langevin
        dynamics, which adds noise to each step; or by quasi-Newton proximal steps,
        which reach a lower energy in less time and find their own step size.

    n_steps : int, default=30
        Number of steps of inference, at most that with `solver="proximal"`.

    step_size : float, default=0.1
        The paper's s: one step moves a code by `step_size ** 2 / 2` times the gradient
        of the log posterior, plus `step_size` times the noise of `solver="langevin"`.
        Not used by `solver="proximal"`.

    init : {"zeros", "normal", "prior", "linear"}, default="zeros"
        Where inference starts: at zero, at a draw from a standard normal distribution
        or from the prior, or at the codes under the affine map that is nearest to the
        generator over the last codes of training. Fitted with the last, few steps do.
        The first epoch, which has no such map yet, starts at zero.

    max_iter : int, default=100
        Maximum number of epochs. From 1 to 0.01 alpha takes 30 at the default `decay`.

    tol : float or None, default=0.001
        `fit` stops once alpha has arrived and the loss has not fallen by more than
        `tol` times its absolute value in any of 5 successive epochs. With
        `solver="proximal"` the inference of a row stops once a step would lower its
        energy by less than about that share. None: as many epochs and steps as
        `max_iter` and `n_steps` say.

    warm_start : bool, default=False
        Whether `fit` goes on from the result of the last call, its alpha included.

    threshold : {"posterior"}, float or None, default=None
        Which codes `transform` sets to zero: those that are likelier to be in the
        spike, those with an absolute value below a number, or none. The others are
        inferred again, by proximal steps under the slab alone.

    n_nonzero_coefs : int or None, default=None
        How many codes of a row may be active in `transform`, the others being exactly
        zero. As in orthogonal matching pursuit, the number takes the place of `alpha`:
        from the codes under alpha, proximal steps go on that keep fewer and fewer, and
        may exchange one for another. None: `alpha` decides.

    sparse_output : bool, default=False
        Whether `transform` returns a SciPy CSR array.

    Attributes
    ----------
    alpha_ : float
        The value that alpha has reached, which `transform` infers with.

    linear_generator_ : torch.nn.Module
        Means and covariances of the last codes of training and of what the generator
        made of them, from which the affine map of `init="linear"` follows.

    n_active_curve_ : list of float
        Mean number of active codes a row in each epoch: those likelier to be in the
        slab than in the spike.

    See Also
    --------
    sklearn.decomposition.MiniBatchDictionaryLearning : Linear sparse codes.
    sklearn.decomposition.PCA : Linear dense codes.

    Notes
    -----
    `solver`, `n_steps`, `step_size`, `tol`, `init`, `threshold`, `n_nonzero_coefs` and
    `sparse_output` are read when `transform` runs: `set_params` after `fit` takes
    effect.

    The inference is stable while `step_size ** 2 / 2` is below two over the curvature
    of the energy, which grows with the generator's gain over `sigma`; where it is not,
    there is an error or a warning that tells a step size that would be.

    References
    ----------
    .. [1] H. Li and T. Han, "Learning Sparse Latent Representations for Generator
       Model", arXiv:2209.09949, 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> X = load_digits(return_X_y=True)[0][:200] / 16
    >>> encoder = SparseGeneratorEncoder(
    ...     n_components=20, hidden_layer_sizes=(50,), tol=None, max_iter=35,
    ...     random_state=0,
    ... )
    >>> Z = encoder.fit_transform(X)
    >>> Z.shape
    (200, 20)
    >>> encoder.alpha_
    0.01
    >>> encoder.inverse_transform(Z).shape
    (200, 64)
    """

    _parameter_constraints: dict = {
        **PosteriorEncoder._parameter_constraints,
        "alpha": [Interval(Real, 0, 1, closed="both")],
        "alpha_init": [Interval(Real, 0, 1, closed="both")],
        "decay": [Interval(Real, 0, None, closed="left")],
        "spike_scale": [Interval(Real, 0, None, closed="left")],
        "slab_scale": [Interval(Real, 0, None, closed="neither")],
        "solver": [StrOptions({"gradient", "langevin", "proximal"})],
        "step_size": [Interval(Real, 0, None, closed="neither")],
        "init": [StrOptions({"zeros", "normal", "prior", "linear"})],
        "threshold": [
            StrOptions({"posterior"}),
            Interval(Real, 0, None, closed="left"),
            None,
        ],
        "n_nonzero_coefs": [Interval(Integral, 1, None, closed="left"), None],
        "sparse_output": ["boolean"],
    }

    _curves = ("loss", "n_active")

    def __init__(
        self,
        n_components=200,
        *,
        alpha=0.01,
        alpha_init=1.0,
        decay=0.033,
        sigma=0.3,
        spike_scale=0.1,
        slab_scale=1.0,
        hidden_layer_sizes=(400,),
        activation="relu",
        output_activation="auto",
        generator=None,
        image_shape=None,
        solver="gradient",
        n_steps=30,
        step_size=0.1,
        init="zeros",
        max_iter=100,
        learning_rate_init=0.001,
        batch_size=100,
        shuffle=True,
        tol=1e-3,
        warm_start=False,
        threshold=None,
        n_nonzero_coefs=None,
        sparse_output=False,
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
        self.alpha_init = alpha_init
        self.decay = decay
        self.spike_scale = spike_scale
        self.slab_scale = slab_scale
        self.solver = solver
        self.n_steps = n_steps
        self.step_size = step_size
        self.init = init
        self.threshold = threshold
        self.n_nonzero_coefs = n_nonzero_coefs
        self.sparse_output = sparse_output

    def slab_proba(self, X):
        """Posterior probability of the slab for each entry of given codes.

        Parameters
        ----------
        X : {array-like, sparse array} of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_components)
            Probability that the entry is active, P(slab | z) of Eq. 9 at `alpha_`. The
            type is float64 if X is, else float32.

        Raises
        ------
        ValueError
            If X is invalid or of the wrong width.
        """
        check_is_fitted(self)
        return self._map_codes(X, self._prior().slab_proba)

    def _validate_params(self):
        super()._validate_params()
        if self.spike_scale >= self.slab_scale:
            raise ValueError(
                f"spike_scale={self.spike_scale} must be below "
                f"slab_scale={self.slab_scale}."
            )
        if self.spike_scale == 0 and self.solver != "proximal":
            raise ValueError(
                f"solver={self.solver!r} follows a gradient, which the point mass of "
                "spike_scale=0 does not have; take solver='proximal'."
            )
        if self.alpha_init < self.alpha:
            raise ValueError(
                f"alpha_init={self.alpha_init} must not be below alpha={self.alpha}: "
                "the schedule lowers alpha."
            )

    def _prior(self):
        if self.spike_scale == 0:
            return PointSpikeSlab(self.alpha_, self.slab_scale)
        return SpikeSlab(self.alpha_, self.slab_scale, self.spike_scale)

    def _initialize(self, X):
        super()._initialize(X)
        self.linear_generator_ = LinearGenerator(self.n_components, X.shape[1]).to(
            next(self.generator_.parameters())
        )

    def _note_codes(self, z, x_hat):
        self.linear_generator_.update(z, x_hat)

    def _make_start(self, prior):
        # the first epoch of fit has no codes to go by, and starts at zero
        if self.init != "linear" or self.linear_generator_.n_rows == 0:
            return super()._make_start(prior)
        mean, variance = self.linear_generator_.posterior(self.sigma)

        def start(x, draw):
            z = mean(x)
            return prior.prox(z, variance, z)[0]

        return start

    def _begin_epoch(self):
        alpha = self.alpha_init if self.n_iter_ == 0 else self.alpha_
        # rounded, so that 30 times 0.033 from 1 is 0.01 and not a rounding error above
        self.alpha_ = max(self.alpha, float(np.round(alpha - self.decay, 12)))

    def _schedule_left(self):
        if self.alpha_ == self.alpha:
            return ""
        return f"alpha_={self.alpha_:.4g} has not come down to alpha={self.alpha}"
