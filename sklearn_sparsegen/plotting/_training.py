"""TrainingDisplay: the history of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from .._utils.docs import describe_like
from ._display import Display
from ._drawing import strip
from ._input import last_step

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_WHY_IT_RISES = (
    "While alpha falls (shaded), an active code costs more,\n"
    "so the loss may rise although the weights get better."
)


@dataclass(kw_only=True, eq=False, repr=False)
class TrainingDisplay(Display):
    r"""Loss, alpha and number of active codes in each epoch of a fit.

    The loss is the energy :math:`|x - G(z)|^2 / (2 \sigma^2) - \log p(z)`, in which an
    active code costs :math:`\log((1 - \alpha) / \alpha)` nats. Training lowers alpha in
    each epoch until it reaches its end, so that codes get dearer and the loss may rise
    although the weights get better. These epochs are shaded; compare losses after them.
    Encoders without alpha have their loss and, where it is known, the number of active
    codes alone. :meth:`from_estimator` makes the display.

    Parameters
    ----------
    loss : array-like of shape (n_epochs,)
        Mean loss of a row in each epoch.

    alpha : array-like of shape (n_epochs,), default=None
        The value of alpha in each epoch. None: there is no alpha.

    n_active : array-like of shape (n_epochs,), default=None
        Mean number of active codes of a row in each epoch. None: it is not known.

    validation_loss : array-like, default=None
        Mean loss of rows held out, in the last epochs. None: no rows were held out.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_curves,)
        The axes of the loss and, where there are any, of alpha and of active codes.

    figure_ : Figure
        The figure that holds them.

    See Also
    --------
    RateDistortionDisplay : Reconstruction against the number of active codes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> from sklearn_sparsegen.plotting import TrainingDisplay
    >>> X = load_digits().data[:100]
    >>> encoder = SparseGeneratorEncoder(10, alpha=0.75, max_iter=5).fit(X)
    >>> TrainingDisplay.from_estimator(encoder).frame()["alpha"].tolist()
    [0.9, 0.8, 0.75, 0.75, 0.75]
    """

    loss: Sequence[float] | NDArray[Any]
    alpha: Sequence[float] | NDArray[Any] | None = None
    n_active: Sequence[float] | NDArray[Any] | None = None
    validation_loss: Sequence[float] | NDArray[Any] | None = None

    @classmethod
    @describe_like(Display.plot)
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> Self:
        """Draw the history of a fitted encoder.

        Parameters
        ----------
        estimator : fitted encoder, or pipeline that ends in one
            Anything with `loss_curve_`.

        Raises
        ------
        ValueError
            If the encoder has no history.
        """
        encoder = last_step(estimator)
        loss = getattr(encoder, "loss_curve_", None)
        if not loss:
            raise ValueError(
                f"{type(encoder).__name__} has no loss_curve_; fit it, or pass an "
                "encoder that is trained in epochs."
            )
        is_limited = getattr(encoder, "n_nonzero_coefs", None) is not None
        return cls(
            loss=loss,
            # A limit takes the place of alpha.
            alpha=None if is_limited else getattr(encoder, "alpha_curve_", None),
            n_active=getattr(encoder, "n_active_curve_", None),
            validation_loss=getattr(encoder, "validation_loss_curve_", None),
        ).plot(ax)

    def _draw(self, area):
        curves = {
            "loss": self.loss,
            "alpha": self.alpha,
            "active codes\nper row": self.n_active,
        }
        curves = {name: curve for name, curve in curves.items() if curve is not None}
        heights = [2, *[1] * (len(curves) - 1)]
        self.axes_ = area.subplots(
            len(curves),
            sharex=True,
            squeeze=False,
            gridspec_kw={"height_ratios": heights},
        )[:, 0]
        for ax, (name, curve) in zip(self.axes_, curves.items(), strict=True):
            ax.plot(self._epochs(curve), curve, color="C0", label="training rows")
            ax.set_ylabel(name)
            strip(ax)
        loss_ax = self.axes_[0]
        if self.validation_loss is not None:
            epochs = self._epochs(self.validation_loss)
            loss_ax.plot(epochs, self.validation_loss, color="C1", label="held out")
            loss_ax.legend(fontsize="small", frameon=False)
        self.axes_[-1].set_xlabel("epoch")
        self.axes_[-1].xaxis.get_major_locator().set_params(integer=True)
        alpha = [] if self.alpha is None else self.alpha
        n_falling = int(np.count_nonzero(np.diff(alpha)))
        if n_falling:
            for ax in self.axes_:
                ax.axvspan(1, 1 + n_falling, color="0.93", zorder=0)
            loss_ax.set_title(_WHY_IT_RISES, fontsize="small", loc="left")
        area.suptitle("Training")
        return 6.4, 0.6 + 1.3 * sum(heights)

    def frame(self) -> pandas.DataFrame:
        """Return the data of the display as a table.

        Returns
        -------
        frame : pandas.DataFrame
            A line for each epoch, with the columns `epoch`, `loss` and, where there are
            any, `alpha`, `n_active` and `validation_loss`.
        """
        import pandas as pd

        frame = pd.DataFrame({"epoch": self._epochs(self.loss)})
        for name in ("loss", "alpha", "n_active", "validation_loss"):
            curve = getattr(self, name)
            if curve is not None:
                frame[name] = pd.Series(curve, index=self._epochs(curve) - 1)
        return frame

    def _epochs(self, curve):
        """Return the epochs, from 1, of a curve, which may begin after the first."""
        n_epochs = len(self.loss)
        return np.arange(n_epochs - len(curve), n_epochs) + 1
