"""How a code is found: model, solvers and starts, on tensors."""
