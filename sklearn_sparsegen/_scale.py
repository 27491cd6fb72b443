"""The scale of codes, which an exact spike leaves to the generator."""

import math

import torch

from ._energy import Autograd
from ._linear_layers import LinearLayers, linear_layers

_JACOBIAN_ROWS = 512  # rows of a Jacobian that are computed at once


@torch.no_grad()
def slopes_at_zero(generator, n_components):
    """Return the norm of each column of the generator's Jacobian at zero, (k,)."""
    layers = linear_layers(generator)
    evaluate = Autograd(generator, 1.0) if layers is None else LinearLayers(layers, 1.0)
    origin = next(generator.parameters()).new_zeros(1, n_components)
    n_features, square = evaluate.output(origin).shape[1], torch.zeros_like(origin[0])
    # A row for each feature, of which some at a time bound the memory.
    for rows in torch.arange(n_features).split(_JACOBIAN_ROWS):
        unit = origin.new_zeros(len(rows), n_features)
        unit[torch.arange(len(rows)), rows] = 1
        _, pullback = evaluate.output_and_pullback(origin, len(rows))
        square += pullback(unit).square().sum(0)
    return square.sqrt()


@torch.no_grad()
def fix_slopes(generator, n_components, data_variance, n_active):
    """Give all components the same slope at zero, by scaling the first layer's weights.

    This is what unit norms are to dictionary learning. As many active codes of size 1
    as a row has, `n_active`, make up the variance of the data. Returns the factor of
    each component by which codes grow, so that the generator's output stays the same.
    """
    slope = math.sqrt(data_variance / max(n_active, 1.0)) or 1.0
    factor = slopes_at_zero(generator, n_components) / slope
    factor[factor == 0] = 1
    next(generator.children()).weight /= factor
    return factor
