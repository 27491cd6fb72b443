"""Schedules: what depends on the epoch, and when training stops."""

import itertools
import math
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """What depends on the epoch; epochs count from 1."""

    def at(self, epoch: int) -> dict[str, float]:
        """Return the values that an epoch trains with.

        A name that does not begin with "_" is that of a fitted attribute.
        """

    def left(self, epoch: int) -> str:
        """Return a sentence on what has not reached its end after an epoch, or ""."""


class ConstantSchedule:
    """The schedule of an encoder in which nothing depends on the epoch."""

    def at(self, epoch):
        return {}

    def left(self, epoch):
        return ""


@dataclass(frozen=True)
class AlphaSchedule:
    """alpha falls by `decay` in each epoch, the first one included (Algorithm 1)."""

    alpha_init: float
    alpha: float
    decay: float

    def __post_init__(self):
        if self.alpha_init < self.alpha:
            raise ValueError(
                f"alpha_init={self.alpha_init} must not be below alpha={self.alpha}: "
                "the schedule lowers alpha."
            )
        if self.decay == 0 and self.alpha_init > self.alpha:
            raise ValueError(
                f"decay=0 never lowers alpha from alpha_init={self.alpha_init} to "
                f"alpha={self.alpha}; set alpha_init=alpha for a constant alpha."
            )

    def at(self, epoch):
        # Rounded, so that 30 epochs of 0.033 from 1 end at 0.01 exactly.
        alpha = round(self.alpha_init - self.decay * epoch, 12)
        return {"alpha_": float(max(self.alpha, alpha))}

    def left(self, epoch):
        """Return a sentence as long as alpha has not reached its end."""
        alpha = self.at(epoch)["alpha_"]
        if alpha == self.alpha:
            return ""
        return (
            f"alpha_={alpha:.4g} has not come down to alpha={self.alpha} by "
            f"decay={self.decay} per epoch"
        )


@dataclass(frozen=True)
class WithPretraining:
    """A schedule, of which the first `n_epochs` train start and generator alone.

    They are an autoencoder then, because inference takes no steps. `last_epoch` is the
    number of all epochs.
    """

    n_epochs: int
    last_epoch: int
    schedule: Schedule

    def at(self, epoch):
        return self.schedule.at(epoch) | {"_is_pretraining": epoch <= self.n_epochs}

    def left(self, epoch):
        """Return a sentence as long as either is not finished, else ""."""
        # In the first epoch after that, codes have the scale of those before it.
        if epoch < min(self.n_epochs + 2, self.last_epoch):
            return "not more than one of them has inferred codes by steps"
        return self.schedule.left(epoch)


def loss_has_converged(losses, tol, n_epochs):
    """Return whether none of the last losses is well below all losses before it.

    "Well below" means by more than `tol` times its absolute value.
    """
    best = itertools.accumulate(losses, min, initial=math.inf)
    fell = [loss < b - tol * abs(loss) for loss, b in zip(losses, best, strict=False)]
    return len(losses) > 0 and not any(fell[-n_epochs:])
