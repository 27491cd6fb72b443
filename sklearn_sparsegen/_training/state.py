"""The state of training: what a checkpoint holds, a failure restores, processes share.

The networks, the memory and the optimiser are objects of PyTorch. Where the state is
saved, it has arrays in their place, and the objects are built again from the parameters
that they were built from.
"""

import contextlib
import copy
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import InconsistentVersionWarning

from .._data.arrays import (
    empty_tensor,
    nested_arrays,
    nested_tensors,
    resolve_device,
    to_array,
)
from .._inference.memories import Memory
from .._model.generators import Rescale
from .._utils.compat import CALLBACK_ATTRIBUTES
from .._utils.distributed import from_first, n_processes, rank
from .._utils.version import __version__
from .._utils.warn import warn
from .epoch import make_optimizer


@dataclass(frozen=True)
class DataScale:
    """What the first training data fix.

    `auto_sigma` is the value of `sigma="auto"`, and `variance` the mean squared
    distance of a row from the mean, where it is observed. `is_mapped` tells whether the
    generator ends with a fixed map to the unit and the offset of the data.
    """

    output_activation: str
    is_mapped: bool
    auto_sigma: float
    variance: float


@dataclass(eq=False)
class TrainingState:
    """All that a run of training has made, and needs to go on.

    It is one attribute of an encoder, whose public attributes `publish` sets.

    * `seed`: that of the weights, of the order of rows and of the noise;
    * `fixed`: the values of the parameters that act only where training starts;
    * `scale`: what the first training data fix;
    * `networks`: modules, or None, by the names of attributes, with "generator_";
    * `memory`: the `Memory` of the codes, or None;
    * `optimizer`: Adam, for the weights of the networks;
    * `sigma`: the standard deviation of the noise;
    * `epoch`: the number of epochs so far, and `scheduled` the values of the last one;
    * `curves`: a number for each epoch, by the name of the attribute;
    * `component_frequency`: a tensor (k,), or None;
    * `n_epochs_before`: the number of epochs before this call of `fit`;
    * `best`: the states of the networks at the least loss of rows held out, or None;
    * `messages`: what `fit` warns of at its end, and None before it;
    * `in_parts`: whether `partial_fit` trains, after which more is likely to come.
    """

    seed: int
    fixed: dict[str, Any]
    scale: DataScale
    sigma: float = 0.0
    networks: dict[str, Any] = field(default_factory=dict)
    memory: Memory | None = None
    optimizer: torch.optim.Optimizer | None = None
    epoch: int = 0
    scheduled: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=lambda: {"loss_curve_": []})
    component_frequency: torch.Tensor | None = None
    n_epochs_before: int = 0
    best: dict[str, Any] | None = None
    messages: list[str] | None = None
    in_parts: bool = False

    @property
    def n_components(self):
        return int(self.fixed["n_components"])

    @property
    def generator_is_ours(self):
        return not callable(self.fixed["generator"])

    @property
    def like(self):
        """A tensor of the type and the device of the weights."""
        return next(self.networks["generator_"].parameters())

    def attributes(self, to_library=to_array):
        """Return the public attributes of an encoder, by name.

        `to_library(tensor)` makes arrays as the user's data are.
        """
        attributes = {
            "n_components_": self.n_components,
            "output_activation_": self.scale.output_activation,
            "sigma_": self.sigma,
            "n_iter_": self.epoch,
            **self.scheduled,
            **self.curves,
            **self.networks,
        }
        if self.component_frequency is not None:
            attributes["component_frequency_"] = to_library(self.component_frequency)
        if self.memory is not None:
            attributes |= self.memory.attributes(to_library)
        return {name: v for name, v in attributes.items() if not name.startswith("_")}

    def publish(self, encoder, to_library=to_array):
        """Set the public attributes of an encoder, and take away those of before."""
        attributes = self.attributes(to_library)
        for name in vars(encoder).keys() - attributes.keys():
            if name.endswith(("_curve_", "_frequency_")):
                delattr(encoder, name)
        # All at once, so that an interrupt leaves all of them or none.
        vars(encoder).update(attributes, _state=self)

    # Copies of the state --------------------------------------------------------------

    def _modules(self, with_rows=False):
        """Return the networks and the memory by name.

        A memory that belongs to the rows of this process is there with `with_rows`.
        """
        modules = {name: m for name, m in self.networks.items() if m is not None}
        if self.memory is not None and (with_rows or not self.memory.of_rows):
            modules["memory"] = self.memory
        return modules

    def _objects(self):
        """Return the objects of PyTorch by name."""
        return self._modules(with_rows=True) | {"optimizer": self.optimizer}

    def _values(self):
        """Return what training changes beside the objects, by name."""
        return {name: getattr(self, name) for name in _VALUES}

    def _states(self):
        return {name: value.state_dict() for name, value in self._objects().items()}

    def snapshot(self):
        """Return a copy of all that training changes, for `restore`."""
        # Training replaces values, but changes the objects in place.
        return {**self._values(), "objects": copy.deepcopy(self._states())}

    def restore(self, snapshot):
        """Set all that training changes, from a snapshot or from arrays as tensors."""
        states = snapshot["objects"]
        for name, value in self._objects().items():
            if name not in states:
                continue
            try:
                value.load_state_dict(states[name])
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    f"The saved {name} does not fit into a new one; a factory "
                    "`generator` must give the same module in each call. PyTorch says: "
                    f"{error}"
                ) from error
        for name in _VALUES:
            setattr(self, name, snapshot[name])

    def to_arrays(self):
        """Return all that training changes as numbers, texts and arrays."""
        values = self._values() | {"scale": asdict(self.scale)}
        # A tensor in a file may need a device that another machine lacks.
        return nested_arrays({**values, "objects": self._states()})

    def from_arrays(self, arrays):
        """Set all that training changes, from what `to_arrays` has returned."""
        scale = DataScale(**arrays["scale"])
        self.restore(nested_tensors(arrays) | {"scale": scale})

    def broadcast(self, encoder, to_library):
        """Publish in all processes the values that the state has in the first one."""
        if n_processes() > 1:
            arrays = self.to_arrays()
            if self.memory is not None and self.memory.of_rows:
                del arrays["objects"]["memory"]
            arrays = from_first(arrays)
            if rank():
                self.from_arrays(arrays)
        self.publish(encoder, to_library)

    def keep_best(self):
        """Keep the networks as they are now, for `take_best`."""
        states = {name: m.state_dict() for name, m in self._modules().items()}
        self.best = copy.deepcopy(states)

    def take_best(self):
        """Give the networks the states that were kept last, if there are any."""
        for name, state in (self.best or {}).items():
            self._modules()[name].load_state_dict(state)
        self.best = None

    def move(self, device):
        """Put the networks on a device, and the optimiser's state where they are."""
        if self.like.device == torch.empty(0, device=device).device:
            return
        for module in self._modules().values():
            module.to(device)
        self.optimizer.load_state_dict(self.optimizer.state_dict())


