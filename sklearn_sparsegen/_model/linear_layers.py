"""The fast path for networks of linear layers, each with at most one nonlinearity.

Nearly all the time of inference goes into the products of these layers. oneDNN computes
them here, and they are differentiated by hand, at little more than the cost of the bare
products. Other modules go through autograd, with the same results.
"""

import math

import torch
from torch import nn

from .._utils.compat import has_hooks, linear_pointwise
from .generators import Rescale, SkipGenerator

_VECTOR = 32  # upper bound of the entries that one vector instruction handles


def _sigmoid(z):
    """Sigmoid in place, of at least 1e-12 in float32."""
    torch.sigmoid_(z)
    # The chain rule squares it where data are 0, and denormal numbers are very slow.
    return z.clamp_min_(1e-12) if z.dtype == torch.float32 else z


def _backward(operation, *arguments):
    """Return a function that turns the gradient by y, the output, into the input's."""
    return lambda g, y: operation.grad_input(g, y, *arguments, grad_input=g)


# The function and the chain rule of each nonlinearity, which both work in place.
_IN_PLACE = {
    nn.ReLU: (torch.relu_, _backward(torch.ops.aten.threshold_backward, 0)),
    nn.Sigmoid: (_sigmoid, _backward(torch.ops.aten.sigmoid_backward)),
    nn.Tanh: (torch.tanh_, _backward(torch.ops.aten.tanh_backward)),
    nn.Identity: (None, None),
}


def linear(z, weight, bias):
    """Return z W' + b.

    On a CPU, float32 products go through oneDNN where PyTorch has it. PyTorch's own
    choice, MKL, takes more than twice the time on some CPUs. MKL computes the float64
    products. On some CPUs it rounds every second row differently if rows are an odd
    number of values apart, so they are kept an even number apart.
    """
    if z.is_cpu and z.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        return linear_pointwise(z, weight, bias, "none", [], "")
    if not z.is_cpu or z.dtype != torch.float64:
        return nn.functional.linear(z, weight, bias)
    if z.stride(0) % 2 and z.stride(1) == 1:  # not a transposed matrix
        z = _empty_rows(z, z.shape[1]).copy_(z)
    product = _empty_rows(z, len(weight))
    if bias is None:
        return torch.mm(z, weight.T, out=product)
    return torch.addmm(bias, z, weight.T, out=product)


def _empty_rows(z, width):
    """Return an empty tensor, of as many rows as z, an even number of values apart."""
    return z.new_empty(len(z), width + width % 2)[:, :width]


