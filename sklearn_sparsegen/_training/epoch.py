"""Training: one epoch of Algorithm 1, the schedule of alpha, and when to stop."""

import itertools

import torch

from .._utils.distributed import add, average_gradients
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

    Returns the means over all rows of the figures that `model.loss` returns, as
    tensors, and the places and the codes of the rows of this process whose energy is
    higher than at the start of inference.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    totals, all_weight, all_places, all_codes, n_missed = {}, 0.0, [], [], -1
    for batch in itertools.chain(batches, itertools.repeat(None)):
        optimizer.zero_grad()
        weight = 0.0  # of the batch of this process, if it has rows left
        n_missed += batch is None  # the last time it is so there is no step
        if batch is not None:
            rows, x, weights = batch
            loss, figures, (places, codes) = model.loss(x, rows, weights, draw)
            weight = weights.sum().item()
            ((weights / weight).to(loss) * loss).sum().backward()
            # Small tensors that are kept would keep the memory of a batch in pieces.
            if places or not all_codes:
                all_places += places
                all_codes.append(codes)
            # The sums stay on the device, because reading one would synchronise a GPU.
            for name, values in figures.items():
                values = double(values.detach())
                total = torch.tensordot(weights.to(values), values, 1)
                totals[name] = totals.get(name, 0.0) + total
        weight = average_gradients(parameters, weight)
        if not weight:  # no process has rows left
            break
        optimizer.step()
        all_weight += weight
    add(totals.values())
    means = {name: total / all_weight for name, total in totals.items()}
    model.end_epoch(means, n_missed)
    return means, (all_places, torch.cat(all_codes))
