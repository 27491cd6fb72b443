"""What priors and likelihoods must have, so that others can be added.

Codes z have shape (n, k), or (1, k) for one code that all rows share; data x (n, D).
"""

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor


class Prior(Protocol):
    """A prior of the components of a code, which are independent."""

    @property
    def smooth(self) -> bool:
        """Whether -log p has a gradient everywhere; see `SmoothPrior`."""

    @property
    def nonnegative(self) -> bool:
        """Whether codes have no negative entries."""

    def energy(self, z: Tensor) -> Tensor:
        """Return -log p of each code, (n,), up to a constant."""

    def prox(self, v: Tensor, step: Any, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the proximal step from v, and its derivative by v, both (n, k).

        The step is the minimiser of `(u - v)**2 / (2 * step) + energy(u)`, or of a
        majoriser of this that is made at z. `step` has shape (n, 1) or (1, k), or is 0.
        The derivative may be modified.
        """

    def slab_proba(self, z: Tensor) -> Tensor:
        """Return the posterior probability that each entry is active, (n, k)."""

    def sample(self, draw: Callable[[], Tensor]) -> Tensor:
        """Return codes, made of new standard normal values that `draw()` returns."""


class SmoothPrior(Prior, Protocol):
    """A prior with a gradient everywhere, as the paper's solver needs it."""

    def weight(self, z: Tensor, out: Tensor | None = None) -> Tensor:
        """Return w(z), (n, k), where the gradient of -log p is z w(z)."""

    def redraw_spike(self, z: Tensor, draw: Callable[..., Tensor]) -> Tensor:
        """Return z with its inactive entries drawn anew from the spike."""


class SparsePrior(Prior, Protocol):
    """A prior with a spike, as `threshold` needs it."""

    def without_spike(self) -> Prior:
        """Return the prior of entries that are known to be active."""


class ScoredPrior(Prior, Protocol):
    """A prior with what Laplace's estimate of the likelihood needs."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log density, or the log mass, of each entry, (n, k)."""

    def weight(self, z: Tensor) -> Tensor:
        """Return w(z), (n, k), above 0: the gradient of -log p is taken as z w(z).

        It is its curvature as well, as far as the estimate is concerned.
        """

    def support(self, z: Tensor) -> Tensor:
        """Return which entries have a density, and not a mass, a bool tensor (n, k)."""


class Likelihood(Protocol):
    """The distribution of data given the output of the generator.

    Outputs of the generator have shape (n, D), or (1, D) for one code that all rows
    share. They must not be modified; gradients that are returned may be. Features of x
    that are NaN are not observed, and no method counts them. `init="linear"` takes the
    noise for normal.
    """

    @property
    def dispersion(self) -> float:
        """The number that divides the energy and its derivatives."""

    def mean(self, output: Tensor) -> Tensor:
        """Return the mean of the data."""

    def sample(self, output: Tensor, draw: Callable[..., Tensor]) -> Tensor:
        """Draw data; `draw(*shape)` returns standard normal values."""

    def energy(self, x: Tensor, output: Tensor) -> Tensor:
        """Return -log p(x | z) of each row, (n,), without its `constant`.

        Autograd may follow.
        """

    def scaled_gradient(
        self, x: Tensor, output: Tensor, missing: Tensor | None = None
    ) -> Tensor:
        """Return the energy's gradient by the output, times `dispersion`, (n, D).

        `missing` is `x.isnan()`, or None if every feature is observed. The caller can
        fold the division by the dispersion into a product that it computes anyway.
        """

    def energy_and_scaled_gradient(
        self, x: Tensor, output: Tensor, missing: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return both, faster than one by one, but not for autograd."""

    def scaled_curvature(self, output: Tensor) -> Tensor:
        """Return the energy's second derivative by the output, times `dispersion`.

        It must be above 0: where the derivative is not, an upper bound of the curvature
        takes its place.
        """

    def constant(self, n_features: Any) -> Any:
        """Return what -log p(x | z) of so many features has beyond the energy."""


class DataTerm(Protocol):
    """The data term of the energy of some rows, as a function of their codes."""

    @property
    def separable(self) -> bool:
        """Whether the value of a row does not depend on the codes of other rows."""

    def value(self, z: Tensor) -> Tensor:
        """Return the data term of each row, (n,)."""

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the data term of each row and its gradient, (n,) and (n, k)."""