# What training changes beside the networks, the memory and the optimiser.
_VALUES = (
    *("seed", "scale", "sigma", "epoch", "scheduled", "curves", "component_frequency"),
    *("n_epochs_before", "best", "messages", "in_parts"),
)


def built(encoder, seed, fixed, scale, output, like):
    """Return the state of an encoder before training, whose weights are random.

    They have the type and the device of the tensor `like`. `output` is the map at the
    end of the generator, if it has one.
    """
    state = TrainingState(seed, fixed, scale)
    state.networks = encoder._make_networks(state, output, like)
    state.memory = encoder._make_memory(state, like)
    state.optimizer = make_optimizer(state.networks.values())
    return state


@contextlib.contextmanager
def unchanged_on_failure(encoder):
    """Give an encoder back its state and attributes if what runs here raises.

    An interrupt does not undo the epochs that were whole.
    """
    state, attributes = getattr(encoder, "_state", None), vars(encoder).copy()
    snapshot = None if state is None else state.snapshot()
    try:
        yield
    except BaseException as error:
        # An epoch is whole once it is published.
        before = attributes.get("n_iter_", 0)
        if getattr(encoder, "_state", None) is not state:
            before = 0
        has_learned = getattr(encoder, "n_iter_", 0) > before
        if not (isinstance(error, KeyboardInterrupt) and has_learned):
            # scikit-learn looks for these after fit, to tear callbacks down.
            for name in CALLBACK_ATTRIBUTES:
                if name in vars(encoder):
                    attributes[name] = vars(encoder)[name]
            encoder.__dict__ = attributes
            if state is not None:
                state.restore(snapshot)
        raise


