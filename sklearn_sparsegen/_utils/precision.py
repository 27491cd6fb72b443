"""Computations that must be precise, on any device."""

import torch


def double(tensor):
    """Return a tensor as float64, on the CPU if its device has no such type (MPS)."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def cholesky(matrix):
    """Return the factors of matrices that are positive definite if they are finite."""
    try:
        return torch.linalg.cholesky(matrix)
    except torch.linalg.LinAlgError as error:
        raise ValueError(
            "The codes, or what the generator makes of them, are too large for the "
            "type of X; reduce learning_rate_init, rescale X or increase sigma."
        ) from error
