"""scikit-learn's own checks, and those that its common tests leave out."""

import pytest
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_get_feature_names_out_error,
    check_global_output_transform_pandas,
    check_global_set_output_transform_polars,
    check_param_validation,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    parametrize_with_checks,
)

from sklearn_sparsegen import SparseGeneratorEncoder, baselines

SMALL = {"n_components": 3, "hidden_layer_sizes": (8,), "max_iter": 5}
SETTINGS = [
    SparseGeneratorEncoder(**SMALL),
    SparseGeneratorEncoder(**SMALL, alpha=1.0),
    SparseGeneratorEncoder(**SMALL, solver="langevin", init="prior"),
    SparseGeneratorEncoder(**SMALL, threshold="posterior", sparse_output=True),
    SparseGeneratorEncoder(**SMALL, threshold=0.1, init="normal"),
    SparseGeneratorEncoder(**SMALL, solver="proximal", n_nonzero_coefs=2),
    SparseGeneratorEncoder(**SMALL, solver="proximal", spike_scale=0, init="linear"),
    baselines.ShortRunEncoder(**SMALL),
    baselines.ABPEncoder(**SMALL),
    baselines.VAEEncoder(**SMALL),
    baselines.VSCEncoder(**SMALL, alpha=0.5),
    baselines.VSCEncoder(**SMALL, n_pseudo_inputs=2),
    baselines.VarianceSparseEncoder(**SMALL),
]
DEFAULTS = [
    SparseGeneratorEncoder(),
    *(getattr(baselines, name)() for name in baselines.__all__),
]


# The checks fit data of any scale for a few epochs, as it suits them; scikit-learn's
# own runs of them ignore this warning too.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([*DEFAULTS, *SETTINGS])
def test_common_checks(estimator, check):
    check(estimator)


# Two of these checks fit with feature names and transform without.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", SETTINGS)
@pytest.mark.parametrize(
    "check",
    [
        check_param_validation,
        check_set_output_transform,
        check_set_output_transform_pandas,
        check_global_output_transform_pandas,
        check_set_output_transform_polars,
        check_global_set_output_transform_polars,
        check_transformer_get_feature_names_out,
        check_transformer_get_feature_names_out_pandas,
        check_get_feature_names_out_error,
        check_dataframe_column_names_consistency,
    ],
)
def test_checks_left_out(estimator, check):
    check(type(estimator).__name__, estimator)
