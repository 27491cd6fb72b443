"""Scorers of encoders, for scikit-learn's tools of model selection."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from .._data.validation import checked_rows
from .._utils.compat import validate_parameter_constraints
from .._utils.types import Matrix, ScorerName
from .._utils.warn import warn
from ._codes import (
    active_codes,
    class_information,
    dead_components,
    gini_sparsity,
    hoyer_sparsity,
)
from ._reconstructions import (
    peak_signal_noise_ratio,
    reconstruction_error,
    structural_similarity,
)

# The sign of a score whose name begins with "neg_" is changed, so that more is better.
_OF_RECONSTRUCTIONS: dict[str, Callable] = {
    "neg_mean_squared_error": reconstruction_error,
    "psnr": peak_signal_noise_ratio,
    "ssim": structural_similarity,
}
_OF_CODES: dict[str, Callable] = {
    "gini_sparsity": gini_sparsity,
    "hoyer_sparsity": hoyer_sparsity,
    "neg_active_codes": active_codes,
    "neg_dead_components": dead_components,
}
_OF_CLASSES: dict[str, Callable] = {"class_information": class_information}
_FUNCTIONS = _OF_RECONSTRUCTIONS | _OF_CODES | _OF_CLASSES


class _EncoderScorer:
    """A function of an estimator, X and y that gives a number; more is better."""

    def __init__(self, name, options):
        self._name, self._options = name, options

    def __call__(self, estimator: Any, X: Matrix, y: ArrayLike | None = None) -> float:
        values = _FUNCTIONS[self._name](*self._inputs(estimator, X, y), **self._options)
        if self._name in ("psnr", "ssim") and "data_range" not in self._options:
            self._check_range(X)
        is_list = self._name == "neg_dead_components"
        score = len(values) if is_list else np.mean(values)
        return float(-score if self._name.startswith("neg_") else score)

    def _inputs(self, estimator, X, y):
        """Return what the function takes: X and X_hat, or codes, or codes and y."""
        needs = ["transform"]
        if self._name in _OF_RECONSTRUCTIONS:
            needs.append("inverse_transform")
        for method in needs:
            if not hasattr(estimator, method):
                raise TypeError(
                    f"{self!r} needs an estimator with the method {method}, which "
                    f"this {type(estimator).__name__} does not have. All steps of a "
                    "pipeline need it; if the last is a classifier, score "
                    "pipeline[:-1]."
                )
        if self._name in _OF_CLASSES and y is None:
            raise ValueError(
                f"{self!r} needs y, the classes of the rows; pass y to the search or "
                "to cross_validate."
            )
        Z = estimator.transform(X)
        if self._name in _OF_RECONSTRUCTIONS:
            return X, estimator.inverse_transform(Z)
        return (Z, y) if self._name in _OF_CLASSES else (Z,)

    def _check_range(self, X):
        """Warn if the values of X are further apart than 1, the default range."""
        X = checked_rows(X, "X", ensure_all_finite="allow-nan")
        if sparse.issparse(X):
            X = np.append(X.data, 0)
        low, high = np.nanmin(X), np.nanmax(X)
        if high - low > 1 + 1e-6:  # scaled data may exceed 1 by their rounding
            warn(
                f"{self!r} takes the range of the data to be 1, but X has values from "
                f"{low:.3g} to {high:.3g}; pass data_range or, for data without a "
                "range, score 'neg_mean_squared_error'."
            )

    def _accept_sample_weight(self):
        # scikit-learn calls this where a search is given weights, and says that they
        # have no effect on this score.
        return False

    def __repr__(self):
        options = "".join(f", {key}={value!r}" for key, value in self._options.items())
        return f"make_encoder_scorer({self._name!r}{options})"


def make_encoder_scorer(name: ScorerName, **options: Any) -> _EncoderScorer:
    """Make a scorer of encoders, for `GridSearchCV`, `cross_validate` and the like.

    A scorer is called as `scorer(estimator, X, y=None)` and infers the codes of X once
    by `transform`. Scores that are about reconstructions also call `inverse_transform`.
    The estimator is an encoder, another transformer that has these methods, such as
    `PCA`, or a pipeline of such steps. The reconstruction by a pipeline is in units of
    the data that the pipeline takes.

    Parameters
    ----------
    name : str
        What to score, by which function:

        - "neg_mean_squared_error": minus the mean of :func:`reconstruction_error`
        - "psnr": the mean of :func:`peak_signal_noise_ratio`
        - "ssim": the mean of :func:`structural_similarity`
        - "gini_sparsity": the mean of :func:`gini_sparsity`
        - "hoyer_sparsity": the mean of :func:`hoyer_sparsity`
        - "neg_active_codes": minus the mean of :func:`active_codes`
        - "neg_dead_components": minus the number of :func:`dead_components`
        - "class_information": the mean of :func:`class_information`, which needs y

    **options : dict
        Keyword arguments of the function. Without `data_range`, "psnr" and "ssim" warn
        of data whose values are further apart than 1. With `pooled=True`, "psnr" is the
        ratio of the mean error over all rows, as in tables of papers, in place of the
        mean of the ratios of the rows.

    Returns
    -------
    scorer : callable
        The scorer, which can be pickled. More is better.

    Raises
    ------
    TypeError
        If an option is unknown or one is missing.

    ValueError
        If the name is unknown, or an option is invalid.

    See Also
    --------
    sklearn.metrics.make_scorer : Scorers of predictions.

    Notes
    -----
    A scorer takes no weights of rows. The log-likelihood needs no scorer: it is the
    `score` of most encoders, which searches use by default.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_sparsegen.metrics import make_encoder_scorer
    >>> scoring = {
    ...     "psnr": make_encoder_scorer("psnr", data_range=16),
    ...     "active": make_encoder_scorer("neg_active_codes"),
    ... }
    >>> grid = {"n_components": [2, 8]}
    >>> search = GridSearchCV(PCA(), grid, scoring=scoring, refit="psnr")
    >>> search.fit(load_digits().data).best_params_
    {'n_components': 8}
    >>> scoring["psnr"]
    make_encoder_scorer('psnr', data_range=16)
    """
    if not isinstance(name, str) or name not in _FUNCTIONS:
        raise ValueError(f"name must be one of {sorted(_FUNCTIONS)}, got {name!r}.")
    function = _FUNCTIONS[name]
    parameters = signature(function).parameters.values()
    inputs = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    try:
        signature(function).bind(*inputs, **options)
    except TypeError as error:
        known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        raise TypeError(f"{error}; the options of {name!r} are {known}.") from None
    constraints = getattr(function, "_skl_parameter_constraints", {})
    validate_parameter_constraints(constraints, options, function.__name__)
    return _EncoderScorer(name, options)
