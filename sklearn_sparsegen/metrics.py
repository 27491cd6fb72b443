"""How good and how sparse codes are."""

import numpy as np
from scipy import sparse


def peak_signal_noise_ratio(X_true, X_pred, *, data_range=1.0):
    r"""Peak signal-to-noise ratio of each row, :math:`10 \log_{10}(R^2 / MSE)`.

    The paper's tables have twice this figure, of the mean squared error over all rows.

    Parameters
    ----------
    X_true, X_pred : array-like of shape (n_samples, n_features)
        Data, and their reconstructions.

    data_range : float, default=1.0
        R, the difference between the largest and the smallest value possible.

    Returns
    -------
    psnr : ndarray of shape (n_samples,)
        Ratios in dB; infinite for an exact reconstruction.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> peak_signal_noise_ratio([[0.0, 1.0]], [[0.1, 0.9]]).round(6)
    array([20.])
    """
    X_true, X_pred = np.asarray(X_true, dtype=float), np.asarray(X_pred, dtype=float)
    if X_true.shape != X_pred.shape:
        raise ValueError(
            f"X_true and X_pred must have one shape, got {X_true.shape} and "
            f"{X_pred.shape}."
        )
    with np.errstate(divide="ignore"):
        return 10 * np.log10(data_range**2 / ((X_true - X_pred) ** 2).mean(axis=1))


def active_codes(Z, *, threshold=0.2):
    """Count the active codes of each row.

    Parameters
    ----------
    Z : {array-like, sparse array} of shape (n_samples, n_components)
        Codes.

    threshold : float, default=0.2
        An entry is active if its absolute value is above this; 0.2 is the paper's.

    Returns
    -------
    counts : ndarray of shape (n_samples,)
        Number of active codes of each row.

    Examples
    --------
    >>> active_codes([[0.0, -1.3, 0.1], [0.5, 0.4, 0.0]])
    array([1, 2])
    """
    Z = Z if sparse.issparse(Z) else np.asarray(Z)
    return np.asarray((abs(Z) > threshold).sum(axis=1)).ravel()
