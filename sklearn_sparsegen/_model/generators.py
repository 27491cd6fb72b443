"""Generators: torch modules that map codes to data, and how they are built."""

import copy
import functools
import math
from itertools import pairwise
from numbers import Integral

import torch
from torch import nn

from .._utils.random import SeededRandomness

ACTIVATIONS = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
# The names that torch.nn.init has for them.
_NONLINEARITY = {name: name for name in ACTIVATIONS} | {"identity": "linear"}


class Rescale(nn.Module):
    """The map `offset + scale * output`, of which nothing is trained.

    `offset` has shape (D,), and `scale` is a number.
    """

    def __init__(self, offset, scale):
        super().__init__()
        offset = torch.as_tensor(offset)
        self.register_buffer("offset", offset)
        self.register_buffer("scale", torch.as_tensor(scale, dtype=offset.dtype))

    def forward(self, output):
        """Return the rescaled output."""
        return torch.addcmul(self.offset, output, self.scale)


class SkipGenerator(nn.Module):
    """A generator that contains a dictionary: `output(skip(s z) + layers(s z))`.

    `skip` is linear; the columns of its weight are the atoms of the dictionary.
    `layers` corrects what the dictionary gives, and is a sequence of linear layers and
    nonlinearities, or an empty one. `output` is the fixed map to the unit of the data,
    if there is one, and a nonlinearity. The number s is a buffer: with atoms of norm 1
    it gives codes any scale, so that the weights have one that suits Adam.
    """

    def __init__(self, skip, layers, output):
        super().__init__()
        self.skip, self.layers, self.output = skip, layers, output
        self.register_buffer("scale", torch.ones((), dtype=torch.float32))

    def forward(self, input):  # the name that nn.Sequential has for it
        """Return data for codes."""
        z = self.scale * input
        total = self.skip(z)
        return self.output(total + self.layers(z) if len(self.layers) else total)

    @property
    def unit(self):
        """The factor of the fixed map to the unit of the data."""
        return getattr(self.output[0], "scale", 1.0)


@torch.no_grad()
def atoms_of(generator):
    """Return the linear part of a generator, (k, D), before a nonlinearity, or None."""
    if type(generator) is SkipGenerator:
        return (generator.unit * generator.scale * generator.skip.weight).T
    modules = list(generator) if type(generator) is nn.Sequential else []
    linear = [module for module in modules if type(module) is nn.Linear]
    if len(linear) != 1 or linear[0] is not modules[0]:
        return None
    units = [module.scale for module in modules[1:2] if type(module) is Rescale]
    return math.prod(units, start=linear[0].weight).T


def mlp_generator(
    n_components,
    n_features,
    hidden_layer_sizes=(400,),
    activation="relu",
    output_activation="identity",
    rescale=None,
    skip_connection=False,
):
    """Return a fully connected generator, by default the one of the paper.

    The result is a `torch.nn.Sequential` of linear layers, each followed by its
    nonlinearity. A module `rescale` comes after the last linear layer, if it is given.
    `hidden_layer_sizes=()` makes the generator linear. With `skip_connection`, a
    generator with hidden layers is a `SkipGenerator`, which starts as linear.

    Examples
    --------
    >>> import torch
    >>> mlp_generator(10, 64)(torch.zeros(3, 10)).shape
    torch.Size([3, 64])
    """
    sizes = (n_components, *hidden_layer_sizes, n_features)
    linear = [nn.Linear(*pair, dtype=torch.float32) for pair in pairwise(sizes)]
    # Hidden layers start at He's scale. The default scale of torch is smaller, and the
    # reconstructions are worse at the same number of active codes. The biases must not
    # all be zero: a ReLU without bias has no slope at z = 0, where inference starts.
    for layer in linear[:-1]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity=_NONLINEARITY[activation])
    layers = []
    for layer in linear[:-1]:
        layers += [layer, ACTIVATIONS[activation]()]
    output = [*([] if rescale is None else [rescale]), ACTIVATIONS[output_activation]()]
    if not skip_connection:
        return nn.Sequential(*layers, linear[-1], *output)
    skip = nn.Linear(n_components, n_features, dtype=torch.float32)
    nn.init.zeros_(skip.bias)
    if layers:
        last = nn.Linear(sizes[-2], n_features, bias=False, dtype=torch.float32)
        nn.init.zeros_(last.weight)
        layers.append(last)
    return SkipGenerator(skip, nn.Sequential(*layers), nn.Sequential(*output))


