"""A few hundred of the examples of fuzz.py, which says what it tests."""

import fuzz
import pytest


def test_random_data_and_parameters():
    outcomes = fuzz.fuzz(300)
    assert outcomes["examples"] >= 300
    # The examples reach all kinds of outcomes.
    assert min(outcomes[kind] for kind in ("result", "warning", "ValueError")) > 100


def test_a_finding_is_found():
    class Broken(fuzz.SparseGeneratorEncoder):
        def transform(self, X):
            return super().transform(X) * float("nan")

    X = [[0.0, 1.0], [1.0, 0.5], [2.0, 3.0]]
    calls = [("fit", X), ("transform", X)]
    with pytest.raises(fuzz.Finding, match="not finite"):
        fuzz.run(Broken, fuzz.SMALL, calls)
