"""How sparse codes are, and what they tell of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import assert_all_finite, column_or_1d, gen_batches
from sklearn.utils.multiclass import check_classification_targets

from .._data.arrays import as_numpy
from .._data.validation import checked_rows
from .._utils.parameters import NON_NEGATIVE, checks_parameters
from .._utils.types import Matrix

_PIECE_ROWS = 1000  # rows of sparse codes that become dense at once

_with_threshold = checks_parameters({"threshold": [NON_NEGATIVE]})


def _active(Z, threshold):
    """Return which entries of codes are active, in a CSR array if Z is sparse."""
    return abs(checked_rows(Z, "Z")) > threshold


def _class_counts(Z, y, threshold):
    """Count the rows of each class: those where a component is active, and all.

    Their shapes are (n_classes, n_components) and (n_classes, 1).
    """
    active = _active(Z, threshold)
    y = column_or_1d(as_numpy(y))
    if len(y) != active.shape[0]:
        raise ValueError(f"y has {len(y)} labels, but Z has {active.shape[0]} rows.")
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    y = LabelEncoder().fit_transform(y)
    n_rows = np.bincount(y)
    parts = (active[y == label] for label in range(len(n_rows)))
    return np.stack([part.sum(axis=0) for part in parts]), n_rows[:, None]


def _sparsity(Z, measure):
    """Return a measure of each row of codes, in [0, 1]; it is 1 where all are zero.

    `measure` is a function of absolute values of which the largest in each row is 1, so
    that no sum of squares overflows. Sparse codes become dense in pieces.
    """
    Z = checked_rows(Z, "Z")
    values = np.ones(Z.shape[0])
    for piece in gen_batches(Z.shape[0], _PIECE_ROWS):
        rows = Z[piece].toarray() if sparse.issparse(Z) else Z[piece]
        sizes = np.abs(rows.astype(np.float64))
        is_coded = sizes.any(axis=1)
        sizes = sizes[is_coded]
        relative = sizes / sizes.max(axis=1, keepdims=True)
        values[piece][is_coded] = measure(relative).clip(0, 1)
    return values


@_with_threshold
def active_codes(Z: Matrix, *, threshold: float = 0.2) -> NDArray[np.intp]:
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

    Raises
    ------
    ValueError
        If Z or the threshold is invalid.

    Examples
    --------
    >>> from sklearn_sparsegen.metrics import active_codes
    >>> active_codes([[0.0, -1.3, 0.1], [0.5, 0.4, 0.0]])
    array([1, 2])
    """
    return _active(Z, threshold).sum(axis=1)


@_with_threshold
def dead_components(Z: Matrix, *, threshold: float = 0.2) -> NDArray[np.intp]:
    """Find the components that are active in no row.

    Parameters
    ----------
    Z : {array-like, sparse array} of shape (n_samples, n_components)
        Codes.

    threshold : float, default=0.2
        An entry is active if its absolute value is above this; 0.2 is the paper's.

    Returns
    -------
    components : ndarray of shape (n_dead,)
        Indices of the components, in ascending order. Their number is its length.

    Raises
    ------
    ValueError
        If Z or the threshold is invalid.

    Examples
    --------
    >>> from sklearn_sparsegen.metrics import dead_components
    >>> dead_components([[0.0, -1.3, 0.1], [0.5, 0.4, 0.0]])
    array([2])
    """
    return np.flatnonzero(_active(Z, threshold).sum(axis=0) == 0)


def hoyer_sparsity(Z: Matrix) -> NDArray[np.float64]:
    r"""Hoyer sparsity of each row.

    For a row z of k components it is

    .. math:: \frac{\sqrt k - \|z\|_1 / \|z\|_2}{\sqrt k - 1},

    0 if all absolute values are equal, and 1 if only one entry is not zero [1]_. It
    does not change when the row is multiplied by a number.

    Parameters
    ----------
    Z : {array-like, sparse array} of shape (n_samples, n_components)
        Codes.

    Returns
    -------
    sparsity : ndarray of shape (n_samples,)
        Sparsity in [0, 1]. It is 1 for a row of zeros, and 0 for any other row if there
        is only one component.

    Raises
    ------
    ValueError
        If Z is invalid.

    References
    ----------
    .. [1] P. O. Hoyer, "Non-negative matrix factorization with sparseness constraints",
       Journal of Machine Learning Research 5, 2004.

    Examples
    --------
    >>> from sklearn_sparsegen.metrics import hoyer_sparsity
    >>> hoyer_sparsity([[1, 1, 1, 1], [0, -3, 0, 0], [0, 3, 4, 0]])
    array([0. , 1. , 0.6])
    """

    def measure(sizes):
        root = np.sqrt(sizes.shape[1])
        if root == 1:  # a row of one component is a row of equal values
            return np.zeros(len(sizes))
        ratios = sizes.sum(axis=1) / np.sqrt((sizes**2).sum(axis=1))
        return (root - ratios) / (root - 1)

    return _sparsity(Z, measure)


