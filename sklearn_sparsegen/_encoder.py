"""SparseGeneratorEncoder, the model of Li and Han."""

from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from ._base import BaseEncoder
from ._mixins import PartialFitMixin, ScoreMixin
from ._model import Model
from ._parameters import COUNT, NON_NEGATIVE, POSITIVE, SHARE, parameter, parameters
from ._priors import PointSpikeSlab, SpikeSlab
from ._proximal import ProximalQuasiNewton, Refinement
from ._solvers import GradientSteps
from ._starts import CodeMoments, Linear, PriorDraw, StandardNormal, Zeros
from ._training import AlphaSchedule

# What to do about steps that are too long.
_REMEDIES = "Reduce step_size, increase sigma, rescale X, or use solver='proximal'."


@parameters
class SparseGeneratorEncoder(PartialFitMixin, ScoreMixin, BaseEncoder):
    r"""Sparse nonlinear codes from one generator network and no encoder network.

    The model of a row of data x with code z is

    .. math:: x = G(z) + \sigma e, \qquad
              p(z) = \prod_j \alpha N(z_j; 0, s_1^2) + (1 - \alpha) N(z_j; 0, s_2^2)

    where G is a neural network, e is standard normal noise, and the prior p(z) has a
    wide slab of standard deviation :math:`s_1` and a narrow spike of :math:`s_2`.
    `transform` infers the code that maximises the posterior p(z | x), by steps through
    G. `fit` alternates between this inference and steps of Adam on the weights of G. It
    lowers :math:`\alpha` in each epoch, so that the codes grow sparser. This is
    Algorithm 1 of Li and Han [1]_; the user guide corrects their equations.

    Parameters
    ----------
    n_components : int, default=200
        Number of components of a code.

    sigma : float, default=0.3
        Standard deviation of the observation noise, in units of X. A smaller value
        gives closer reconstructions and less sparse codes. Where there is a
        `step_size`, it must then be smaller too.

    hidden_layer_sizes : array-like of int, default=(400,)
        Number of units of each hidden layer of the generator; `()` makes it linear. If
        there is a recognition network, it has these layers in reverse order.

    activation : {"identity", "relu", "sigmoid", "tanh"}, default="relu"
        Nonlinearity of the hidden layers.

    output_activation : {"auto", "identity", "sigmoid"}, default="auto"
        Nonlinearity of the output. "auto" is "sigmoid" for training data in [0, 1],
        else "identity".

    generator : {"convolutional"}, callable or torch.nn.Module, default=None
        What replaces the fully connected generator: "convolutional", transposed
        convolutions for images of `image_shape`, which ignore `hidden_layer_sizes`; a
        factory `(n_components, n_features) -> torch.nn.Module`, whose random torch
        operations follow `random_state`; or a module, which is copied with its weights.
        The three parameters above have no effect on a module of your own, which is used
        in evaluation mode, so that rows do not interact.

    image_shape : array-like of int or None, default=None
        Height, width and, if it is not 1, number of channels of an image, for the
        convolutional generator; height and width must be multiples of 4.

    max_iter : int, default=100
        Maximum number of epochs.

    learning_rate_init : float, default=0.001
        Learning rate of Adam.

    batch_size : int, default=100
        Number of rows of a batch in training. Codes do not depend on how many rows are
        inferred at once, beyond rounding.

    shuffle : bool, default=True
        Whether to visit the rows in a new order in each epoch.

    tol : float or None, default=0.001
        `fit` stops once the loss has not fallen by more than `tol` times its absolute
        value in any of 5 successive epochs, and any schedule is finished. Proximal
        steps, if used, stop for a row once one more would lower its energy by less than
        about `tol` times the energy. None: all epochs and all steps are taken.

    warm_start : bool, default=False
        Whether `fit` continues from the result of the last call.

    device : str or torch.device, default="auto"
        Where to compute. "auto" is a CUDA GPU if there is one, else the CPU.

    random_state : int, RandomState instance or None, default=None
        Seed of the weights, of the order of rows and of the noise of inference, which
        depends on the seed and the row alone. An int gives the same results in every
        call. None takes fresh entropy at each `fit`.

    verbose : int or bool, default=False
        Whether to print a line per epoch.

    alpha : float, default=0.01
        Prior probability of the slab at the end of the schedule, in [0, 1]: about the
        share of active codes. 1 gives dense codes under a normal prior.

    alpha_init : float, default=1.0
        Start of the schedule of alpha, in [`alpha`, 1]. `alpha_init=alpha` keeps alpha
        constant.

    decay : float, default=0.033
        What each epoch subtracts from alpha, the first one included, until it reaches
        `alpha`. The default takes 30 epochs from 1 to 0.01.

    spike_scale : float, default=0.1
        Standard deviation of the spike, below `slab_scale`. The paper states a
        *variance* of 0.1, but its public code has a standard deviation of 0.1, which
        suits its step size. 0 makes the spike a point mass, so that inactive codes are
        exactly zero; it needs `solver="proximal"`.

    slab_scale : float, default=1.0
        Standard deviation of the slab.

    solver : {"gradient", "langevin", "proximal"}, default="gradient"
        How codes are inferred: by "gradient" steps, as in the paper; by the same steps
        with noise ("langevin"); or by quasi-Newton "proximal" steps, which reach a
        lower energy in less time and choose their own step size.

    n_steps : int, default=30
        Number of steps of inference; the maximum number for proximal steps.

    step_size : float, default=0.1
        The paper's s. A gradient step adds `step_size ** 2 / 2` times the gradient of
        the log posterior to the code; Langevin dynamics also adds `step_size` times
        standard normal noise. Proximal steps do not use it.

    init : {"zeros", "normal", "prior", "linear"}, default="zeros"
        Where inference starts: at zero; at a draw from a standard normal distribution
        or from the prior; or at the codes under the affine map that is nearest to the
        generator over the last codes of training. In the first epoch there is no such
        map yet, and inference starts at zero. After fitting with "linear" a few steps
        are enough.

    threshold : {"posterior"}, float or None, default=None
        Which entries `transform` sets to zero: those likelier to be in the spike, those
        whose absolute value is below a number, or none. Proximal steps under the slab
        alone then infer the others again.

    n_nonzero_coefs : int or None, default=None
        Number of codes of a row that may be active in `transform`; the others are
        exactly zero. From the codes inferred under alpha, proximal steps keep fewer and
        fewer, and may exchange one for another. None: `alpha` decides.

    sparse_output : bool, default=False
        Whether `transform` returns a SciPy CSR array.

    Attributes
    ----------
    generator_ : torch.nn.Module
        The generator learned, from codes to data.

    n_iter_ : int
        Number of epochs run.

    loss_curve_ : list of float
        Mean of `|x - G(z)|^2 / (2 sigma^2) - log p(z)` in each epoch, up to a constant,
        at the codes from which the generator learns.

    n_active_curve_ : list of float
        Mean number of active codes of a row in each epoch: those that are likelier to
        be in the slab than in the spike, which are all under a normal prior.

    output_activation_ : {"identity", "sigmoid"}
        The output nonlinearity of a generator that is not your own.

    n_components_ : int
        Number of components of a code.

    n_features_in_ : int
        Number of features seen in fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in fit, if X has string names.

    alpha_ : float
        The value that alpha has reached, with which `transform` infers codes.

    code_moments_ : torch.nn.Module
        Means and covariances of the last codes of training and of what the generator
        made of them, for the affine map of `init="linear"`.

    See Also
    --------
    sklearn.decomposition.MiniBatchDictionaryLearning : Linear sparse codes.
    sklearn.decomposition.PCA : Linear dense codes.

    Notes
    -----
    `solver`, `n_steps`, `step_size`, `tol`, `init`, `threshold`, `n_nonzero_coefs` and
    `sparse_output` are read when `transform` runs, so `set_params` after `fit` takes
    effect. Where gradient steps are too long, an error or a warning tells a step size
    that is stable.

    References
    ----------
    .. [1] H. Li and T. Han, "Learning Sparse Latent Representations for Generator
       Model", arXiv:2209.09949, 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> X = load_digits(return_X_y=True)[0][:200] / 16
    >>> encoder = SparseGeneratorEncoder(20, max_iter=35, tol=None, random_state=0)
    >>> Z = encoder.fit_transform(X)
    >>> Z.shape, encoder.inverse_transform(Z).shape
    ((200, 20), (200, 64))
    >>> encoder.alpha_
    0.01
    """

    alpha: float = parameter(0.01, SHARE)
    alpha_init: float = parameter(1.0, SHARE)
    decay: float = parameter(0.033, NON_NEGATIVE)
    spike_scale: float = parameter(0.1, NON_NEGATIVE)
    slab_scale: float = parameter(1.0, POSITIVE)
    solver: str = parameter(
        "gradient", StrOptions({"gradient", "langevin", "proximal"})
    )
    n_steps: int = parameter(30, COUNT)
    step_size: float = parameter(0.1, POSITIVE)
    init: str = parameter("zeros", StrOptions({"zeros", "normal", "prior", "linear"}))
    threshold: object = parameter(None, StrOptions({"posterior"}), NON_NEGATIVE, None)
    n_nonzero_coefs: int | None = parameter(None, COUNT, None)
    sparse_output: bool = parameter(False, "boolean")

    def _validate_params(self):
        super()._validate_params()
        solver = ProximalQuasiNewton if self.solver == "proximal" else GradientSteps
        solver.check(self._make_prior(self.alpha))

    def _make_schedule(self):
        return AlphaSchedule(self.alpha_init, self.alpha, self.decay)

    def _build(self, X, seed):
        fitted = super()._build(X, seed)
        weight = next(fitted["generator_"].parameters())
        moments = CodeMoments(self.n_components, X.shape[1]).to(weight)
        return {**fitted, "code_moments_": moments}

    def _make_prior(self, alpha):
        if self.spike_scale == 0:
            return PointSpikeSlab(alpha, self.slab_scale)
        return SpikeSlab(alpha, self.slab_scale, self.spike_scale)

    def _make_model(self, X=None):
        n_steps, k = self.n_steps, self.n_components_
        proximal = ProximalQuasiNewton(
            n_steps, self.tol, self.generator_, self._likelihood(), k
        )
        solvers = {
            "gradient": GradientSteps(n_steps, self.step_size, False, _REMEDIES),
            "langevin": GradientSteps(n_steps, self.step_size, True, _REMEDIES),
            "proximal": proximal,
        }
        starts = {
            "zeros": Zeros(k),
            "normal": StandardNormal(),
            "prior": PriorDraw(),
            "linear": Linear(self.code_moments_, self.sigma),
        }
        refinement = None
        if self.threshold or self.n_nonzero_coefs:
            refinement = Refinement(self.threshold, self.n_nonzero_coefs, proximal)
        return Model(
            **self._model_parts(X),
            prior=self._make_prior(self.alpha_),
            solver=solvers[self.solver],
            start=starts[self.init],
            memory=self.code_moments_,
            redraw_spike=self.solver == "proximal" and self.spike_scale > 0,
            refinement=refinement,
        )

    def slab_proba(self, X):
        """Return the posterior probability that each entry of given codes is active.

        Parameters
        ----------
        X : {array-like, sparse array} of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_components)
            P(slab | z) of Eq. 9 at `alpha_`, as float64 if X is, else float32.

        Raises
        ------
        ValueError
            If X is invalid or has another number of components.
        """
        check_is_fitted(self)
        return self._map_codes(X, self._make_prior(self.alpha_).slab_proba)
