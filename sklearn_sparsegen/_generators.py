"""Generators: torch modules that map codes to data, and building one."""

import copy
import math
from itertools import pairwise
from numbers import Integral

import torch
from torch import nn

from ._torch import SeededRandomness

ACTIVATIONS = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
# as torch.nn.init calls them
_NONLINEARITY = {name: name for name in ACTIVATIONS} | {"identity": "linear"}


def mlp_generator(
    n_components,
    n_features,
    hidden_layer_sizes=(400,),
    activation="relu",
    output_activation="identity",
):
    """Return a fully connected generator, the one of the paper.

    Parameters
    ----------
    n_components : int
        Width of a code.

    n_features : int
        Width of a row of data.

    hidden_layer_sizes : sequence of int, default=(400,)
        Number of units of each hidden layer; `()` is a linear generator.

    activation : {"identity", "relu", "sigmoid", "tanh"}, default="relu"
        Nonlinearity of the hidden layers.

    output_activation : {"identity", "sigmoid"}, default="identity"
        Nonlinearity of the output.

    Returns
    -------
    generator : torch.nn.Sequential
        Linear layers, each followed by its nonlinearity.

    Examples
    --------
    >>> import torch
    >>> mlp_generator(10, 64)(torch.zeros(3, 10)).shape
    torch.Size([3, 64])
    """
    sizes = (n_components, *hidden_layer_sizes, n_features)
    linear = [nn.Linear(n_in, n_out) for n_in, n_out in pairwise(sizes)]
    # He's scale for hidden layers: torch's own is smaller and reconstructs less well
    # with as many active codes. The biases must not all be zero: at z = 0 a ReLU
    # without one has no slope, and inference would not start.
    for layer in linear[:-1]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity=_NONLINEARITY[activation])
    names = [activation] * len(hidden_layer_sizes) + [output_activation]
    layers = [
        module
        for layer, name in zip(linear, names, strict=True)
        for module in (layer, ACTIVATIONS[name]())
    ]
    return nn.Sequential(*layers)


class _ToRows(nn.Module):
    """Images (n, channel, height, width) to rows in the order of image files."""

    def forward(self, images):
        """Return rows in the order height, width, channel."""
        return images.movedim(1, -1).flatten(1)


def convolutional_generator(
    n_components,
    n_features,
    image_shape,
    channels=(64, 32),
    activation="relu",
    output_activation="identity",
):
    """Return a generator of images: transposed convolutions, each doubling the size.

    Parameters
    ----------
    n_components : int
        Width of a code.

    n_features : int
        Width of a row of data, the product of `image_shape`.

    image_shape : sequence of int
        Height, width and, unless it is 1, number of channels, in the order in which a
        row holds them. Height and width must be multiples of `2 ** len(channels)`.

    channels : sequence of int, default=(64, 32)
        Channels of each hidden layer. A linear layer makes the first, and a transposed
        convolution each of the others and the image.

    activation : {"identity", "relu", "sigmoid", "tanh"}, default="relu"
        Nonlinearity of the hidden layers.

    output_activation : {"identity", "sigmoid"}, default="identity"
        Nonlinearity of the output.

    Returns
    -------
    generator : torch.nn.Sequential
        From codes to rows.

    Raises
    ------
    ValueError
        If `image_shape` does not fit.

    Examples
    --------
    >>> import torch
    >>> convolutional_generator(10, 192, (8, 8, 3))(torch.zeros(2, 10)).shape
    torch.Size([2, 192])
    """
    if len(image_shape) not in (2, 3) or not all(
        isinstance(size, Integral) and size > 0 for size in image_shape
    ):
        raise ValueError(
            "image_shape must hold two or three integers above 0, got "
            f"{tuple(image_shape)}."
        )
    height, width, n_channels = (*image_shape, 1)[:3]
    if height * width * n_channels != n_features:
        raise ValueError(
            f"image_shape={tuple(image_shape)} has {height * width * n_channels} "
            f"values, but a row of data has {n_features}."
        )
    scale = 2 ** len(channels)
    if height % scale or width % scale:
        raise ValueError(
            f"image_shape={tuple(image_shape)} must have a height and a width that are "
            f"multiples of {scale}, because {len(channels)} layers double them; pad "
            "the images, or pass another generator."
        )
    size = (channels[0], height // scale, width // scale)
    linear = nn.Linear(n_components, math.prod(size))
    # He's scale, as in the fully connected generator. Each value of the next layer
    # sees the 4 x 4 kernel at a quarter of its places, as the stride is 2.
    gain = nn.init.calculate_gain(_NONLINEARITY[activation])
    nn.init.normal_(linear.weight, std=gain / math.sqrt(n_components))
    layers = [linear, nn.Unflatten(1, size)]
    for n_in, n_out in pairwise((*channels, n_channels)):
        convolution = nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)
        nn.init.normal_(convolution.weight, std=gain / math.sqrt(n_in * 4))
        layers += [ACTIVATIONS[activation](), convolution]
    return nn.Sequential(*layers, _ToRows(), ACTIVATIONS[output_activation]())


def build_generator(source, n_components, n_features, seed):
    """Return a generator from a factory, or a copy of a module, after checking it.

    Parameters
    ----------
    source : torch.nn.Module or callable
        A module, which is copied with its weights, or a factory
        `(n_components, n_features) -> torch.nn.Module`.

    n_components, n_features : int
        Widths of a code and of a row of data.

    seed : int
        Seed of what is random in the factory.

    Returns
    -------
    generator : torch.nn.Module
        In evaluation mode: dropout or batch statistics would let rows interact.

    Raises
    ------
    TypeError
        If the factory does not return a module.

    ValueError
        If the module has nothing to train or does not map codes to rows of data.
    """
    if isinstance(source, nn.Module):
        generator = copy.deepcopy(source)
    else:
        with SeededRandomness(seed):
            generator = source(n_components, n_features)
    if not isinstance(generator, nn.Module):
        raise TypeError(
            "generator must be a torch.nn.Module or a function (n_components, "
            f"n_features) -> torch.nn.Module; it returned {type(generator).__name__}."
        )
    if not any(parameter.requires_grad for parameter in generator.parameters()):
        raise ValueError("generator has no parameter to train.")
    check_generator(generator.eval(), n_components, n_features)
    return generator


def check_generator(generator, n_components, n_features):
    """Raise a ValueError unless `generator` maps such codes to such rows of data."""
    parameter = next(generator.parameters())
    codes = torch.zeros(2, n_components, dtype=parameter.dtype, device=parameter.device)
    expected = f"must map codes of shape (2, {n_components}) to (2, {n_features})"
    try:
        with torch.no_grad():
            shape = tuple(generator(codes).shape)
    except RuntimeError as error:
        raise ValueError(f"generator {expected}, but it failed: {error}") from error
    if shape != (2, n_features):
        raise ValueError(f"generator {expected}, but it gave {shape}.")