def gini_sparsity(Z: Matrix) -> NDArray[np.float64]:
    r"""Gini index of the absolute values of each row.

    For absolute values of k components in ascending order it is

    .. math:: 1 - 2 \sum_{i=1}^k \frac{|z|_{(i)}}{\|z\|_1} \frac{k - i + 1/2}{k},

    0 if all are equal, and 1 - 1/k if only one is not zero [1]_. It does not change
    when the row is multiplied by a number.

    Parameters
    ----------
    Z : {array-like, sparse array} of shape (n_samples, n_components)
        Codes.

    Returns
    -------
    sparsity : ndarray of shape (n_samples,)
        Sparsity in [0, 1]. It is 1 for a row of zeros, and 0 for any other row if there
        is only one component.

    Raises
    ------
    ValueError
        If Z is invalid.

    References
    ----------
    .. [1] N. Hurley and S. Rickard, "Comparing measures of sparsity", IEEE Transactions
       on Information Theory 55, 2009.

    Examples
    --------
    >>> from sklearn_sparsegen.metrics import gini_sparsity
    >>> gini_sparsity([[1, 1, 1, 1], [0, -3, 0, 0], [0, 1, 3, 0]])
    array([0.   , 0.75 , 0.625])
    """

    def measure(sizes):
        k = sizes.shape[1]
        shares = np.sort(sizes, axis=1) / sizes.sum(axis=1, keepdims=True)
        return 1 - 2 * shares @ ((k - np.arange(1, k + 1) + 0.5) / k)

    return _sparsity(Z, measure)


@_with_threshold
def class_activation(
    Z: Matrix, y: ArrayLike, *, threshold: float = 0.2
) -> NDArray[np.float64]:
    """Share of the rows of each class in which each component is active.

    The heat maps of the paper's Figures 5 and 10 [1]_ show it.

    Parameters
    ----------
    Z : {array-like, sparse array} of shape (n_samples, n_components)
        Codes.

    y : array-like of shape (n_samples,)
        Classes of the rows.

    threshold : float, default=0.2
        An entry is active if its absolute value is above this; 0.2 is the paper's.

    Returns
    -------
    shares : ndarray of shape (n_classes, n_components)
        Shares in [0, 1], for the classes in the order of `numpy.unique(y)`.

    Raises
    ------
    ValueError
        If Z, y or the threshold is invalid, or if y has another length than Z.

    References
    ----------
    .. [1] H. Li and T. Han, "Learning Sparse Latent Representations for Generator
       Model", arXiv:2209.09949, 2022.

    Examples
    --------
    >>> from sklearn_sparsegen.metrics import class_activation
    >>> Z = [[0.9, 0.0], [0.7, 0.8], [0.0, -1.2]]
    >>> class_activation(Z, ["shoe", "shoe", "bag"])
    array([[0. , 1. ],
           [1. , 0.5]])
    """
    n_active, n_rows = _class_counts(Z, y, threshold)
    return n_active / n_rows


@_with_threshold
def class_information(
    Z: Matrix, y: ArrayLike, *, threshold: float = 0.2
) -> NDArray[np.float64]:
    """Mutual information of the class and the activity of each component.

    It is the number of nats that one learns about the class of a row, on average, from
    being told whether the component is active. The estimate takes shares of rows as
    probabilities, so that it is above zero, by chance, for few rows even if codes and
    classes are independent.

    Parameters
    ----------
    Z : {array-like, sparse array} of shape (n_samples, n_components)
        Codes.

    y : array-like of shape (n_samples,)
        Classes of the rows.

    threshold : float, default=0.2
        An entry is active if its absolute value is above this; 0.2 is the paper's.

    Returns
    -------
    information : ndarray of shape (n_components,)
        Mutual information in nats, from 0 to log 2.

    Raises
    ------
    ValueError
        If Z, y or the threshold is invalid, or if y has another length than Z.

    See Also
    --------
    class_activation : The shares of active rows, of which this is a summary.
    sklearn.metrics.mutual_info_score : The estimate, of two sets of labels.

    Examples
    --------
    >>> from sklearn_sparsegen.metrics import class_information
    >>> Z = [[0.9, 0.0], [0.7, 0.8], [0.0, -1.2], [0.0, 0.0]]
    >>> class_information(Z, ["shoe", "shoe", "bag", "bag"]).round(3)
    array([0.693, 0.   ])
    """
    n_active, n_rows = _class_counts(Z, y, threshold)
    tables = np.stack([n_active, n_rows - n_active], axis=-1).swapaxes(0, 1)
    return np.array([mutual_info_score(None, None, contingency=t) for t in tables])
