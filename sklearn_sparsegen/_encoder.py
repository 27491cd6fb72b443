"""SparseGeneratorEncoder, the model of Li and Han."""

import math
from dataclasses import replace
from typing import Any

from sklearn.utils.validation import check_is_fitted

from ._base import BaseEncoder
from ._data.arrays import to_array
from ._inference.memories import CodeMoments
from ._inference.model import Model
from ._inference.proximal import ProximalQuasiNewton, Refinement, StiffestDirection
from ._inference.solvers import GradientSteps
from ._inference.starts import (
    AffineMap,
    Learned,
    Linear,
    PriorDraw,
    StandardNormal,
    Zeros,
)
from ._model.generators import Rescale, atoms_of
from ._model.priors import PointSpikeSlab, SpikeSlab
from ._training.schedules import AlphaSchedule, WithPretraining
from ._utils.modes import in_default_modes
from ._utils.parameters import (
    ANY_POSITIVE,
    COUNT,
    COUNT_OR_ZERO,
    NON_NEGATIVE,
    POSITIVE,
    SHARE,
    ZERO,
    check_limit,
    one_of,
    parameter,
    parameters,
)
from ._utils.types import (
    Array,
    LearningRate,
    Matrix,
    Posterior,
    SolverName,
    StartName,
    Threshold,
)

_PRETRAINING = 3 / 4  # share of the epochs that train an autoencoder, as init="learned"
_REMEDIES = "Reduce step_size, increase sigma, rescale X, or use solver='proximal'."

# The settings of the experiments of Li and Han.
PAPER_SETTINGS: dict[str, Any] = {
    "alpha": 0.01,
    "sigma": 0.3,
    "spike_scale": 0.1,
    "decay": 0.033,
    "positive_code": False,
    "skip_connection": False,
    "output_activation": "auto",
    "solver": "gradient",
    "n_steps": 30,
    "transform_n_steps": None,
    "init": "zeros",
    "batch_size": 100,
    "learning_rate_init": 0.001,
    "learning_rate": "constant",
    "max_iter": 100,
    "tol": 0.001,
}


