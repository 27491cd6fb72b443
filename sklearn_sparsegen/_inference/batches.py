"""Inference of the codes of data, batch by batch."""

import torch

from .._utils.warn import warn_of_convergence


def inference_batch_size(batch_size):
    """Return the rows of a batch in inference; codes do not depend on it."""
    return 500 if batch_size == "auto" else int(batch_size)


def infer_batches(model, data, batch_size):
    """Yield the rows and the `Solution` of each batch of the data.

    The refinement of the model may follow inference. At the end there is a warning
    about the rows whose inference did not converge.
    """
    refinement = model.refinement
    n_rows, multiple = model.batch_shape(inference_batch_size(batch_size))
    failed, n_seen = ([], []), 0  # of inference, and of the refinement
    for x in data.batches(n_rows, next(model.generator.parameters())):
        n = len(x)
        # The rounding of a row must not depend on the number of rows beside it.
        padded = _pad_rows(x, multiple) if n % multiple else x
        solution = model.infer(padded)
        model.check(solution[:n], range(n_seen, n_seen + n))
        outcomes = [solution]
        if refinement is not None:
            solution = refinement.refine(padded, solution, model)
            outcomes.append(solution)
        for outcome, parts in zip(outcomes, failed, strict=False):
            (rows,) = outcome.not_converged[:n].cpu().nonzero(as_tuple=True)
            if len(rows):
                # A few codes are enough for the message.
                parts.append((n_seen + rows, outcome.z[rows[:20]]))
        n_seen += n
        yield x, solution[:n]
    solvers = model.solver, refinement and refinement.solver
    for solver, parts in zip(solvers, failed, strict=True):
        if parts:
            rows, codes = zip(*parts, strict=True)
            rows = torch.cat(rows).unique().tolist()
            warn_of_convergence([solver.explain(torch.cat(codes), rows, n_seen, model)])


def _pad_rows(x, multiple):
    """Repeat the last row of the tensor `x` until its length is a multiple."""
    return torch.cat([x, x[-1:].expand(-len(x) % multiple, -1)])
