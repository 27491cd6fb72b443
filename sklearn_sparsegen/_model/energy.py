"""The data term of the energy and its gradient; products with the generator's Jacobian.

The energy of a row of data x with the code z is

    E(z) = |x - G(z)|^2 / (2 sigma^2) - log p(z),

which is -log p(x, z) of Eq. 3 up to a constant. The data term is the first of the two.
Data x have shape (n, D) and codes z (n, k), or (1, k) for one code that all rows share.
"""

from contextlib import nullcontext

import torch

from .generators import SkipGenerator
from .linear_layers import LinearLayers, SkipLayers, linear_layers, row_multiple

_TINY = 1e-30  # keeps 0 / 0 finite


class Autograd:
    """Any generator, evaluated and differentiated by autograd; see `LinearLayers`."""

    def __init__(self, generator, divisor):
        self._generator = generator
        self._divisor = divisor

    @torch.no_grad()
    def output(self, z):
        return self._generator(z)

    def output_and_pullback(self, z, n_rows):
        z = z.detach().expand(n_rows, -1)
        with torch.enable_grad():
            z.requires_grad_()
            output = self._generator(z)

        def pullback(gradient):
            (gradient,) = torch.autograd.grad(output, z, gradient)
            return gradient / self._divisor

        return output.detach(), pullback


def evaluate(generator, divisor):
    """Return the generator in the form of `LinearLayers` if possible, or `Autograd`."""
    if type(generator) is SkipGenerator:
        return SkipLayers(generator, divisor)
    layers = linear_layers(generator)
    if layers is None:
        return Autograd(generator, divisor)
    return LinearLayers(layers, divisor)


class DataTerm:
    """The data term of the rows x, as a function of their codes.

    The weights of the generator are read once, here. A term that couples the rows has
    `value` and `value_and_gradient` alone, for the proximal solver.
    """

    separable = True  # the value of a row does not depend on the codes of other rows

    def __init__(self, x, generator, likelihood):
        self.x = x
        self.row_multiple = row_multiple(generator)
        self._likelihood = likelihood
        self._generator = evaluate(generator, likelihood.dispersion)
        # On a GPU this test would force a synchronisation. On a CPU x.sum().isnan() is
        # the fastest test for NaN.
        is_complete = x.is_cpu and not x.sum().isnan()
        self._missing = None if is_complete else x.isnan()

    def value(self, z):
        """Return the data term of each row, of shape (n,)."""
        output = self._generator.output(z)
        energy = self._likelihood.energy_and_scaled_gradient
        return energy(self.x, output, self._missing)[0]

    def gradient(self, z):
        """Return the gradient of the data term by the codes, of shape (n, k)."""
        output, pullback = self._generator.output_and_pullback(z, len(self.x))
        gradient = self._likelihood.scaled_gradient(self.x, output, self._missing)
        return pullback(gradient)

    def value_and_gradient(self, z):
        """Return the data term of each row and its gradient, (n,) and (n, k)."""
        output, pullback = self._generator.output_and_pullback(z, len(self.x))
        value, gradient = self._likelihood.energy_and_scaled_gradient(
            self.x, output, self._missing
        )
        return value, pullback(gradient)

    def keep(self, rows):
        """Drop all rows of x but these."""
        self.x = self.x[rows]
        if self._missing is not None:
            self._missing = self._missing[rows]


@torch.enable_grad()
def linearise(generator, z):
    """Return z, G(z), u and J'u, of which the last is a function of z and u.

    J'u is linear in u, so the gradient of v'J'u by u is the product J v. Forward-mode
    derivatives would give that too, but fail where several threads use them at once.
    """
    z = z.detach().requires_grad_()
    output = generator(z)
    u = torch.zeros_like(output, requires_grad=True)
    (pulled,) = torch.autograd.grad(output, z, u, create_graph=True)
    return z, output, u, pulled


def jacobian(generator, z, columns):
    """Return G(z), of shape (n, D), and columns of its Jacobian at each row.

    `columns` (n, m) are the places of the components; the result has shape (n, D, m).
    """
    _, output, u, pulled = linearise(generator, z)
    if columns.shape[1] == 0:
        return output.detach(), output.new_empty(*output.shape, 0)
    unit = z.new_zeros(columns.shape[1], *z.shape)
    unit.scatter_(2, columns.T[:, :, None], 1.0)
    if linear_layers(generator) is not None:
        # All columns in the same products, which read the weights once. Anomaly
        # detection does not work there; where it is off, this switch is not touched.
        is_on = torch.is_anomaly_enabled()
        switch = torch.autograd.set_detect_anomaly(False) if is_on else nullcontext()
        with switch:
            (parts,) = torch.autograd.grad(pulled, u, unit, is_grads_batched=True)
    else:  # where the memory that one column takes is unknown
        parts = [torch.autograd.grad(pulled, u, v, retain_graph=True)[0] for v in unit]
        parts = torch.stack(parts)
    return output.detach(), parts.movedim(0, 2)


def stiffest_direction(z, generator, likelihood):
    """Return the direction in which the data term curves most at the codes `z`.

    This is the eigenvector of J'J / sigma^2 with the largest eigenvalue, of shape
    (n, k), and that eigenvalue, of shape (n,), which power iteration approaches from
    below.
    """
    # An irregular start, because columns of J could cancel under a regular one.
    direction = torch.arange(z.shape[1]).to(z).cos().expand_as(z)
    z, output, u, pulled = linearise(generator, z)
    for _ in range(10):
        direction = torch.nn.functional.normalize(direction, eps=_TINY)
        (tangent,) = torch.autograd.grad(pulled, u, direction, retain_graph=True)
        tangent = likelihood.scaled_curvature(output.detach()) * tangent
        (direction,) = torch.autograd.grad(output, z, tangent, retain_graph=True)
        direction = direction / likelihood.dispersion
    curvature = direction.norm(dim=1)
    return torch.nn.functional.normalize(direction, eps=_TINY), curvature
