"""The type of numbers that must be precise, on any device."""


def double(tensor):
    """Return a tensor as float64, on the CPU if its device has no such type (MPS)."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