# Pickles ------------------------------------------------------------------------------


def to_pickle(encoder, attributes):
    """Return the attributes of an encoder with arrays in place of tensors."""
    attributes = nested_arrays(attributes) | {_VERSION: __version__}
    state = attributes.pop("_state", None)
    if state is None:
        return attributes
    for name in state.attributes(lambda tensor: tensor):
        attributes.pop(name, None)
    arrays = state.to_arrays()
    if not (encoder.warm_start or state.in_parts):
        del arrays["objects"]["optimizer"]  # nothing is likely to go on from it
    dtype = str(state.like.dtype).removeprefix("torch.")
    return attributes | {"_state": arrays | {"fixed": state.fixed, "dtype": dtype}}


def from_pickle(encoder, attributes):
    """Set the attributes of an encoder from what `to_pickle` has returned.

    The networks are put on the encoder's `device` if this machine has it, else on the
    CPU. Without a state of the optimiser there is a new one.
    """
    attributes = attributes.copy()
    _check_version(encoder, attributes.pop(_VERSION, None))
    arrays = attributes.pop("_state", None)
    if arrays is None and "generator_" in attributes:
        raise ValueError(
            "This encoder was saved by a development version whose files cannot be "
            "read any more; fit it again."
        )
    vars(encoder).update(attributes)
    if arrays is None:
        return
    dtype, scale = arrays["dtype"], DataScale(**arrays["scale"])
    like = empty_tensor(dtype, "cpu")
    with contextlib.suppress(ValueError):
        like = empty_tensor(dtype, resolve_device(encoder.device))
    output = Rescale(torch.zeros(encoder.n_features_in_), 1.0)
    state = built(encoder, arrays["seed"], arrays["fixed"], scale, output, like)
    state.from_arrays(arrays)
    state.publish(encoder)


_VERSION = "_sparsegen_version"


def _check_version(encoder, version):
    """Warn of a state that another major version has saved, as scikit-learn does."""
    if _major(version or "0.0") != _major(__version__):
        warning = InconsistentVersionWarning(
            estimator_name=type(encoder).__name__,
            current_sklearn_version=__version__,
            original_sklearn_version=version,
        )
        warn(warning, None)


def _major(version):
    """Return the part of a version in which incompatible ones differ."""
    first, second = version.split(".")[:2]
    return (first, second) if first == "0" else (first,)


# Parameters that act only where training starts ---------------------------------------


def fixed_values(encoder):
    """Return the values of the parameters that act only where training starts."""
    values = {name: getattr(encoder, name) for name in encoder._recorded_parameters}
    # A list that is changed in place must not change these.
    return {
        name: copy.copy(value) if isinstance(value, list | np.ndarray) else value
        for name, value in values.items()
    }


def check_fixed(encoder):
    """Raise a ValueError if such a parameter has changed since training started."""
    for name in encoder._fixed_parameters:
        value, before = getattr(encoder, name), encoder._state.fixed[name]
        # A function tells what it does by no text.
        is_other = callable(value) or _text(value) != _text(before)
        if value is not before and is_other:
            raise ValueError(
                f"{name}={value} cannot take effect, because training continues with "
                f"{name}={before}; set it back, or call fit with warm_start=False."
            )


def _text(value):
    if isinstance(value, list | tuple | np.ndarray | np.generic):
        value = np.array(value).tolist()
    return repr(value)
