"""RateDistortionDisplay: reconstruction against the number of active codes."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from .._utils.docs import describe_like
from .._utils.types import Matrix
from .._utils.warn import warn
from ._display import Display
from ._drawing import strip, table
from ._input import as_rows, generate, infer, last_step

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

# Parameters that limit the active codes of a row when `transform` runs.
_LIMITS = "n_nonzero_coefs", "transform_n_nonzero_coefs"
_LARGEST = "number of largest codes"  # where there is no such parameter
_COUNTS = 1, 2, 5, 10, 20, 50, 100


@dataclass(kw_only=True, eq=False, repr=False)
class RateDistortionDisplay(Display):
    """Error of the reconstructions against the number of active codes.

    Each point is one value of a parameter of `transform`, which makes the codes of one
    fitted estimator more or less sparse. Curves of several estimators share an axes if
    it is passed as `ax`; lower is better. An encoder that is fitted under a limit, or
    takes more steps in `transform`, does better than one that was fitted without.
    :meth:`from_estimator` makes the display.

    Parameters
    ----------
    values : array-like of shape (n_points,)
        Values of the parameter.

    n_active : array-like of shape (n_points,)
        Mean number of codes of a row that are not zero.

    error : array-like of shape (n_points,)
        Mean squared error, in squared units of X. Features of large units count most,
        so pass a table scaled, to the encoder rather than to a pipeline that scales it.

    param_name : str, default="n_nonzero_coefs"
        Name of the parameter.

    name : str, default=None
        Name of the estimator for the legend. None: no legend.

    Attributes
    ----------
    ax_ : Axes
        The axes of the curve.

    figure_ : Figure
        The figure that holds it.

    See Also
    --------
    TrainingDisplay : The history of a fit.

    Examples
    --------
    An encoder beside principal components, of which the largest are kept:

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_sparsegen import SparseGeneratorEncoder
    >>> from sklearn_sparsegen.plotting import RateDistortionDisplay
    >>> X = load_digits().data[:200]
    >>> encoder = SparseGeneratorEncoder(20, max_iter=35, tol=None, random_state=0)
    >>> draw = RateDistortionDisplay.from_estimator
    >>> display = draw(encoder.fit(X), X)
    >>> draw(PCA(20).fit(X), X, ax=display.ax_).frame()["n_active"].tolist()
    [1.0, 2.0, 5.0, 10.0, 20.0]
    """

    values: NDArray[Any]
    n_active: NDArray[Any]
    error: NDArray[Any]
    param_name: str = "n_nonzero_coefs"
    name: str | None = None

    _has_one_axes = True

    @classmethod
    @describe_like(Display.plot)
    def from_estimator(
        cls,
        estimator: Any,
        X: Matrix,
        *,
        param_name: str | None = None,
        param_range: Iterable[Any] | None = None,
        name: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Infer codes for each value of a parameter, and draw the errors.

        Parameters
        ----------
        estimator : fitted estimator
            Anything with `transform` and `inverse_transform`. It stays as it is: the
            parameter is set in a copy.

        X : {array-like, sparse array} of shape (n_samples, n_features)
            Data to reconstruct. Values that are not observed (NaN) do not count.

        param_name : str, default=None
            A parameter that is read when `transform` runs, such as "threshold", with
            the name that `set_params` takes. None takes the limit on the number of
            active codes (`n_nonzero_coefs` or, of scikit-learn's dictionaries,
            `transform_n_nonzero_coefs`). For estimators without such a limit, as `PCA`
            and the paper's solver are, the codes that are largest in absolute value are
            kept, and the others set to zero.

        param_range : array-like, default=None
            Values of the parameter. None takes 1, 2, 5, 10, 20, 50 and 100 codes, up to
            the number of components.

        name : str, default=None
            Name for the legend. None: the class of the last step.

        Raises
        ------
        ValueError
            If there is a `param_name` and no `param_range`.
        """
        if param_name is not None and param_range is None:
            raise ValueError(f"Pass param_range, the values of {param_name}.")
        rows, Z = as_rows(X), infer(estimator, X)
        step, prefix = last_step(estimator), ""
        if step is not estimator:
            prefix = f"{estimator.steps[-1][0]}__"
        if param_range is None:
            param_range = [count for count in _COUNTS if count <= Z.shape[1]]
        if param_name is None:
            names = [prefix + limit for limit in _LIMITS if _acts(step, limit)]
            param_name = names[0] if names else _LARGEST
        n_active, error = [], []
        fitted = copy.deepcopy(estimator)
        for value in param_range:
            if param_name == _LARGEST:
                codes = keep_largest(Z, value)
            else:
                codes = infer(fitted.set_params(**{param_name: value}), X)
            n_active.append(np.count_nonzero(codes, axis=1).mean())
            error.append(np.nanmean((rows - generate(fitted, codes)) ** 2))
        if len(set(zip(n_active, error, strict=True))) == 1 < len(error):
            warn(
                f"All values of {param_name} give the same codes of X; pass the name "
                "of a parameter that is read when `transform` runs."
            )
        return cls(
            values=np.asarray(param_range),
            n_active=np.array(n_active),
            error=np.array(error),
            param_name=param_name,
            name=type(step).__name__ if name is None else name,
        ).plot(ax)

    def _draw(self, ax):
        from matplotlib.ticker import LogLocator, NullLocator

        self.ax_ = ax
        order = np.argsort(self.n_active, kind="stable")
        points = np.asarray(self.n_active)[order], np.asarray(self.error)[order]
        ax.plot(*points, "o-", label=self.name)
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="active codes per row",
            ylabel="mean squared error",
            title="Reconstruction against sparsity (lower is better)",
        )
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        if self.name is not None:
            ax.legend(frameon=False)
        strip(ax)
        return 6.4, 4.2

    def frame(self) -> pandas.DataFrame:
        """Return the data of the display as a table.

        Returns
        -------
        frame : pandas.DataFrame
            A line for each point, with the columns `estimator`, `parameter`, `value`,
            `n_active` and `error`.
        """
        return table(
            estimator=np.array(self.name, dtype=object),
            parameter=np.array(self.param_name, dtype=object),
            value=self.values,
            n_active=self.n_active,
            error=self.error,
        )


def _acts(estimator, limit):
    """Return whether a parameter limits the codes that an estimator infers."""
    parameters = estimator.get_params()
    return (
        limit in parameters
        and parameters.get("solver", "proximal") == "proximal"
        and parameters.get("transform_algorithm", "omp") in ("omp", "lars")
    )


def keep_largest(Z, n):
    """Return codes of which all but the n largest of each row are zero."""
    kept = np.zeros_like(Z)
    places = np.argsort(-abs(Z), axis=1, kind="stable")[:, :n]
    np.put_along_axis(kept, places, np.take_along_axis(Z, places, axis=1), axis=1)
    return kept
