"""Conversion between NumPy arrays and tensors, their types and their devices.

Only this file converts data and codes. `_utils/random.py` draws noise with NumPy, and
places of rows are arrays. A tensor `like` has the type and the device of the result.
"""

import numpy as np
import torch
from scipy import sparse
from sklearn import get_config

from .._utils.precision import double
from .._utils.warn import first_of


def resolve_device(device):
    """Return the `torch.device` that `device` names; "auto" prefers a CUDA GPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # PyTorch rejects some devices only when a tensor is put there and read back.
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={str(device)!r} is not available on this machine; use 'auto' or "
            f"'cpu'. PyTorch says: {str(error).splitlines()[0]}"
        ) from error
    return torch.device(device)


def float_dtype(X):
    """Return the type of the codes of `X`: float64 for float64, else float32."""
    if isinstance(X, torch.Tensor):
        is_double = X.dtype == torch.float64
    else:
        is_double = X.dtype.kind == "f" and X.dtype.itemsize >= 8
    return np.dtype(np.float64 if is_double else np.float32)


def training_batch_size(batch_size, n_rows):
    """Return the rows of a batch in training; "auto" takes 20 steps per epoch or more.

    Few rows need small batches, so that the weights take enough steps, but no batch has
    fewer than 8 rows.
    """
    return min(max(n_rows // 20, 8), 100) if batch_size == "auto" else int(batch_size)


def to_tensor(array, like):
    """Copy an array or a tensor to a tensor."""
    if isinstance(array, torch.Tensor):
        return array.detach().to(like, copy=True)
    # A copy, because `torch.from_numpy` rejects negative strides and warns about
    # read-only memory, which joblib gives to its workers.
    dtype = np.float64 if like.dtype == torch.float64 else np.float32
    with np.errstate(over="ignore"):  # inference says which rows are not finite
        tensor = torch.from_numpy(np.array(array, dtype=dtype, order="C"))
    return tensor.to(like.device)


def empty_tensor(dtype, device):
    """Return a tensor without entries, to be used as `like`."""
    if torch.device(device).type == "mps" and np.dtype(dtype) == np.float64:
        raise ValueError("device='mps' has no float64; pass X as float32.")
    return torch.empty(0, dtype=getattr(torch, np.dtype(dtype).name), device=device)


def fill_masked(X):
    """Return X with NaN where a masked array is masked; other data as they are."""
    if not np.ma.is_masked(X):
        return X
    dtype = float_dtype(X) if X.dtype.kind in "biuf" else X.dtype
    return X.astype(dtype).filled(np.nan)


def layer_sizes(hidden_layer_sizes):
    """Return the parameter `hidden_layer_sizes` as a list of int, or raise."""
    try:
        sizes = np.ravel(hidden_layer_sizes)
    except ValueError:  # a ragged list
        sizes = np.array([0])
    is_list = isinstance(hidden_layer_sizes, list | tuple)
    has_bool = is_list and any(isinstance(size, bool) for size in hidden_layer_sizes)
    is_count = sizes.dtype.kind in "iu" and sizes.min(initial=1) > 0 and not has_bool
    if sizes.size and not is_count:
        raise ValueError(
            "hidden_layer_sizes must hold integers above 0, got "
            f"{hidden_layer_sizes!r}."
        )
    return sizes.astype(int).tolist()


def to_array(tensor):
    """Return `tensor` as a NumPy array."""
    return tensor.detach().cpu().numpy()


def as_numpy(X):
    """Return a tensor, or an array of another library, as a NumPy array.

    Anything else is returned as it is.
    """
    X = from_array_api(X)
    if not isinstance(X, torch.Tensor):
        return X
    # NumPy has no type of this kind.
    return to_array(X.float() if X.dtype == torch.bfloat16 else X)


def namespace(X):
    """Return the name of the library of an array, as scikit-learn dispatches on it."""
    if isinstance(X, torch.Tensor):
        return "torch"
    is_dispatched = get_config()["array_api_dispatch"] and not isinstance(X, np.ndarray)
    if not is_dispatched or not hasattr(X, "__array_namespace__"):
        return "numpy"
    return X.__array_namespace__().__name__


def from_array_api(X):
    """Return a tensor, or an array of another library than NumPy, as a tensor.

    Anything else is returned as it is.
    """
    if isinstance(X, torch.Tensor):
        return X.detach()
    return X if namespace(X) == "numpy" else torch.from_dlpack(X)


def result_device(X):
    """Return the device on which results for X are collected."""
    is_tensor = isinstance(X, torch.Tensor) and X.device.type != "mps"
    return X.device if is_tensor else torch.device("cpu")  # MPS has no float64


def to_library_of(X):
    """Return a function that makes of a tensor an array as X is, on its device."""
    if namespace(X) == "numpy":
        return to_array
    device = result_device(from_array_api(X))
    if isinstance(X, torch.Tensor):
        return lambda tensor: tensor.detach().to(device)
    from_dlpack = X.__array_namespace__().from_dlpack
    return lambda tensor: from_dlpack(tensor.detach().to(device))


class Collected:
    """Rows that come part by part, in one tensor, whose memory doubles when it is full.

    Parts that are kept, each a small piece of memory, would lie between the pieces that
    computations need and give back, so that these could not be joined again.
    """

    def __init__(self, n_rows=0):
        self.n_rows = 0
        self._expected = n_rows
        self._rows = None

    def append(self, part):
        """Add rows to the end."""
        end = self.n_rows + len(part)
        if self._rows is None:
            self._rows = part.new_empty(max(self._expected, end), *part.shape[1:])
        elif end > len(self._rows):
            full, size = self._rows, max(2 * len(self._rows), end)
            self._rows = part.new_empty(size, *part.shape[1:])
            self._rows[: self.n_rows] = full[: self.n_rows]
        self._rows[self.n_rows : end] = part
        self.n_rows = end

    def result(self):
        """Return all rows as a tensor."""
        is_full = self.n_rows == len(self._rows)
        return self._rows if is_full else self._rows[: self.n_rows].clone()


class CollectedSparse:
    """Rows that come part by part, as a CSR array."""

    def __init__(self, n_rows=0):
        self._counts, self._values, self._columns = (
            Collected(size) for size in (n_rows, 0, 0)
        )

    @property
    def n_rows(self):
        """Number of rows so far."""
        return self._counts.n_rows

    def append(self, part):
        """Add rows to the end."""
        is_active = part != 0
        self._n_columns = part.shape[1]
        self._counts.append(is_active.sum(1))
        self._values.append(part[is_active])
        self._columns.append(is_active.nonzero()[:, 1].int())

    def result(self):
        """Return all rows as a SciPy array."""
        ends = to_array(self._counts.result().cumsum(0))
        values, columns = self._values.result(), self._columns.result()
        content = to_array(values), to_array(columns), np.concatenate([[0], ends])
        return sparse.csr_array(content, shape=(self.n_rows, self._n_columns))


def nested_arrays(value):
    """Return nested dictionaries and lists with arrays in place of tensors."""
    return _nested(value, torch.Tensor, to_array)


def nested_tensors(value):
    """Return nested dictionaries and lists with copies of arrays as tensors."""
    return _nested(value, np.ndarray, lambda array: torch.from_numpy(array.copy()))


def _nested(value, kind, convert):
    if isinstance(value, kind):
        return convert(value)
    if isinstance(value, dict):
        return {key: _nested(item, kind, convert) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_nested(item, kind, convert) for item in value)
    return value


def finite(tensor, dtype, n_before=0, device="cpu"):
    """Return a tensor as float32 or float64, or raise unless all of it is finite.

    `n_before` is the number of rows before these.
    """
    result = tensor.detach().to(device)
    result = double(result) if dtype == np.float64 else result.float()
    (failed,) = (~result.isfinite().reshape(len(result), -1).all(1)).nonzero(
        as_tuple=True
    )
    if len(failed):
        rows = first_of((failed + n_before).tolist())
        raise ValueError(
            f"The result for rows {rows} is not finite; rescale X, because its values, "
            "or those of the codes, are too large."
        )
    return result
