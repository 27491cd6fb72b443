"""scikit-learn's own checks, and those that its common tests leave out."""

import pytest
from conftest import CLASSES, each_class
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_get_feature_names_out_error,
    check_global_output_transform_pandas,
    check_global_set_output_transform_polars,
    check_no_attributes_set_in_init,
    check_param_validation,
    check_parameters_default_constructible,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    parametrize_with_checks,
)

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder, baselines

# A batch holds all rows, so that a row of weight two is as two rows are.
SMALL = {"n_components": 3, "hidden_layer_sizes": (8,), "max_iter": 2}
SMALL["batch_size"] = 100
# Many checks draw no random state. A few draws of so small a network are so steep at
# first that gradient steps diverge, whatever is checked.
SMALL["random_state"] = 0
FEW_STEPS = {**SMALL, "n_steps": 5}
# The checks are about conventions, and a small model is enough for these.
SETTINGS = [
    SparseGeneratorEncoder(**FEW_STEPS),
    SparseGeneratorEncoder(
        **FEW_STEPS, spike_scale=0.1, solver="langevin", step_size=0.02, init="prior"
    ),
    SparseGeneratorEncoder(**PAPER_SETTINGS | FEW_STEPS, threshold="posterior"),
    SparseGeneratorEncoder(
        **FEW_STEPS, threshold=0.1, init="normal", alpha=1.0, sparse_output=True
    ),
    SparseGeneratorEncoder(**FEW_STEPS, n_nonzero_coefs=1, init="zeros"),
    baselines.ShortRunEncoder(**FEW_STEPS),
    baselines.ABPEncoder(**FEW_STEPS),
    baselines.TopKEncoder(**SMALL),
    baselines.TopKEncoder(**SMALL | {"hidden_layer_sizes": ()}),
    baselines.VAEEncoder(**SMALL),
    baselines.VSCEncoder(**SMALL, alpha=0.5),
    baselines.VSCEncoder(**SMALL, n_pseudo_inputs=2),
    baselines.VarianceSparseEncoder(**FEW_STEPS),
]
ONE_OF_EACH_CLASS = list({type(encoder): encoder for encoder in SETTINGS}.values())


def expected_failures(estimator):
    """Return the checks that do not hold, with the reason."""
    own_noise = "two rows that are equal draw other noise than one row of weight two"
    reasons = {
        baselines.ABPEncoder: own_noise,
        baselines.VAEEncoder: own_noise,
        baselines.VSCEncoder: own_noise,
        baselines.VarianceSparseEncoder: "the hinge counts every row of a batch once",
    }
    if type(estimator) not in reasons:
        return {}
    reason, names = reasons[type(estimator)], ("dense", "sparse")
    return {f"check_sample_weight_equivalence_on_{n}_data": reason for n in names}


def test_every_class_is_checked():
    assert {type(estimator) for estimator in ONE_OF_EACH_CLASS} == set(CLASSES)


# The checks fit data of any scale for a few epochs, as it suits them. scikit-learn's
# own tests of its estimators ignore this warning too.
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:.*CSR array is larger:UserWarning",
)
@parametrize_with_checks(SETTINGS, expected_failed_checks=expected_failures)
def test_common_checks(estimator, check):
    check(estimator)


# Most of the checks replace the defaults, but these two read them.
@each_class
@pytest.mark.parametrize(
    "check", [check_parameters_default_constructible, check_no_attributes_set_in_init]
)
def test_checks_of_the_defaults(encoder, check):
    check(encoder.__name__, encoder())


# Two of these checks fit with names of features and transform without.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", ONE_OF_EACH_CLASS)
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
