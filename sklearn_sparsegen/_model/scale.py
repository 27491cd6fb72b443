"""The scale of data and of codes, which an exact spike leaves to the generator."""

import math

import torch
from scipy.special import logit

from .energy import evaluate
from .generators import Rescale, SkipGenerator, atoms_of

_JACOBIAN_ROWS = 512  # rows of a Jacobian that are computed at once
_WEIGHT = 0.05  # of which the first steps of Adam change a fifth by default
_TINY = 1e-12  # keeps quotients finite
_LEAST_MEAN = 0.01  # bound of the means that a sigmoid starts at, where it is not flat


def output_map(mean, variance, output_activation):
    """Return what comes after the last layer, so that the output starts at the mean.

    `mean` and `variance` of the features have shape (D,). Before a sigmoid the map adds
    the log odds of the mean. Otherwise the layers work on data of mean 0 and variance
    1, whatever the unit and the offset of the data are.
    """
    if output_activation == "sigmoid":
        return Rescale(logit(mean.clip(_LEAST_MEAN, 1 - _LEAST_MEAN)), 1.0)
    return Rescale(mean, math.sqrt(variance.mean()) or 1.0)


@torch.no_grad()
def _rows_of_jacobian(generator, n_components):
    """Yield rows of the generator's Jacobian at zero, (n, k), in groups."""
    function = evaluate(generator, 1.0)
    origin = next(generator.parameters()).new_zeros(1, n_components)
    n_features = function.output(origin).shape[1]
    # Features are taken in groups to limit memory.
    for rows in torch.arange(n_features).split(_JACOBIAN_ROWS):
        unit = origin.new_zeros(len(rows), n_features)
        unit[torch.arange(len(rows)), rows] = 1
        _, pullback = function.output_and_pullback(origin, len(rows))
        yield pullback(unit)


def jacobian_at_zero(generator, n_components):
    """Return the generator's Jacobian at zero, (D, k)."""
    return torch.cat(list(_rows_of_jacobian(generator, n_components)))


def slopes_at_zero(generator, n_components):
    """Return the norm of each column of the generator's Jacobian at zero, (k,)."""
    groups = _rows_of_jacobian(generator, n_components)
    return sum(rows.square().sum(0) for rows in groups).sqrt()


def norm_of_weights(n_features):
    """Return a norm of vectors of weights that suits the learning rate of Adam.

    Adam changes each weight by about the rate, however large the weight is, so that the
    size of one weight is to be the same for any number of features.
    """
    return _WEIGHT * math.sqrt(n_features)


@torch.no_grad()
def fix_atoms(generator):
    """Give the atoms of a generator that has a dictionary their norm again.

    Steps of Adam are noisy, and noise makes weights grow. If the codes took this growth
    over, they would grow in each epoch, and training would diverge.
    """
    if isinstance(generator, SkipGenerator):
        weight = generator.skip.weight
        norm = norm_of_weights(len(weight))
        weight *= norm / weight.norm(dim=0).clamp_min(_TINY)


@torch.no_grad()
def fix_slopes(generator, n_components, data_variance, n_active):
    """Give all components the same slope at zero, by scaling the weights of codes.

    If the generator has a dictionary, its atoms get this norm, because the correction
    may cancel the slope of an atom. This is what unit norms are to dictionary learning.
    As many active codes of size 1 as a row has, `n_active`, make up the variance of the
    data. Returns the factor of each component by which codes grow, so that the
    generator's output stays the same.
    """
    slope = math.sqrt(data_variance / max(n_active, 1.0)) or 1.0
    has_atoms = isinstance(generator, SkipGenerator)
    if has_atoms:
        factor = atoms_of(generator).norm(dim=1) / slope
    else:
        factor = slopes_at_zero(generator, n_components) / slope
    factor[factor == 0] = 1
    if not has_atoms:
        next(generator.children()).weight /= factor
        return factor
    # The number that multiplies codes lets the atoms' weights have one norm.
    norm = norm_of_weights(len(generator.skip.weight))
    scale = slope / (generator.unit * norm)
    for layer in (generator.skip, *generator.layers[:1]):
        layer.weight /= factor * scale / generator.scale
    generator.scale.fill_(scale)
    return factor
