"""Rows that are held out, and fits that stop by their loss."""

import numpy as np
import pytest
import torch
from conftest import ENCODERS, Batches, each_encoder, unfinished_fits
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from sklearn_sparsegen._utils.random import derive_seed, draw_seed
from sklearn_sparsegen.callbacks import Checkpoint

pytestmark = unfinished_fits


def held_out(n_rows, share):
    """Return the places of the rows that an encoder of random_state=0 holds out."""
    seed = derive_seed(draw_seed(0), "validation")
    return train_test_split(
        np.arange(n_rows), test_size=round(share * n_rows), random_state=seed
    )


@pytest.mark.parametrize("name", ["main", "VarianceSparseEncoder"])
def test_the_loss_of_rows_that_are_held_out(name, digits, rng):
    """It is the energy of the codes that transform infers, weighted."""
    weights = rng.uniform(0.5, 2, size=300)
    encoder = clone(ENCODERS[name]).set_params(early_stopping=True, max_iter=1)
    encoder.fit(digits, sample_weight=weights)
    _, places = held_out(300, 0.1)
    x = torch.tensor(digits[places])
    z = torch.tensor(encoder.transform(digits[places]))
    energy = (x - encoder.generator_(z)).square().sum(1) / (2 * encoder.sigma_**2)
    energy = energy.detach() + encoder._inference_model().prior.energy(z)
    expected = np.average(energy, weights=weights[places])
    assert_allclose(encoder.validation_loss_curve_, [expected], rtol=1e-9)


@each_encoder
def test_training_does_not_see_rows_that_are_held_out(name, digits):
    encoder = clone(ENCODERS[name]).set_params(
        early_stopping=True, max_iter=1, validation_fraction=0.25
    )
    kept, places = held_out(300, 0.25)
    assert len(places) == 75
    other = digits.copy()
    other[places] = np.random.default_rng(0).uniform(size=(75, 64))
    one, two = clone(encoder).fit(digits), clone(encoder).fit(other)
    assert one.loss_curve_ == two.loss_curve_
    assert one.validation_loss_curve_ != two.validation_loss_curve_
    assert_array_equal(one.transform(digits), two.transform(digits))
    if name == "ABPEncoder":
        assert not one.codes_[places].any()
        assert one.codes_[kept].all()


@pytest.fixture
def losses_of_held_out_rows(monkeypatch):
    """Prescribe them: the least is that of the third epoch, or of the first."""
    losses = [1.0, 5.0, 2.0, 3.0, 4.0, 2.0, 6.0, 3.0]
    monkeypatch.setattr(
        "sklearn_sparsegen._training.fit._validation_loss",
        lambda encoder, data: losses[encoder.n_iter_],
    )


# The epochs of a learned start depend on how many there are.
@pytest.mark.parametrize("name", sorted(ENCODERS.keys() - {"main"}))
def test_the_best_weights_are_kept(name, digits, losses_of_held_out_rows):
    """A fit that ends at the best epoch has the same weights."""
    encoder = clone(ENCODERS[name]).set_params(early_stopping=True, max_iter=8)
    # The first epoch does not count where the schedule is not finished then.
    slow = {"decay": 0.5, "warmup": 2}
    names = encoder.get_params()
    slow = {name: value for name, value in slow.items() if name in names}
    encoder.set_params(**slow).fit(digits)
    assert encoder.n_iter_ == 8
    other = clone(encoder).set_params(max_iter=3 if slow else 1).fit(digits)
    for one, two in zip(
        encoder.generator_.parameters(), other.generator_.parameters(), strict=True
    ):
        assert torch.equal(one, two)
    if name != "ABPEncoder":
        assert_array_equal(encoder.transform(digits), other.transform(digits))


def test_fit_stops_where_the_loss_of_held_out_rows_stays(digits):
    encoder = clone(ENCODERS["linear"]).set_params(
        early_stopping=True, tol=0.01, n_iter_no_change=3, max_iter=200, decay=0.3
    )
    losses = encoder.fit(digits).validation_loss_curve_
    assert 6 < encoder.n_iter_ < 200
    compared = losses[3:]  # those at the end of the schedule
    best = np.minimum.accumulate([np.inf, *compared])[:-1]
    fell = compared < best - 0.01 * np.abs(compared)
    assert not fell[-3:].any()
    assert fell[-4]


class Interrupt:
    """Interrupt fit in an epoch."""

    def setup(self, estimator, context):
        pass

    teardown = setup

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch" and context.task_id == 5:
            raise KeyboardInterrupt

    def on_fit_task_end(self, estimator, context):
        pass


def test_a_fit_that_is_interrupted_still_knows_the_best_weights(
    digits, tmp_path, losses_of_held_out_rows
):
    encoder = clone(ENCODERS["main"])
    encoder.set_params(early_stopping=True, max_iter=8, decay=0.5)
    alone = clone(encoder).fit(digits)
    with pytest.raises(KeyboardInterrupt):
        clone(encoder).set_callbacks(Checkpoint(tmp_path), Interrupt()).fit(digits)
    again = clone(encoder).set_callbacks(Checkpoint(tmp_path)).fit(digits)
    assert again.validation_loss_curve_ == alone.validation_loss_curve_
    assert_array_equal(again.transform(digits), alone.transform(digits))


def test_a_loss_of_held_out_rows_that_is_not_finite(digits, monkeypatch):
    monkeypatch.setattr(
        "sklearn_sparsegen._training.fit._validation_loss", lambda *arguments: np.nan
    )
    encoder = clone(ENCODERS["main"]).set_params(early_stopping=True)
    with pytest.raises(ValueError, match="Training diverged in epoch 1"):
        encoder.fit(digits)


def test_the_loss_of_held_out_rows_is_printed(digits, capsys):
    encoder = clone(ENCODERS["main"]).set_params(early_stopping=True, verbose=True)
    losses = encoder.fit(digits).validation_loss_curve_
    lines = capsys.readouterr().out.splitlines()
    assert all(
        f"validation_loss {x:.6g}" in t for x, t in zip(losses, lines, strict=True)
    )


@pytest.mark.parametrize("seed", [None, np.random.RandomState(0)])
def test_a_warm_start_holds_out_the_same_rows(seed, digits, monkeypatch):
    """Rows that training has seen must not become rows to validate on."""
    seen = []
    monkeypatch.setattr(
        "sklearn_sparsegen._training.fit._validation_loss",
        lambda _, data: seen.append(data.places) or 1.0,
    )
    encoder = clone(ENCODERS["main"]).set_params(
        early_stopping=True, warm_start=True, random_state=seed, max_iter=1
    )
    encoder.fit(digits).fit(digits)
    assert_array_equal(*seen)


def test_what_early_stopping_needs(digits):
    encoder = clone(ENCODERS["main"]).set_params(early_stopping=True)
    with pytest.raises(ValueError, match="early_stopping=True needs X as an array"):
        encoder.fit(Batches(digits))
    with pytest.raises(ValueError, match="early_stopping=True needs two rows"):
        encoder.fit(digits[:1])
    with pytest.raises(ValueError, match="partial_fit takes one epoch"):
        clone(encoder).partial_fit(digits)
    with pytest.raises(ValueError, match="'validation_fraction' parameter"):
        clone(encoder).set_params(validation_fraction=1.0).fit(digits)
    share = clone(encoder).set_params(validation_fraction=0.999, sigma=1.0)
    assert len(share.fit(digits[:3]).validation_loss_curve_) == 3
    # Without early_stopping, a curve of an earlier fit is gone.
    assert not hasattr(
        share.set_params(early_stopping=False).fit(digits), "validation_loss_curve_"
    )
