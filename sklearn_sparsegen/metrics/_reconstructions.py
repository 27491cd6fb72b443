"""How close reconstructions are to the data."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .._data.validation import checked_rows
from .._utils.compat import Interval
from .._utils.parameters import ANY_POSITIVE, checks_parameters
from .._utils.types import ImageShape, Matrix


class _OddNumbers(Interval):
    """The odd numbers in an interval of integers."""

    def is_satisfied_by(self, value):
        return super().is_satisfied_by(value) and value % 2 == 1

    def __str__(self):
        return super().__str__().replace("an int", "an odd int")


def _checked_pair(X_true, X_pred, allow_nan):
    """Return data and reconstructions as float64 arrays of one shape, or raise."""
    X_true = checked_rows(
        X_true, "X_true", ensure_all_finite="allow-nan" if allow_nan else True
    )
    X_pred = checked_rows(X_pred, "X_pred")
    if X_true.shape != X_pred.shape:
        raise ValueError(
            f"X_true and X_pred must have one shape, got {X_true.shape} and "
            f"{X_pred.shape}."
        )
    return [
        (X.toarray() if sparse.issparse(X) else X).astype(np.float64, copy=False)
        for X in (X_true, X_pred)
    ]


@overload
def reconstruction_error(
    X_true: Matrix, X_pred: Matrix, *, pooled: Literal[False] = False
) -> NDArray[np.float64]: ...
@overload
def reconstruction_error(
    X_true: Matrix, X_pred: Matrix, *, pooled: Literal[True]
) -> float: ...
@overload
def reconstruction_error(
    X_true: Matrix, X_pred: Matrix, *, pooled: bool
) -> NDArray[np.float64] | float: ...
@checks_parameters({"pooled": ["boolean"]})
def reconstruction_error(
    X_true: Matrix, X_pred: Matrix, *, pooled: bool = False
) -> NDArray[np.float64] | float:
    """Mean squared error of the reconstruction of each row, or of all rows.

    Parameters
    ----------
    X_true : {array-like, sparse array} of shape (n_samples, n_features)
        Data. NaN means "not observed", and such entries are left out.

    X_pred : {array-like, sparse array} of shape (n_samples, n_features)
        Reconstructions of the data.

    pooled : bool, default=False
        Whether to take one mean over the observed entries of all rows, rather than one
        of each row.

    Returns
    -------
    error : ndarray of shape (n_samples,), or float if `pooled`
        Mean squared errors, in squared units of X.

    Raises
    ------
    ValueError
        If an array is invalid, if the shapes differ, or if there is nothing to take the
        mean of: a row of X_true, or all of it if `pooled`, that is not observed.

    See Also
    --------
    sklearn.metrics.mean_squared_error : The mean of each feature.

    Examples
    --------
    >>> from sklearn_sparsegen.metrics import reconstruction_error
    >>> X_true, X_pred = [[0.0, 2.0], [1.0, float("nan")]], [[1.0, 2.0], [1.0, 0.0]]
    >>> reconstruction_error(X_true, X_pred)
    array([0.5, 0. ])
    >>> round(reconstruction_error(X_true, X_pred, pooled=True), 3)
    0.333
    """
    X_true, X_pred = _checked_pair(X_true, X_pred, allow_nan=True)
    axis = None if pooled else 1
    missing = np.flatnonzero(np.isnan(X_true).all(axis=axis))
    if len(missing):
        place = "" if pooled else f" in row {missing[0]}"
        remedy = "" if pooled else "; leave such rows out, or pass pooled=True"
        raise ValueError(f"X_true has no observed value{place}{remedy}.")
    error = np.nanmean((X_true - X_pred) ** 2, axis=axis)
    return float(error) if pooled else error


@overload
def peak_signal_noise_ratio(
    X_true: Matrix,
    X_pred: Matrix,
    *,
    data_range: float = 1.0,
    pooled: Literal[False] = False,
) -> NDArray[np.float64]: ...
@overload
def peak_signal_noise_ratio(
    X_true: Matrix, X_pred: Matrix, *, data_range: float = 1.0, pooled: Literal[True]
) -> float: ...
@overload
def peak_signal_noise_ratio(
    X_true: Matrix, X_pred: Matrix, *, data_range: float = 1.0, pooled: bool
) -> NDArray[np.float64] | float: ...
@checks_parameters(
    {"data_range": [ANY_POSITIVE], "pooled": ["boolean"]},
)
def peak_signal_noise_ratio(
    X_true: Matrix, X_pred: Matrix, *, data_range: float = 1.0, pooled: bool = False
) -> NDArray[np.float64] | float:
    r"""Peak signal-to-noise ratio of each row, or of all rows.

    It is :math:`10 \log_{10}(R^2 / MSE)`, where MSE is the mean squared error. The
    paper's tables [1]_ have twice this figure, `pooled`.

    Parameters
    ----------
    X_true : {array-like, sparse array} of shape (n_samples, n_features)
        Data. NaN means "not observed", and such entries are left out.

    X_pred : {array-like, sparse array} of shape (n_samples, n_features)
        Reconstructions of the data.

    data_range : float, default=1.0
        R, the difference between the largest and the smallest value possible.

    pooled : bool, default=False
        Whether to take the ratio of the mean squared error over all rows, rather than
        one of each row.

    Returns
    -------
    psnr : ndarray of shape (n_samples,), or float if `pooled`
        Ratios in dB; infinite for an exact reconstruction.

    Raises
    ------
    ValueError
        If a parameter is invalid, and where :func:`reconstruction_error` raises it.

    References
    ----------
    .. [1] H. Li and T. Han, "Learning Sparse Latent Representations for Generator
       Model", arXiv:2209.09949, 2022.

    Examples
    --------
    >>> from sklearn_sparsegen.metrics import peak_signal_noise_ratio
    >>> X_true, X_pred = [[0.0, 1.0], [0.0, 1.0]], [[0.1, 0.9], [0.01, 0.99]]
    >>> peak_signal_noise_ratio(X_true, X_pred).round(6)
    array([20., 40.])
    >>> round(peak_signal_noise_ratio(X_true, X_pred, pooled=True), 2)
    22.97
    """
    error = reconstruction_error(X_true, X_pred, pooled=pooled)
    with np.errstate(divide="ignore"):
        psnr = 10 * np.log10(np.divide(data_range**2, error))
    return float(psnr) if pooled else psnr


@checks_parameters(
    {
        "image_shape": ["array-like"],
        "data_range": [ANY_POSITIVE],
        "win_size": [_OddNumbers(Integral, 3, None, closed="left")],
    },
)
def structural_similarity(
    X_true: Matrix,
    X_pred: Matrix,
    *,
    image_shape: ImageShape,
    data_range: float = 1.0,
    win_size: int = 7,
) -> NDArray[np.float64]:
    """Structural similarity index (SSIM) of each image and its reconstruction.

    It compares means, variances and covariances in a window at each place of an image
    [1]_, and takes the mean over all places where the window fits, and over the
    channels. scikit-image computes it.

    Parameters
    ----------
    X_true, X_pred : {array-like, sparse array} of shape (n_samples, n_features)
        Images, one per row in the order height, width, channel, and their
        reconstructions.

    image_shape : array-like of int
        Height, width and, if there are several, number of channels of an image.

    data_range : float, default=1.0
        The difference between the largest and the smallest value possible.

    win_size : int, default=7
        Height and width of the window in pixels, an odd number from 3 to the smaller
        of the height and the width of an image.

    Returns
    -------
    ssim : ndarray of shape (n_samples,)
        Indices in [-1, 1]; 1 is an exact reconstruction.

    Raises
    ------
    ImportError
        If scikit-image is not installed.

    ValueError
        If an array or a parameter is invalid, if the shapes differ, or if X_true has
        missing values, for which there is no such index.

    References
    ----------
    .. [1] Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image quality
       assessment: from error visibility to structural similarity", IEEE Transactions
       on Image Processing 13, 2004.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_sparsegen.metrics import structural_similarity
    >>> X = load_digits().data[:2]
    >>> X_pred = X + [[0], [1]]
    >>> structural_similarity(X, X_pred, image_shape=(8, 8), data_range=16).round(3)
    array([1.   , 0.987])
    """
    try:
        from skimage import metrics
    except ImportError as error:
        raise ImportError(
            "structural_similarity needs scikit-image: "
            "pip install 'sklearn-sparsegen[images]'."
        ) from error
    X_true, X_pred = _checked_pair(X_true, X_pred, allow_nan=False)
    shape = tuple(image_shape)
    if len(shape) not in (2, 3) or not all(
        isinstance(size, Integral) and size > 0 for size in shape
    ):
        raise ValueError(
            f"image_shape={shape} must hold two or three integers above 0."
        )
    if math.prod(shape) != X_true.shape[1]:
        raise ValueError(
            f"image_shape={shape} has {math.prod(shape)} values, but a row of X_true "
            f"has {X_true.shape[1]}."
        )
    if win_size > min(shape[:2]):
        raise ValueError(
            f"image_shape={shape} is smaller than the window, win_size={win_size}; "
            "pass a smaller win_size, an odd number from 3."
        )
    options: dict[str, Any] = {"data_range": data_range, "win_size": win_size}
    options["channel_axis"] = 2 if len(shape) == 3 else None
    images = (X.reshape(-1, *shape) for X in (X_true, X_pred))
    pairs = zip(*images, strict=True)
    return np.array([metrics.structural_similarity(*pair, **options) for pair in pairs])
