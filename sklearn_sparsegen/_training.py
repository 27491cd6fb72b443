"""Training: one epoch of Algorithm 1, the schedule of alpha, and when to stop."""

import itertools
import math
from dataclasses import dataclass

import torch

from ._precision import double

PATIENCE = 5  # epochs, in one of which the loss must fall


def make_optimizer(networks):
    """Return Adam for the weights of some modules."""
    return torch.optim.Adam(torch.nn.ModuleList(networks).parameters(), fused=True)


def weights_are_finite(networks):
    """Return whether no weight of some modules is infinite or NaN."""
    weights = torch.nn.ModuleList(networks).parameters()
    return all(bool(weight.isfinite().all()) for weight in weights)


# Without it, a KeyboardInterrupt while torch has gradients off would leave them off.
@torch.enable_grad()
def train_epoch(model, batches, optimizer, draw):
    """Take one step of the optimiser for each batch (Algorithm 1).

    `batches` is any iterable of pairs: the places of the rows in the training data, and
    the rows as a tensor. `draw(*shape)` returns standard normal values.

    Returns the means over all rows of the figures that `model.loss` returns, as
    tensors, and the places and the codes of the rows whose energy is higher than at the
    start of inference.
    """
    totals, n_rows, all_places, all_codes = {}, 0, [], []
    for rows, x in batches:
        loss, figures, (places, codes) = model.loss(x, rows, draw)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        n_rows += len(x)
        all_places += places
        all_codes.append(codes)
        # The sums stay on the device, because reading one would synchronise a GPU.
        for name, values in figures.items():
            total = double(values.detach()).sum(0)
            totals[name] = totals.get(name, 0.0) + total
    means = {name: total / n_rows for name, total in totals.items()}
    model.end_epoch(means)
    return means, (all_places, torch.cat(all_codes))


class ConstantSchedule:
    """The schedule of an encoder in which nothing depends on the epoch.

    `at(epoch)` returns the fitted attributes that an epoch trains with. `left(epoch)`
    returns a sentence on what has not reached its end then, or "". Epochs count from 1.
    """

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


def loss_has_converged(losses, tol):
    """Return whether none of the last 5 losses is well below all losses before it.

    "Well below" means by more than `tol` times its absolute value.
    """
    best = itertools.accumulate(losses, min, initial=math.inf)
    fell = [loss < b - tol * abs(loss) for loss, b in zip(losses, best, strict=False)]
    return len(losses) > 0 and not any(fell[-PATIENCE:])
