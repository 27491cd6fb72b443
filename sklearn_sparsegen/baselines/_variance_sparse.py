"""Sparse coding with variance regularisation."""

from numbers import Real

from sklearn.utils._param_validation import Interval

from .._docs import share_descriptions
from .._fit import PartialFitMixin
from .._posterior import PosteriorEncoder
from .._priors import Exponential


class VarianceHinge:
    """A data term, and a hinge on the standard deviation of each component.

    `weight * sum_j max(0, floor - sd_j)^2`, sd_j over the rows of the batch, which all
    bear an equal part of it.

    Parameters
    ----------
    term : data term
        Of the batch.

    weight, floor : float
        Of the hinge.
    """

    separable = False

    def __init__(self, term, weight, floor):
        self._term = term
        self._weight = weight
        self._floor = floor

    def _hinge(self, z, n):
        """Return the part of a row, and the gradient of all parts with respect to z."""
        centred = z - z.mean(0)
        # without the small number no slope is finite where all codes are equal
        deviation = (centred.square().mean(0) + 1e-12).sqrt()
        lack = (self._floor - deviation).clamp_min(0)
        value = self._weight * lack.square().sum() / n
        return value, -2 * self._weight * (lack / deviation) * centred / n

    def value(self, z):
        """Return the value of each row, shape (n,)."""
        value = self._term.value(z)
        return value + self._hinge(z, len(value))[0]

    def value_and_grad(self, z):
        """Return the value of each row and the gradient of their sum, (n, k)."""
        value, gradient = self._term.value_and_grad(z)
        hinge, hinge_gradient = self._hinge(z, len(value))
        return value + hinge, gradient + hinge_gradient


@share_descriptions
class VarianceSparseEncoder(PartialFitMixin, PosteriorEncoder):
    r"""Non-negative sparse codes, kept from collapsing by their variance.

    Codes minimise, by proximal steps through the generator [1]_,

    .. math:: \frac{|x - G(z)|^2}{2 \sigma^2} + r \sum_j z_j, \qquad z \ge 0,

    the energy of an exponential prior of rate r. In training, a hinge keeps the
    standard deviation of each component over the batch from falling,

    .. math:: \beta \sum_j \max(0, T - \mathrm{sd}(z_j))^2,

    as otherwise codes shrink while the weights of the generator grow. `transform`
    leaves it out, so that no row depends on another. The paper adds a second network
    that predicts codes; here they are inferred.

    This energy is no likelihood, because the hinge takes all rows of a batch together:
    there is no `score`. Features of a row that are NaN are not observed:
    `inverse_transform(transform(X))` fills them in.

    Parameters
    ----------
    rate : float, default=3.0
        The rate r of the prior: the price of a code of size one.

    variance_weight : float, default=300.0
        Weight :math:`\beta` of the hinge for a batch.

    min_scale : float, default=0.5
        Standard deviation T that the hinge asks for.

    n_steps : int, default=30
        Number of steps of inference, at most.

    tol : float or None, default=0.001
        `fit` stops once the loss has not fallen by more than `tol` times its absolute
        value in any of 5 successive epochs, and `transform` infers a row until
        a step would lower its energy by less than about that share. None: as many
        epochs and steps as `max_iter` and `n_steps` say, as inference in training does
        with its steps anyway.

    sparse_output : bool, default=False
        Whether `transform` returns a SciPy CSR array.

    Attributes
    ----------
    loss_curve_ : list of float
        Mean energy a row in each epoch, without the hinge.

    n_active_curve_ : list of float
        Mean number of active codes a row in each epoch: those above zero.

    See Also
    --------
    sklearn_sparsegen.SparseGeneratorEncoder : Sparse codes under a spike and slab.

    References
    ----------
    .. [1] K. Evtimova and Y. LeCun, "Sparse Coding with Multi-Layer Decoders using
       Variance Regularization", Transactions on Machine Learning Research, 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen.baselines import VarianceSparseEncoder
    >>> X = load_digits(return_X_y=True)[0][:200] / 16
    >>> encoder = VarianceSparseEncoder(
    ...     n_components=20, hidden_layer_sizes=(50,), tol=None, max_iter=5,
    ...     random_state=0,
    ... )
    >>> Z = encoder.fit_transform(X)
    >>> Z.shape
    (200, 20)
    >>> bool((Z >= 0).all())
    True
    """

    _parameter_constraints: dict = {
        **PosteriorEncoder._parameter_constraints,
        "rate": [Interval(Real, 0, None, closed="neither")],
        "variance_weight": [Interval(Real, 0, None, closed="left")],
        "min_scale": [Interval(Real, 0, None, closed="left")],
        "sparse_output": ["boolean"],
    }

    _curves = ("loss", "n_active")
    solver = "proximal"

    def __init__(
        self,
        n_components=200,
        *,
        rate=3.0,
        variance_weight=300.0,
        min_scale=0.5,
        sigma=0.3,
        hidden_layer_sizes=(400,),
        activation="relu",
        output_activation="auto",
        generator=None,
        image_shape=None,
        n_steps=30,
        max_iter=100,
        learning_rate_init=0.001,
        batch_size=100,
        shuffle=True,
        tol=1e-3,
        warm_start=False,
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
        self.rate = rate
        self.variance_weight = variance_weight
        self.min_scale = min_scale
        self.n_steps = n_steps
        self.sparse_output = sparse_output

    def _prior(self):
        return Exponential(self.rate)

    def _infer_training(self, rows, x, begin, infer, seed):
        return self._infer_at_once(x, begin, infer, seed)  # the hinge is of all rows

    def _training_term(self, term):
        return VarianceHinge(term, self.variance_weight, self.min_scale)
