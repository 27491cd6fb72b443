"""One epoch of training, which is Algorithm 1 of Li and Han."""

from collections import defaultdict

import torch

from .._utils.distributed import add, average_gradients, in_step
from .._utils.precision import double


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

    `batches` is any iterable of triples: the places of the rows in the training data,
    the rows as a tensor, and their weights, above 0, as a tensor of float64 on the CPU.
    `draw(*shape)` returns standard normal values. Where several processes train
    together, each takes a step as long as any of them has a batch.

    Returns the means over all rows of the figures of the steps, as tensors, and the
    places and the codes of the rows of this process whose energy is higher than at the
    start of inference.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    totals, all_weight, n_missed, rising = defaultdict(float), 0.0, 0, ([], [])
    for batch in in_step(batches):
        optimizer.zero_grad()
        weight = 0.0  # of the rows of this process, if it has any left
        if batch is not None:
            rows, x, weights = batch
            weight = weights.sum().item()
            step = model.loss(x, rows, draw)  # infers the codes
            if model.memory is not None:
                model.memory.update(rows, step.z, step.output, weights)
            ((weights / weight).to(step.loss) * step.loss).sum().backward()
            _add_figures(totals, step.figures, weights)
            _add_rising(rising, rows, step)
        weight = average_gradients(parameters, weight)
        if not weight:  # no process has rows left
            break
        optimizer.step()
        model.end_step()
        all_weight += weight
        n_missed += batch is None
    optimizer.zero_grad()  # gradients take memory
    add(totals.values())
    means = {name: total / all_weight for name, total in totals.items()}
    model.end_epoch(means, n_missed)
    return means, rising


def _add_figures(totals, figures, weights):
    """Add the weighted sums of the figures of each row.

    They stay on the device, because reading one would synchronise a GPU.
    """
    for name, values in figures.items():
        values = double(values.detach())
        totals[name] = totals[name] + torch.tensordot(weights.to(values), values, 1)


def _add_rising(rising, rows, step):
    """Add the places and the codes of rows that ended at a higher energy."""
    if step.rising is not None and step.rising.any():
        (which,) = step.rising.nonzero(as_tuple=True)
        rising[0].extend(int(rows[i]) for i in which)
        rising[1].append(step.z[which])
