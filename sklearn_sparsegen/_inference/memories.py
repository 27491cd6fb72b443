"""Memories: what training remembers of the codes, for later starts of inference."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .._model.likelihoods import difference
from .._model.linear_layers import linear
from .._utils.distributed import add, gather, n_processes
from .._utils.precision import cholesky, double

_FADING = 1 - 1 / 20  # factor of the weight of the batches before the last one
_RIDGE = 1e-3  # part of the mean variance of the codes; keeps their covariance definite
_TINY = 1e-30  # the same for codes that are all equal


class Memory(Protocol):
    """What training remembers of the codes: a module, whose state is that of a fit."""

    @property
    def of_rows(self) -> bool:
        """Whether it belongs to the rows of this process, or is the same in all."""

    def attributes(self, to_library: Any) -> dict[str, Any]:
        """Return the public attributes of an encoder that show it.

        `to_library(tensor)` makes arrays as the user's data are.
        """

    def begin(self, n_rows: int, places: Any, draw: Any) -> None:
        """Prepare for training on the rows at these places of n_rows rows.

        `places` is None for a stream. `draw(*shape)` returns standard normal values.
        """

    def clear(self) -> None:
        """Forget all, because training goes on without this memory."""

    def update(self, rows: Any, z: Tensor, output: Tensor, weights: Tensor) -> None:
        """Learn from a batch of training.

        `rows` are the places of its rows in the training data, `z` their codes, and
        `output` what the generator makes of them. Their `weights` are on the CPU.
        """

    def share(self, n_missed: int) -> None:
        """Join what the processes remember, after an epoch; see `end_epoch`."""

    def rescale(self, factor: Tensor) -> None:
        """Multiply the codes seen so far by a factor for each component, (k,)."""


class Chains(nn.Module):
    """Inference of a row of training data starts where it ended in the last epoch.

    This is a memory and the start that uses it. `positions` are the codes of all
    training data, on the CPU wherever the networks are, and change in place.
    """

    of_rows, learns = True, False

    @property
    def memory(self):
        return self

    def __init__(self, n_components, like):
        super().__init__()
        self.positions = torch.empty(0, n_components, dtype=like.dtype)

    def get_extra_state(self):
        """Return what `state_dict` keeps."""
        return {"positions": self.positions}

    def set_extra_state(self, state):
        self.positions = state["positions"].clone()

    def attributes(self, to_library):
        return {"codes_": to_library(self.positions.clone())}

    def begin(self, n_rows, places, draw):
        """Draw new chains, unless there are as many as rows."""
        if places is None:
            raise ValueError(
                "ABPEncoder keeps a chain for each row of X, which the rows of a "
                "stream do not tell; pass X as an array, or use ShortRunEncoder."
            )
        if len(self.positions) != n_rows:  # other data than before
            codes = draw(len(places), self.positions.shape[1]).cpu()
            # Rows that do not count, or are held out, have no chain.
            self.positions = codes.new_zeros(n_rows, codes.shape[1])
            self.positions[places] = codes

    def clear(self):
        self.positions = self.positions[:0]

    def codes(self, x, rows, prior, draw):
        return self.positions[rows].to(x.device)

    def update(self, rows, z, output, weights):
        self.positions[rows] = z.to(self.positions.device)

    def share(self, n_missed):
        """Do nothing: each process keeps the chains of its rows."""

    def rescale(self, factor):
        self.positions *= factor.cpu()


class CodeMoments(nn.Module):
    r"""Means and covariances of codes and of what the generator makes of them.

    The affine map nearest to the generator over these codes, in the mean square,
    follows from them ("statistical linearisation"). Under this map, and with the mean
    and the covariance of the codes for the prior, the posterior of a code is normal:

    .. math:: E[z | x] = \bar z + S (S + C C^\top / \sigma^2)^{-1} C
              (x - \bar x) / \sigma^2, \qquad
              \mathrm{Cov}[z | x] = S (S + C C^\top / \sigma^2)^{-1} S

    with S the covariance of z plus a small multiple of the identity, and C that of z
    and G(z). Older batches fade exponentially. Being a module, it moves with others. It
    takes no memory before the first update.
    """

    of_rows = False

    def __init__(self):
        super().__init__()
        self.n_rows = 0.0  # sum of the weights of the rows seen
        self._posterior = None  # the last one, and what it was computed for
        # The mean is that of z and G(z) side by side; the covariance has the rows of z.
        for name in ("mean", "covariance"):
            self.register_buffer(name, torch.zeros(0), persistent=False)

    def get_extra_state(self):
        """Return what `state_dict` keeps: all of it, as the shapes are not known."""
        return {"n_rows": self.n_rows, **dict(self.named_buffers())}

    def set_extra_state(self, state):
        self.n_rows, self._posterior = state["n_rows"], None
        for name, buffer in self.named_buffers():
            setattr(self, name, state[name].to(buffer, copy=True))

    def attributes(self, to_library):
        return {"code_moments_": self}

    def begin(self, n_rows, places, draw):
        """Do nothing: the moments of before fade."""

    def clear(self):
        self.n_rows, self._posterior = 0.0, None
        for name, buffer in self.named_buffers():
            setattr(self, name, buffer.new_zeros(0))

    @torch.no_grad()
    def update(self, rows, z, output, weights):
        """Include the codes of a batch and the generator's output."""
        self._posterior = None
        weight, k = weights.sum().item(), z.shape[1]
        # All 1 if they are equal, so that what is constant has that very mean.
        weights = (weights / weights.max()).to(z)[:, None]
        total = weights.sum()
        self.n_rows = weight + _FADING * self.n_rows
        rate = weight / self.n_rows
        # The covariance within the batch, plus that between the batch and those before.
        # Rounding would drown a difference of raw moments where means are large.
        joint = torch.cat([z, output], dim=1)
        mean = (weights * joint).sum(0) / total
        joint -= mean
        if not len(self.mean):
            self.mean, self.covariance = (
                mean.new_zeros(len(mean)),
                z.new_zeros(k, len(mean)),
            )
        shift = mean - self.mean
        self.covariance.lerp_((weights * joint[:, :k]).T @ joint / total, rate)
        self.covariance.addr_(shift[:k], shift, alpha=rate * (1 - rate))
        self.mean.lerp_(mean, rate)

    @torch.no_grad()
    def share(self, n_missed):
        """Join the moments of all processes; each keeps an equal part of the weight."""
        if n_processes() == 1:
            return
        self._posterior = None
        weight = self.n_rows * _FADING**n_missed
        total = sum(gather(weight))
        mean = weight / total * self.mean
        add([mean])
        shift = self.mean - mean
        self.covariance.addr_(shift[: len(self.covariance)], shift)
        self.covariance *= weight / total
        add([self.covariance])
        self.mean, self.n_rows = mean, total / n_processes()

    def rescale(self, factor):
        """Multiply the codes seen so far by a factor for each component."""
        k, self._posterior = len(factor), None
        self.mean[:k] *= factor
        self.covariance *= factor[:, None]
        self.covariance[:, :k] *= factor

    def posterior(self, sigma):
        """Return the posterior's mean as a function of x, and its variances (1, k).

        The mean takes features that are NaN at their own mean. The result is kept,
        because with many features it takes longer than inference of a row.
        """
        key = sigma, self.mean.dtype, self.mean.device
        if self._posterior is None or self._posterior[0] != key:
            self._posterior = key, self._compute_posterior(sigma)
        return self._posterior[1]

    def _compute_posterior(self, sigma):
        k = len(self.covariance)
        covariance, cross = double(self.covariance).tensor_split([k], dim=1)
        identity = torch.eye(k).to(covariance)
        ridge = _RIDGE * covariance.diagonal().mean() + _TINY
        root = cholesky(covariance + ridge * identity)
        white = torch.linalg.solve_triangular(root, cross / sigma, upper=False)
        # I + W W' = R'R, with R from a QR decomposition. Where sigma is small, rounding
        # would lose I in the sum.
        factor = torch.linalg.qr(torch.cat([white.T, identity]), mode="r").R.T
        half = torch.linalg.solve_triangular(factor, root.T, upper=False)
        white = torch.linalg.solve_triangular(factor, white, upper=False)
        gain = (half.T @ white / sigma).to(self.mean)
        code_mean, data_mean = self.mean.clone().tensor_split([k])

        def mean(x):
            return linear(difference(x, data_mean), -gain, code_mean)

        return mean, half.square().sum(0, keepdim=True).to(self.mean)
