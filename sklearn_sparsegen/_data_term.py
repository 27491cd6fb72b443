"""The energy's data term, |x - G(z)|^2 / (2 sigma^2), and its gradient in z.

All the time of inference goes into these. A generator of linear layers, each followed
by at most one nonlinearity, is evaluated by hand, at little more than the cost of its
matrix products. Every other module goes through autograd, behind the same interface
and with the same results. Features that are NaN in the data are not observed, and left
out.

Shapes: data x (n, D), codes z (n, k), or (1, k) for a code that all rows share, which
costs one row forward instead of n.
"""

import math

import torch
from torch import nn

_VECTOR = 32  # entries that a thread handles as one, at most

_aten = torch.ops.aten


def _sigmoid(z):
    """Sigmoid in place, of at least 1e-12 in float32.

    Where data are 0 the chain rule squares it, and numbers too small for the format
    slow products tenfold.
    """
    torch.sigmoid_(z)
    return z.clamp_min_(1e-12) if z.dtype == torch.float32 else z


def _relu_backward(gradient, output):
    return _aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)


def _sigmoid_backward(gradient, output):
    return _aten.sigmoid_backward.grad_input(gradient, output, grad_input=gradient)


def _tanh_backward(gradient, output):
    return _aten.tanh_backward.grad_input(gradient, output, grad_input=gradient)


# in place: the function, and the chain rule through it given its output
_IN_PLACE = {
    nn.ReLU: (torch.relu_, _relu_backward),
    nn.Sigmoid: (_sigmoid, _sigmoid_backward),
    nn.Tanh: (torch.tanh_, _tanh_backward),
    nn.Identity: (None, None),
}


def linear(z, weight, bias):
    """Return z W' + b.

    On a processor by oneDNN where PyTorch has it: its own choice for float32, MKL,
    takes more than twice as long on some.
    """
    if z.is_cpu and z.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(z, weight, bias, "none", [], "")
    return nn.functional.linear(z, weight, bias)


class _Linear(torch.autograd.Function):
    """`linear`, for autograd."""

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
    """Return `network(z)`, for autograd; linear layers by the data term's products."""
    if linear_layers(network) is None:
        return network(z)
    for module in network:
        if type(module) is nn.Linear:
            z = _Linear.apply(z, module.weight, module.bias)
        else:
            z = module(z)
    return z


def make_data_term(x, generator, sigma):
    """Return the data term of `x`, by hand where the generator allows it."""
    layers = linear_layers(generator)
    if layers is None:
        return AutogradDataTerm(x, generator, sigma)
    return LinearLayersDataTerm(x, layers, sigma)


def linear_layers(generator):
    """Return (linear layer, type of its nonlinearity) pairs, None if it is not so."""
    if type(generator) is not nn.Sequential:
        return None
    modules = (generator, *generator)
    if any(m._forward_hooks or m._forward_pre_hooks for m in modules):
        return None  # of weight_norm, say
    layers = []
    for module in generator:
        if type(module) is nn.Linear:
            layers.append((module, nn.Identity))
        elif type(module) in _IN_PLACE and layers and layers[-1][1] is nn.Identity:
            layers[-1] = (layers[-1][0], type(module))
        else:
            return None
    return layers


def full_rows(layers):
    """Return a number of rows in whose multiples a code is the same in every batch.

    To the last bit: a processor rounds a row otherwise in a product of few rows, and at
    the end of a thread's share that does not fill its vector instructions, and steps
    enlarge that. `layers` is what `linear_layers` returns.
    """
    if layers is None:
        return _VECTOR
    # more threads share a tensor in ways that no number of rows suits
    n_entries = _VECTOR * min(torch.get_num_threads(), 2)
    widths = [width for layer, _ in layers for width in layer.weight.shape]
    return max(4, n_entries // math.gcd(n_entries, *widths))


def make_residual(x, x_hat):
    """Return x_hat - x, 0 where x is not observed; fit for autograd."""
    return torch.where(x.isnan(), 0, x_hat - x)


class _DataTerm:
    separable = True  # no row enters the value of another, so that rows can leave

    def __init__(self, x, sigma):
        self.x = x
        self.sigma = sigma
        # asking a GPU would be a wait; a sum is a processor's fastest way to ask
        is_whole = x.is_cpu and not x.sum().isnan()
        self._missing = None if is_whole else x.isnan()

    def _residual(self, x_hat):
        residual = x_hat - self.x
        if self._missing is not None:
            residual.masked_fill_(self._missing, 0)
        return residual

    def _value(self, residual):
        return torch.linalg.vector_norm(residual, dim=1).square_() / (2 * self.sigma**2)

    def grad(self, z):
        """Return the gradient of the data term, shape (n, k)."""
        return self.value_and_grad(z)[1]

    def keep(self, rows):
        """Go on with these rows of x alone."""
        self.x = self.x[rows]
        if self._missing is not None:
            self._missing = self._missing[rows]


class AutogradDataTerm(_DataTerm):
    """Data term of any torch module."""

    full_rows = _VECTOR

    def __init__(self, x, generator, sigma):
        super().__init__(x, sigma)
        self.generator = generator

    @torch.no_grad()
    def value(self, z):
        """Return the data term of each row, shape (n,)."""
        return self._value(self._residual(self.generator(z)))

    def value_and_grad(self, z):
        """Return the data term of each row and its gradient, (n,) and (n, k)."""
        z = z.detach().expand(len(self.x), -1)
        with torch.enable_grad():
            z.requires_grad_()
            x_hat = self.generator(z)
            residual = self._residual(x_hat.detach())
            (gradient,) = torch.autograd.grad(x_hat, z, residual)
        return self._value(residual), gradient / self.sigma**2


class LinearLayersDataTerm(_DataTerm):
    """Data term of linear layers with nonlinearities, by hand."""

    def __init__(self, x, layers, sigma):
        super().__init__(x, sigma)
        self.full_rows = full_rows(layers)
        self._layers, self._transposed = [], []
        for layer, nonlinearity in layers:
            weight, bias = layer.weight.detach(), layer.bias
            bias = None if bias is None else bias.detach()
            self._layers.append((weight, bias, _IN_PLACE[nonlinearity]))
            # the layer that the gradient passes last divides it by the variance
            self._transposed.append(
                weight.T if self._transposed else weight.T / sigma**2
            )

    def _forward(self, z):
        """Return the output of each layer."""
        outputs = []
        for weight, bias, (function, _) in self._layers:
            z = linear(z, weight, bias)
            if function is not None:
                function(z)
            outputs.append(z)
        return outputs

    def value(self, z):
        """Return the data term of each row, shape (n,)."""
        return self._value(self._residual(self._forward(z)[-1]))

    def value_and_grad(self, z):
        """Return the data term of each row and its gradient, (n,) and (n, k)."""
        outputs = self._forward(z)
        residual = self._residual(outputs[-1])
        return self._value(residual), self._backward(outputs, residual)

    def grad(self, z):
        """Return the gradient of the data term, shape (n, k)."""
        outputs = self._forward(z)
        return self._backward(outputs, self._residual(outputs[-1]))

    def _backward(self, outputs, gradient):
        """Pull the residual, which it overwrites, back to the codes."""
        for (_, _, (_, backward)), transposed, output in zip(
            reversed(self._layers),
            reversed(self._transposed),
            reversed(outputs),
            strict=True,
        ):
            if backward is not None:
                if len(output) < len(gradient):  # of a code that all rows share
                    output = output.expand_as(gradient)
                backward(gradient, output)
            gradient = linear(gradient, transposed, None)
        return gradient