class _ToRows(nn.Module):
    """Turn images (n, channel, height, width) into rows of the order of image files."""

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
    rescale=None,
):
    """Return a generator of images by transposed convolutions, which double the size.

    `image_shape` is height, width and, unless it is 1, the number of channels. Height
    and width must be multiples of `2 ** len(channels)`. A linear layer makes the first
    hidden layer, and transposed convolutions the others and the image.
    """
    if image_shape is None:
        raise ValueError(
            "generator='convolutional' needs image_shape: (height, width), or "
            "(height, width, channels) in the order of a row's values."
        )
    given = f"image_shape={tuple(image_shape)}"
    if len(image_shape) not in (2, 3) or not all(
        isinstance(size, Integral) and size > 0 for size in image_shape
    ):
        raise ValueError(f"{given} must hold two or three integers above 0.")
    height, width, n_channels = map(int, (*image_shape, 1)[:3])
    n_values = height * width * n_channels
    if n_values != n_features:
        raise ValueError(
            f"{given} has {n_values} values, but a row of data has {n_features}."
        )
    scale = 2 ** len(channels)
    if height % scale or width % scale:
        raise ValueError(
            f"{given} must have a height and a width that are multiples of {scale}, "
            f"because {len(channels)} layers double them; pad the images, or pass "
            "another generator."
        )
    size = (channels[0], height // scale, width // scale)
    linear = nn.Linear(n_components, math.prod(size), dtype=torch.float32)
    # He's scale, as in the fully connected generator. Because the stride is 2, a value
    # of the next layer depends on a quarter of the entries of a 4 x 4 kernel.
    gain = nn.init.calculate_gain(_NONLINEARITY[activation])
    nn.init.normal_(linear.weight, std=gain / math.sqrt(n_components))
    layers = [linear, nn.Unflatten(1, size)]
    for n_in, n_out in pairwise((*channels, n_channels)):
        kernel = {"kernel_size": 4, "stride": 2, "padding": 1}
        convolution = nn.ConvTranspose2d(n_in, n_out, **kernel, dtype=torch.float32)
        nn.init.normal_(convolution.weight, std=gain / math.sqrt(n_in * 4))
        layers += [ACTIVATIONS[activation](), convolution]
    layers += [_ToRows(), *([] if rescale is None else [rescale])]
    return nn.Sequential(*layers, ACTIVATIONS[output_activation]())


def resolve_source(parameters, hidden_layer_sizes, output_activation, rescale):
    """Return the module or the factory that the parameters of an encoder stand for."""
    layers = {
        "activation": parameters["activation"],
        "output_activation": output_activation,
        "rescale": rescale,
    }
    if parameters["generator"] is None:
        layers["hidden_layer_sizes"] = hidden_layer_sizes
        layers["skip_connection"] = parameters.get("skip_connection", False)
        return functools.partial(mlp_generator, **layers)
    if parameters["generator"] == "convolutional":
        layers["image_shape"] = parameters["image_shape"]
        return functools.partial(convolutional_generator, **layers)
    return parameters["generator"]


def build_generator(source, n_components, n_features, seed):
    """Return a generator from a factory, or a copy of a module.

    A factory is a function `(n_components, n_features) -> torch.nn.Module`; what is
    random in it depends on `seed`. The generator is in evaluation mode, because dropout
    and batch statistics would let rows interact.
    """
    if isinstance(source, nn.Module):
        generator = copy_module(source)
    else:
        try:
            with SeededRandomness(seed):
                generator = source(n_components, n_features)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"generator({n_components}, {n_features}) failed: {error}"
            ) from error
    if not isinstance(generator, nn.Module):
        raise TypeError(
            "generator must be a torch.nn.Module or a function (n_components, "
            f"n_features) -> torch.nn.Module; it returned {type(generator).__name__}."
        )
    if not any(parameter.requires_grad for parameter in generator.parameters()):
        raise ValueError("generator has no parameter to train.")
    return generator.eval()


