"""The private names of scikit-learn and PyTorch that the library needs, in one place.

A new version of them can change these without notice.
"""

import torch
from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = [
    "CALLBACK_ATTRIBUTES",
    "Interval",
    "Options",
    "StrOptions",
    "TorchDispatchMode",
    "check_sample_weight",
    "fit_context",
    "has_hooks",
    "linear_pointwise",
    "safe_indexing",
    "takes_generator",
    "validate_parameter_constraints",
    "validate_params",
    "with_generator",
]

# What scikit-learn sets on an estimator during `fit`, and looks for after it, to tear
# callbacks down.
CALLBACK_ATTRIBUTES = "_callback_fit_ctx", "_skl_callbacks_to_teardown"

# oneDNN's product, which some builds of PyTorch lack.
linear_pointwise = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def has_hooks(module):
    """Return whether a module of PyTorch has hooks on its forward pass."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def with_generator(operation):
    """Return the form of an operation of PyTorch that takes a generator, or itself."""
    # rand, randn, randint and others have a second form, which takes a generator.
    name, forms = operation._overloadname, operation.overloadpacket
    name = "generator" if name == "default" else f"{name}_generator"
    return getattr(forms, name) if name in forms.overloads() else operation


def takes_generator(operation):
    """Return whether an operation of PyTorch has an argument `generator`."""
    return any(argument.name == "generator" for argument in operation._schema.arguments)
