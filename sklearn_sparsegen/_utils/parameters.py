"""Constructor parameters of encoders: name, default and valid values in one line."""

import dataclasses
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, TypeVar, dataclass_transform, get_args

from sklearn.utils import check_scalar

from .compat import Interval, Options, StrOptions, validate_params

_T = TypeVar("_T", bound=type)
_F = TypeVar("_F", bound=Callable)


class _NoFlag:
    """Mixin of constraints on numbers that True and False, 1 and 0, do not satisfy."""

    def is_satisfied_by(self, value):
        return not isinstance(value, bool) and super().is_satisfied_by(value)


class _Numbers(_NoFlag, Interval):
    """An interval of numbers."""


class _OneNumber(_NoFlag, Options):
    """A single number."""


ZERO = _OneNumber(Real, {0.0})
COUNT = _Numbers(Integral, 1, 2**31 - 1, closed="both")
COUNT_OR_ZERO = _Numbers(Integral, 0, 2**31 - 1, closed="both")
# The squares of numbers within these bounds, and their inverses, fit into float32.
POSITIVE = _Numbers(Real, 1e-9, 1e9, closed="both")
NON_NEGATIVE = _Numbers(Real, 0, 1e9, closed="both")
ANY_POSITIVE = _Numbers(Real, 0, None, closed="neither")
SHARE = _Numbers(Real, 0, 1, closed="both")
OPEN_SHARE = _Numbers(Real, 0, 1, closed="neither")


def checks_parameters(constraints: dict[str, list]) -> Callable[[_F], _F]:
    """Return a decorator that checks the arguments of a function."""
    return validate_params(constraints, prefer_skip_nested_validation=True)


def check_count(value, name):
    """Raise an error unless an argument is an integer above 0."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value}.")
    check_scalar(value, name, Integral, min_val=1)


def check_limit(encoder):
    """Raise a ValueError if `n_nonzero_coefs` is above the number of components."""
    limit, k = encoder.n_nonzero_coefs, encoder.n_components
    if limit is not None and limit > k:
        raise ValueError(f"n_nonzero_coefs={limit} must not be above n_components={k}.")


def one_of(texts):
    """Return the constraint of a parameter to the texts of a `Literal`."""
    return StrOptions(set(get_args(texts)))


def parameter(
    *constraints: object,
    default: Any,
    kw_only: bool = True,
    fixed: bool = False,
    recorded: bool = False,
) -> Any:
    """Declare a parameter with its default and scikit-learn's constraints.

    `fixed` parameters act where training starts, and cannot change where it continues.
    Those that are `recorded` act there too, but can change.
    """
    metadata = {"constraints": list(constraints), "fixed": fixed}
    metadata["recorded"] = fixed or recorded
    return dataclasses.field(default=default, metadata=metadata, kw_only=kw_only)


@dataclass_transform(
    eq_default=False, kw_only_default=True, field_specifiers=(parameter,)
)
def parameters(cls: _T) -> _T:
    """Write the constructor of an encoder, and the constraints that `fit` checks.

    The class becomes a dataclass; scikit-learn provides its comparison and its text
    form. The parameters of the base class come first.
    """
    encoder: Any = dataclasses.dataclass(eq=False, repr=False)(cls)
    fields = dataclasses.fields(encoder)
    encoder._parameter_constraints = {f.name: f.metadata["constraints"] for f in fields}
    encoder._fixed_parameters = [f.name for f in fields if f.metadata["fixed"]]
    encoder._recorded_parameters = [f.name for f in fields if f.metadata["recorded"]]
    return encoder