def copy_module(module):
    """Return a deep copy of a module, also of one whose hooks compute its weights.

    These are tensors that PyTorch does not copy, but that hooks compute anew.
    """
    parts = (vars(part).values() for part in module.modules())
    tensors = (value for part in parts for value in part if torch.is_tensor(value))
    return copy.deepcopy(module, {id(t): t.detach().clone() for t in tensors})


def check_generator(generator, n_components, n_features):
    """Raise a ValueError unless `generator` maps such codes to such rows of data.

    The module must have no values that only training mode updates.
    """
    parameter = next(generator.parameters())
    codes = torch.arange(2 * n_components).sin().view(2, n_components).to(parameter)
    expected = f"generator must map codes of shape (2, {n_components}) to "
    expected += f"a {parameter.dtype} tensor of shape (2, {n_features})"
    try:
        # A random generator must not draw from the global one.
        with torch.no_grad(), SeededRandomness(0):
            output = generator(codes.clone())
            others = generator(codes.clone()), generator(codes[:1].clone())
    except Exception as error:
        raise ValueError(f"{expected}, but it failed: {error}") from error
    if not isinstance(output, torch.Tensor):
        raise ValueError(f"{expected}, but it gave a {type(output).__name__}.")
    if output.shape != (2, n_features) or output.dtype != parameter.dtype:
        found = f"a {output.dtype} tensor of shape {tuple(output.shape)}"
        raise ValueError(f"{expected}, but it gave {found}.")
    if not output.isfinite().all():
        raise ValueError("The output of generator is not finite at small codes.")
    # TF32 products on a GPU, which differ with the size of a batch, round to 5e-4.
    limit = 1e-3 * output.abs().max()
    for other in others:
        if not (other - output[: len(other)]).abs().max() <= limit:
            raise ValueError(
                "generator must give the same output for the same code each time, "
                "whatever the other codes of a batch are: no random numbers, and no "
                "statistics of a batch."
            )
    _check_modes(generator, n_components)


def check_derivatives(generator, n_components):
    """Raise a ValueError unless the output has two derivatives by the codes."""
    codes = next(generator.parameters()).new_zeros(2, n_components)
    try:
        with torch.enable_grad():
            output = generator(codes.requires_grad_())
            u = torch.zeros_like(output, requires_grad=True)
            (pulled,) = torch.autograd.grad(output, codes, u, create_graph=True)
            torch.autograd.grad(pulled.sum(), u)
    except RuntimeError as error:
        raise ValueError(
            "generator must have a first and a second derivative by the codes, which "
            "inference and the score need, and must not change the codes in place; "
            f"PyTorch says: {error}"
        ) from error


def _check_modes(generator, n_components):
    """Raise a ValueError if `generator` has values that only training mode updates.

    Generators are used in evaluation mode, because batch statistics would let rows
    interact. Spectral normalisation would then keep the norms that it started with.
    """
    trial = copy_module(generator).train()
    before = [buffer.clone() for buffer in trial.buffers()]
    like = next(trial.parameters())
    with torch.no_grad(), SeededRandomness(0):
        # Other weights, because norms may have converged for those it starts with.
        for weight in trial.parameters():
            weight += torch.arange(weight.numel()).cos().view_as(weight).to(weight)
        trial(torch.arange(4 * n_components).cos().view(4, n_components).to(like))
    for (name, after), value in zip(trial.named_buffers(), before, strict=True):
        if not torch.equal(after, value):
            raise ValueError(
                f"generator updates {name} if it is called in training mode, as batch "
                "and spectral normalisation do, but it is used in evaluation mode; use "
                "layers that are the same in both modes, for example LayerNorm."
            )