@parameters
class SparseGeneratorEncoder(BaseEncoder):
    r"""Sparse nonlinear codes from one generator network and no encoder network.

    The model of a row of data x with code z is

    .. math:: x = G(z) + \sigma e, \qquad
              p(z) = \prod_j \alpha N(z_j; 0, s_1^2) + (1 - \alpha) N(z_j; 0, s_2^2)

    where G is a neural network, e is standard normal noise, and the prior p(z) has a
    wide slab of standard deviation :math:`s_1` and a spike of :math:`s_2`, by default a
    point mass at zero; with `positive_code`, both are restricted to z >= 0.
    `transform` infers the code that maximises the posterior p(z | x), by steps through
    G, which start at an affine map of x. `fit` trains this map and G as an autoencoder
    first. Then it alternates between inference and steps of Adam on the weights. It
    lowers :math:`\alpha` in each epoch, so that the codes grow sparser. The second part
    is Algorithm 1 of Li and Han [1]_; the user guide corrects their equations.
    `SparseGeneratorEncoder(**PAPER_SETTINGS)` has their settings. The defaults suit
    data of any unit and offset, for which G contains a fixed map: it starts at the mean
    of the training data, and its layers work on data of variance 1.

    Parameters
    ----------
    n_components : int, default=200
        Number of components of a code.

    sigma : "auto" or float, default="auto"
        Standard deviation of the observation noise, in units of X. A smaller value
        gives closer reconstructions and less sparse codes. Where there is a
        `step_size`, it must then be smaller too. "auto" is the root of the total
        variance of the first training data divided by 2400, or by 600 in encoders with
        a recognition network or a variance hinge. `sigma_` is the value used.

    hidden_layer_sizes : array-like of int, default=(400,)
        Number of units of each hidden layer of the generator; `()` makes it linear. If
        there is a recognition network, it has these layers in reverse order.

    activation : {"identity", "relu", "sigmoid", "tanh"}, default="relu"
        Nonlinearity of the hidden layers.

    output_activation : {"auto", "identity", "sigmoid"}, default="identity"
        Nonlinearity of the output. "auto" is "sigmoid" for training data in [0, 1],
        else "identity". A sigmoid gives closer reconstructions of data many of which
        are 0 or 1, but a classifier often makes less of the codes.

    generator : {"convolutional"}, callable or torch.nn.Module, default=None
        What replaces the fully connected generator: "convolutional", transposed
        convolutions for images of `image_shape`, which ignore `hidden_layer_sizes`; a
        factory `(n_components, n_features) -> torch.nn.Module`, whose random torch
        operations follow `random_state`; or a module, which is copied with its weights.
        The three parameters above have no effect on a generator of your own. It gives
        data in the units of X, so that X should be scaled as it expects, and is used in
        evaluation mode, so that rows do not interact.

    image_shape : array-like of int or None, default=None
        Height, width and, if it is not 1, number of channels of an image, for the
        convolutional generator; height and width must be multiples of 4.

    max_iter : int, default=20
        Maximum number of epochs.

    learning_rate_init : float, default=0.01
        Learning rate of Adam, at the start. Deep generators need a smaller one.

    learning_rate : {"constant", "cosine"}, default="cosine"
        Whether the rate stays, or falls along half a cosine to zero at the last epoch
        of `fit`, so that all epochs should be taken (`tol=None`).

    batch_size : "auto" or int, default="auto"
        Number of rows of a batch in training. "auto" is 100, or for fewer than 2,000
        rows a twentieth of them, but at least 8. A stream has batches of its own. Codes
        do not depend on how many rows are inferred at once, beyond rounding.

    shuffle : bool, default=True
        Whether to visit the rows in a new order in each epoch.

    tol : float or None, default=None
        `fit` stops once the loss has not fallen by more than `tol` times its absolute
        value in any of `n_iter_no_change` successive epochs, and any schedule is
        finished. None: all epochs are taken.

    n_iter_no_change : int, default=5
        Number of epochs in one of which the loss has to fall.

    early_stopping : bool, default=False
        Whether to hold out rows, and to compare their loss in place of that of the
        training rows. `fit` then keeps the weights at which it was least, after any
        schedule. X must be an array.

    validation_fraction : float, default=0.1
        Share of the rows to hold out, in (0, 1), with `early_stopping`.

    warm_start : bool, default=False
        Whether `fit` continues from the result of the last call.

    device : str or torch.device, default="auto"
        Where to train, and to compute after that: "auto" is a CUDA GPU or else the CPU.

    random_state : int, RandomState instance or None, default=None
        Seed of the weights, of the order of rows and of the noise of inference, which
        depends on the seed and the row alone. An int gives the same results in every
        call. None takes fresh entropy at each `fit`.

    verbose : int or bool, default=False
        Whether to print a line per epoch.

    alpha : float, default=0.05
        Prior probability of the slab at the end of the schedule, in [0, 1]. A smaller
        value gives fewer active codes. 1 leaves no spike: the prior is normal, or
        half-normal with `positive_code`.

    alpha_init : float, default=1.0
        Start of the schedule of alpha, in [`alpha`, 1]. `alpha_init=alpha` keeps alpha
        constant.

    decay : float, default=0.1
        What each epoch subtracts from alpha, the first one included, until it reaches
        `alpha`. The default takes 10 epochs from 1 to 0.05.

    spike_scale : float, default=0.0
        Standard deviation of the spike, below `slab_scale`. 0 makes the spike a point
        mass, so that inactive codes are exactly zero; it needs `solver="proximal"`. The
        paper states a *variance* of 0.1, but its public code has a standard deviation
        of 0.1, which suits its step size.

    slab_scale : float, default=1.0
        Standard deviation of the slab.

    positive_code : bool, default=True
        Whether codes are non-negative. The slab, and the spike if it has a width, are
        then half-normal distributions.

    solver : {"gradient", "langevin", "proximal"}, default="proximal"
        How codes are inferred: by "gradient" steps, as in the paper; by the same steps
        with noise ("langevin"); or by quasi-Newton "proximal" steps, which reach a
        lower energy in less time and choose their own step size.

    n_steps : int, default=2
        Number of steps of inference in training. 0 trains an autoencoder, with
        `init="learned"`.

    transform_n_steps : int or None, default=10
        Number of steps of inference in `transform` and `score`. Few steps give codes
        that a classifier can use better; many steps give a lower energy, fewer active
        codes and closer reconstructions. 0 gives the codes of `init`,
        "learned" or "linear". None: as many as in training.

    transform_tol : float or None, default=None
        Proximal steps of `transform` and `score` stop for a row once one more would
        lower its energy by less than about `transform_tol` times the energy, and a
        warning says if `transform_n_steps` are not enough for it. None: all steps are
        taken.

    step_size : float, default=0.1
        The paper's s. A gradient step adds `step_size ** 2 / 2` times the gradient of
        the log posterior to the code; Langevin dynamics also adds `step_size` times
        standard normal noise. Proximal steps do not use it.

    init : {"zeros", "normal", "prior", "linear", "learned"}, default="learned"
        Where inference starts: at zero; at a draw from a standard normal distribution
        or from the prior; at the codes under the affine map that is nearest to the
        generator over the last codes of training ("linear"); or at those of an affine
        map that is trained with the generator ("learned"), after a proximal step of the
        prior. In the first epoch with "linear" there is no such map yet, and inference
        starts at zero. After fitting with either of the two a few steps are enough.
        With "learned", the first three quarters of all epochs take no steps:
        they train map and generator as an autoencoder, of whose codes the largest
        entries are kept: `n_nonzero_coefs`, or else 1.5 times the root of
        `n_components`, but not more than half of the number of features.

    skip_connection : bool, default=True
        Whether the generator contains a dictionary: a linear map is added to the
        network of `hidden_layer_sizes`, which then starts at zero and learns to correct
        what is linear. `components_` are the atoms. Training is faster, and hardly any
        component stays without use. Ignored with a `generator`.

    threshold : {"posterior"}, float or None, default=None
        Which entries `transform` sets to zero: those likelier to be in the spike, those
        whose absolute value is below a number, or none. Proximal steps under the slab
        alone then infer the others again.

    n_nonzero_coefs : int or None, default=None
        Largest number of active codes of a row, in training and in `transform`, which
        replaces `alpha` and the spike: the largest entries of each proximal step are
        kept, and the others are exactly zero. It needs `solver="proximal"`. None:
        `alpha` decides.

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

    validation_loss_curve_ : list of float
        Mean loss of the rows held out after each epoch, with `early_stopping`, at the
        codes that `transform` infers without `threshold`.

    n_active_curve_ : list of float
        Mean number of active codes of a row in each epoch: those that are likelier to
        be in the slab than in the spike, which are all under a normal prior.

    component_frequency_ : array of shape (n_components,)
        Share of the rows of the last epoch in which each component was active.

    sigma_ : float
        Standard deviation of the observation noise, in units of X.

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

    alpha_curve_ : list of float
        The value of alpha in each epoch.

    components_ : ndarray of shape (n_components, n_features)
        What a code of size one adds to the data by the linear part of a generator with
        `skip_connection`, or of a linear one, in units of X (before a sigmoid, if there
        is one). Other generators have none.

    start_ : torch.nn.Module or None
        The affine map of `init="learned"`, from data to codes before the threshold.

    code_moments_ : torch.nn.Module
        Means and covariances of the last codes of training and of what the generator
        made of them, for the affine map of `init="linear"`.

    See Also
    --------
    sklearn.decomposition.MiniBatchDictionaryLearning : Linear sparse codes.
    sklearn.decomposition.PCA : Linear dense codes.

    Notes
    -----
    `solver`, `n_steps`, `transform_n_steps`, `transform_tol`, `step_size`, `init`,
    `threshold`, `n_nonzero_coefs`, `positive_code`, `slab_scale`, `spike_scale` and
    `sparse_output` are read when `transform` runs, so `set_params` after `fit` takes
    effect. `alpha` and `sigma` are not: `alpha_` and `sigma_` are used. Fitted
    attributes show the state of training; to set one has no effect. Where gradient
    steps are too long, an error or a warning tells a step size that is stable.

    Nothing in a prior with an exact spike fixes the scale of the codes, because the
    weights can grow while the codes shrink. After each epoch the weights of the first
    layer are scaled, so that the output at z = 0 changes equally with each component;
    with `skip_connection`, so that the atoms have equal norms.

    References
    ----------
    .. [1] H. Li and T. Han, "Learning Sparse Latent Representations for Generator
       Model", arXiv:2209.09949, 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> X = load_digits().data[:200]
    >>> encoder = SparseGeneratorEncoder(20, random_state=0)
    >>> Z = encoder.fit_transform(X)
    >>> Z.shape, encoder.inverse_transform(Z).shape
    ((200, 20), (200, 64))
    >>> encoder.alpha_
    0.05
    """

    _signal_to_noise = 2400

    max_iter: int = parameter(COUNT, default=20)
    learning_rate_init: float = parameter(ANY_POSITIVE, default=0.01)
    learning_rate: LearningRate = parameter(one_of(LearningRate), default="cosine")
    tol: float | None = parameter(NON_NEGATIVE, None, default=None)
    alpha: float = parameter(SHARE, default=0.05)
    alpha_init: float = parameter(SHARE, default=1.0)
    decay: float = parameter(NON_NEGATIVE, default=0.1)
    spike_scale: float = parameter(ZERO, POSITIVE, default=0.0)
    slab_scale: float = parameter(POSITIVE, default=1.0)
    positive_code: bool = parameter("boolean", default=True)
    solver: SolverName = parameter(one_of(SolverName), default="proximal")
    n_steps: int = parameter(COUNT_OR_ZERO, default=2)
    transform_n_steps: int | None = parameter(COUNT_OR_ZERO, None, default=10)
    transform_tol: float | None = parameter(NON_NEGATIVE, None, default=None)
    step_size: float = parameter(POSITIVE, default=0.1)
    init: StartName = parameter(one_of(StartName), default="learned", recorded=True)
    skip_connection: bool = parameter("boolean", default=True, fixed=True)
    threshold: Threshold = parameter(
        one_of(Posterior), NON_NEGATIVE, None, default=None
    )
    n_nonzero_coefs: int | None = parameter(COUNT, None, default=None)
    sparse_output: bool = parameter("boolean", default=False)

    def _validate_params(self):
        super()._validate_params()
        check_limit(self)
        self._make_solver(1, None, None).check(self._make_prior(self.alpha))
        self._check_passes()

    def _check_passes(self):
        """Raise a ValueError if steps are left out where they are needed."""
        if self.n_steps == 0 and self.init != "learned":
            raise ValueError(
                "n_steps=0 trains an autoencoder, which needs init='learned'; set "
                "that, or a larger n_steps."
            )
        names = [n for n in ("n_steps", "transform_n_steps") if getattr(self, n) == 0]
        if names and self.solver != "proximal":
            raise ValueError(f"{names[0]}=0 needs solver='proximal'.")
        if names and self.init not in ("learned", "linear"):
            raise ValueError(
                f"transform_n_steps=0 leaves all codes where init={self.init!r} starts "
                "them; use init='learned' or 'linear', or a larger number."
            )

    def _make_schedule(self, last_epoch):
        # A limit takes the place of alpha, so that there is nothing to wait for.
        start = self.alpha_init if self.n_nonzero_coefs is None else self.alpha
        schedule = AlphaSchedule(float(start), float(self.alpha), float(self.decay))
        if self.init != "learned" or self.n_steps == 0:
            return schedule
        n_epochs = int(_PRETRAINING * last_epoch)
        return WithPretraining(n_epochs, last_epoch, schedule)

    def _maps_output(self, output_activation):
        # With a sigmoid that starts at the mean, nearly all codes stay in the spike.
        is_sigmoid = output_activation == "sigmoid"
        return not (is_sigmoid and self._make_prior(self.alpha).smooth)

    def _make_networks(self, state, output, like):
        networks = super()._make_networks(state, output, like)
        stiffest, start = StiffestDirection(state.n_components).to(like), None
        if state.fixed["init"] == "learned":
            mean, unit = output.offset, output.scale
            if state.scale.output_activation == "sigmoid":
                mean = mean.sigmoid()
            start = AffineMap(state.n_components, Rescale(-mean / unit, 1 / unit))
            start = start.to(like)
        return networks | {"_stiffest": stiffest, "start_": start}

    def _start_networks(self, state, data):
        if state.networks["start_"] is not None:
            state.networks["start_"].begin(state.networks["generator_"])

    def _make_memory(self, state, like):
        return CodeMoments().to(like)

    def _make_prior(self, alpha):
        # NumPy's small types would make the arithmetic less precise.
        numbers = alpha, self.slab_scale, self.spike_scale
        alpha, slab_scale, spike_scale = map(float, numbers)
        if self.n_nonzero_coefs is not None or spike_scale == 0:
            alpha = alpha if self.n_nonzero_coefs is None else 1.0
            slab = slab_scale, self.positive_code
            return PointSpikeSlab(alpha, *slab, self.n_nonzero_coefs)
        return SpikeSlab(alpha, slab_scale, spike_scale, self.positive_code)

    def _make_solver(self, n_steps, tol, stiffest):
        if self.solver == "proximal":
            return ProximalQuasiNewton(n_steps, tol, stiffest)
        is_noisy = self.solver == "langevin"
        return GradientSteps(n_steps, float(self.step_size), is_noisy, _REMEDIES)

    def _inference_model(self):
        n_steps, tol = self.transform_n_steps, self.transform_tol
        n_steps = self.n_steps if n_steps is None else n_steps
        model, refinement = self._model(n_steps, tol), None
        memory = model.start.memory
        if memory is not None and not memory.n_rows:
            raise ValueError(
                f"init={self.init!r} needs an encoder that was trained with it; use "
                "another init, or call fit again."
            )
        if self.threshold:
            proximal = ProximalQuasiNewton(n_steps, tol, self._stiffest)
            refinement = Refinement(self.threshold, proximal)
        return replace(model, refinement=refinement)

    def _training_model(self):
        state, model = self._state, self._model(self.n_steps, tol=None)
        if state.scheduled.get("_is_pretraining"):
            # Codes of one pass would be poor under alpha, so that a number limits them.
            slab = float(self.slab_scale), self.positive_code
            prior = PointSpikeSlab(1.0, *slab, self._n_started)
            one_pass = ProximalQuasiNewton(0, None, self._stiffest)
            model = replace(model, prior=prior, solver=one_pass)
        # A smooth prior fixes the scale of the codes, which a point mass does not.
        is_free = state.generator_is_ours and not model.prior.smooth
        return replace(
            model,
            seed=self._epoch_seed,
            memory=model.start.memory,
            stiffest=state.networks["_stiffest"],
            data_variance=state.scale.variance if is_free else None,
        )

    def _model(self, n_steps, tol):
        """Return a model whose solver takes so many steps, with this tolerance."""
        return Model(
            **self._model_parts(),
            prior=self._make_prior(self._state.scheduled["alpha_"]),
            solver=self._make_solver(n_steps, tol, self._stiffest),
            start=self._make_start(),
            alpha=float(self.alpha) if self.n_nonzero_coefs is None else 1.0,
        )

    def _make_start(self):
        state = self._state
        if self.init == "zeros":
            return Zeros(state.n_components)
        if self.init == "normal":
            return StandardNormal()
        if self.init == "prior":
            return PriorDraw()
        if self.init == "linear":
            return Linear(state.memory, state.sigma, state.n_components)
        if state.networks["start_"] is None:
            raise ValueError(
                "init='learned' needs an encoder whose training began with it; use "
                "another init, or call fit again with warm_start=False."
            )
        return Learned(state.networks["start_"], state.sigma, self._n_started)

    @property
    def _n_started(self):
        """Largest number of active codes of a learned start."""
        k = self._state.n_components
        # More than half as many numbers as features would hardly be a sparse code.
        n = min(math.ceil(1.5 * math.sqrt(k)), math.ceil(self.n_features_in_ / 2))
        return min(self.n_nonzero_coefs or n, k)

    @property
    def components_(self):
        check_is_fitted(self)
        atoms = atoms_of(self._state.networks["generator_"])
        if atoms is None:
            raise AttributeError(
                "The generator has no linear part, so that there is no components_; "
                "set skip_connection=True, or draw ComponentDisplay."
            )
        return to_array(atoms)

    @property
    def _stiffest(self):
        return self._state.networks["_stiffest"].under(self._likelihood())

    @in_default_modes
    def slab_proba(self, X: "Matrix") -> Array:
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
        return self._map_codes(
            X, self._make_prior(self._state.scheduled["alpha_"]).slab_proba
        )