class _Linear(torch.autograd.Function):
    """The function `linear`, for autograd."""

    @staticmethod
    def forward(ctx, z, weight, bias):
        ctx.save_for_backward(z, weight)
        return linear(z, weight, bias)

    @staticmethod
    def backward(ctx, gradient):
        z, weight = ctx.saved_tensors
        of_z, of_weight, of_bias = ctx.needs_input_grad
        return (
            linear(gradient, weight.T, None) if of_z else None,
            linear(gradient.T, z.T, None) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def forward(network, z):
    """Return `network(z)` for autograd, with the fast products where they apply."""
    if any(map(has_hooks, network.modules())):
        return network(z)
    if type(network) is SkipGenerator:
        z = network.scale * z
        total = _apply(network.skip, z)
        if len(network.layers):
            total = total + forward(network.layers, z)
        return network.output(total)
    if type(network) is not nn.Sequential:
        return network(z)
    for module in network:
        z = _apply(module, z)
    return z


def _apply(module, z):
    if type(module) is nn.Linear:
        return _Linear.apply(z, module.weight, module.bias)
    return module(z)


def linear_layers(network):
    """Return each linear layer, its `Rescale` or None, and its nonlinearity's type.

    None stands for a network that is not a plain sequence of these, or that has hooks.
    """
    if type(network) is not nn.Sequential or any(map(has_hooks, network.modules())):
        return None
    layers = []
    for module in network:
        layer, rescale, nonlinearity = layers[-1] if layers else (None,) * 3
        if type(module) is nn.Linear:
            layers.append((module, None, nn.Identity))
        elif nonlinearity is not nn.Identity:
            return None
        elif type(module) in _IN_PLACE:
            layers[-1] = layer, rescale, type(module)
        elif type(module) is Rescale and rescale is None:
            layers[-1] = layer, module, nn.Identity
        else:
            return None
    return layers


def row_multiple(network):
    """Return a number of rows in whose multiples rounding is the same for every row.

    A CPU rounds a row differently in a product of few rows, and at the end of a
    thread's share that does not fill a vector instruction. Inference amplifies this.
    """
    if type(network) is SkipGenerator:
        network = nn.Sequential(*network.layers, network.skip)
    layers = linear_layers(network)
    if layers is None:
        return _VECTOR
    # With three threads or more no number of rows is enough.
    n_entries = _VECTOR * min(torch.get_num_threads(), 2)
    widths = [width for layer, *_ in layers for width in layer.weight.shape]
    return max(4, n_entries // math.gcd(n_entries, *widths))


class LinearLayers:
    """A generator of linear layers, evaluated and differentiated by hand.

    `layers` is what `linear_layers` returns. Their weights are read once, here, and a
    `Rescale` becomes a part of the weight and the bias of the layer before it. Codes
    are multiplied by `scale` first. Gradients are divided by `divisor`.
    """

    def __init__(self, layers, divisor, scale=1.0):
        self._layers = []
        for layer, rescale, nonlinearity in layers:
            weight, bias = layer.weight.detach(), layer.bias
            bias = None if bias is None else bias.detach()
            if rescale is not None:
                weight = rescale.scale * weight
                bias = rescale.offset if bias is None else rescale(bias)
            transposed = weight.T
            if not self._layers:
                weight = weight * scale
                # The gradient passes the first layer last, which divides it.
                transposed = weight.T / divisor
            functions = _IN_PLACE[nonlinearity]
            self._layers.append((weight, bias, transposed, *functions))

    def output(self, z):
        return self._outputs(z)[-1]

    def output_and_pullback(self, z, n_rows):
        """Return G(z), and a function that multiplies gradients by J'.

        The function takes the gradient by the output, of shape (n_rows, D), which it
        overwrites, and returns the gradient by the code, of shape (n_rows, k). `z` may
        be one code for all rows, of shape (1, k).
        """
        outputs = self._outputs(z)

        def pullback(gradient):
            for layer, output in zip(self._layers[::-1], outputs[::-1], strict=True):
                _, _, transposed, _, backward = layer
                if backward is not None:
                    if len(output) < n_rows:
                        output = output.expand_as(gradient)
                    backward(gradient, output)
                gradient = linear(gradient, transposed, None)
            return gradient

        return outputs[-1], pullback

    def _outputs(self, z):
        """Return the output of each layer."""
        outputs = []
        for weight, bias, _, function, _ in self._layers:
            z = linear(z, weight, bias)
            if function is not None:
                function(z)
            outputs.append(z)
        return outputs


class SkipLayers:
    """A `SkipGenerator`, evaluated as the sum of two `LinearLayers`."""

    def __init__(self, generator, divisor):
        *maps, last = generator.output
        self._function, self._backward = _IN_PLACE[type(last)]
        rescale, without_offset = None, None
        if maps:
            rescale, offset = maps[0], maps[0].offset
            without_offset = Rescale(torch.zeros_like(offset), rescale.scale)
        parts = [[(generator.skip, rescale, nn.Identity)]]
        if len(generator.layers):
            *layers, (layer, _, _) = linear_layers(generator.layers)
            parts.append([*layers, (layer, without_offset, nn.Identity)])
        scale = generator.scale
        self._parts = [LinearLayers(part, divisor, scale) for part in parts]

    def output(self, z):
        return self._total(part.output(z) for part in self._parts)

    def output_and_pullback(self, z, n_rows):
        """Return what the method of `LinearLayers` returns."""
        parts = [part.output_and_pullback(z, n_rows) for part in self._parts]
        outputs, pullbacks = zip(*parts, strict=True)
        total = self._total(outputs)

        def pullback(gradient):
            if self._backward is not None:
                self._backward(gradient, total.expand_as(gradient))
            pulled = pullbacks[0](gradient)
            for other in pullbacks[1:]:
                pulled += other(gradient)
            return pulled

        return total, pullback

    def _total(self, outputs):
        first, *others = outputs
        for output in others:
            first += output
        if self._function is not None:
            self._function(first)
        return first
