"""Constructor parameters of encoders: name, default and valid values in one line."""

import dataclasses
from numbers import Integral, Real

from sklearn.utils._param_validation import Interval

COUNT = Interval(Integral, 1, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")
NON_NEGATIVE = Interval(Real, 0, None, closed="left")
SHARE = Interval(Real, 0, 1, closed="both")


def parameter(default, *constraints, kw_only=True):
    """Declare a parameter with its default and scikit-learn's constraints."""
    metadata = {"constraints": list(constraints)}
    return dataclasses.field(default=default, metadata=metadata, kw_only=kw_only)


def parameters(cls):
    """Write the constructor of an encoder, and the constraints that `fit` checks.

    The class becomes a dataclass; scikit-learn provides its comparison and its text
    form. The parameters of the base class come first.
    """
    cls = dataclasses.dataclass(eq=False, repr=False)(cls)
    cls._parameter_constraints = {
        field.name: field.metadata["constraints"] for field in dataclasses.fields(cls)
    }
    return cls
