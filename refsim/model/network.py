"""The whole network: layers in topological order, checked when it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from typing import Literal

import numpy as np

from refsim.exceptions import NetworkError, UsageError
from refsim.model.image import InputSpec
from refsim.model.layers import (
    INPUT,
    AnyLayer,
    Conv2d,
    Layer,
    Linear,
    MaxMode,
    MaxPool2d,
    Output,
    Shape,
    Spiking,
    output_of,
    readable_by,
)
from refsim.model.neuron import NEURON_KINDS, Neuron, NeuronKind


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Network:
    """A converted network: the input, the layers in topological order, the classes.

    Parameters
    ----------
    metadata
        Provenance, by its keys; numbers become text, as the weight file stores it.

    Raises
    ------
    NetworkError
        A field of another type; duplicate, missing or later-defined inputs, shapes that do not fit, a layer that reads
        what it cannot read, a last layer that is not a linear readout, outputs that nobody reads.
    """

    name: str
    input: InputSpec
    layers: tuple[AnyLayer, ...]
    classes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_types()
        if not self.layers:
            raise NetworkError(f"network '{self.name}' has no layers")
        shapes: dict[str, Shape] = {INPUT: self.input.shape}
        outputs: dict[str, Output] = {INPUT: "spikes"}
        earlier: dict[str, AnyLayer] = {}
        later = {layer.name for layer in self.layers}
        for layer in self.layers:
            if layer.name in outputs:
                raise NetworkError(f"layer '{layer.name}': the name is used twice or reserved")
            if not layer.inputs:
                raise NetworkError(f"layer '{layer.name}': reads nothing")
            for source in layer.inputs:
                if source not in outputs:
                    hint = "comes later or is part of a cycle" if source in later else "does not exist"
                    raise NetworkError(f"layer '{layer.name}': reads '{source}', which {hint}")
                if outputs[source] not in readable_by(layer):
                    raise NetworkError(
                        f"layer '{layer.name}': {layer.kind} cannot read '{source}' ({_kind(earlier.get(source))}); "
                        f"put a spiking layer between them"
                    )
                if isinstance(layer, MaxPool2d):
                    _check_max_pool(layer, earlier.get(source))
            shapes[layer.name] = layer.output_shape(tuple(shapes[source] for source in layer.inputs))
            outputs[layer.name], earlier[layer.name] = output_of(layer), layer
        object.__setattr__(self, "_shapes", shapes)
        self._check_outputs()

    def _check_types(self) -> None:
        """Turn what people mean into what the fields are, and refuse the rest."""
        if not isinstance(self.name, str):
            raise NetworkError(f"a network's name must be text, got {self.name!r}")
        where = f"network '{self.name}'"
        if not isinstance(self.input, InputSpec):
            raise NetworkError(f"{where}: input must be an InputSpec, got {type(self.input).__name__}")
        for key, kind, what in (("layers", Layer, "layers"), ("classes", str, "names")):
            value = getattr(self, key)
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise NetworkError(f"{where}: {key} must be a sequence of {what}, got {type(value).__name__}")
            items = tuple(value)
            strange = [type(each).__name__ for each in items if not isinstance(each, kind)]
            if strange:
                raise NetworkError(f"{where}: {key} must be a sequence of {what}, got {strange[0]} in it")
            object.__setattr__(self, key, items)
        if not isinstance(self.metadata, Mapping):
            raise NetworkError(f"{where}: metadata must be a mapping, got {type(self.metadata).__name__}")
        for key, value in self.metadata.items():
            if not isinstance(key, str) or not isinstance(value, str | int | float | np.number):
                raise NetworkError(f"{where}: metadata must be text or numbers by names, got {key!r}: {value!r}")
        object.__setattr__(self, "metadata", {key: str(value) for key, value in self.metadata.items()})

    def _check_outputs(self) -> None:
        last = self.layers[-1]
        if not isinstance(last, Linear):
            raise NetworkError(f"layer '{last.name}': the last layer must be linear (the readout), got {last.kind}")
        readers: dict[str, list[AnyLayer]] = {}
        for layer in self.layers:
            for source in layer.inputs:
                readers.setdefault(source, []).append(layer)
        for layer in self.layers[:-1]:
            n_readers = len(readers.get(layer.name, ()))
            if n_readers == 0:
                raise NetworkError(f"layer '{layer.name}': nobody reads it, and only the last layer is the readout")
            if n_readers > 1 and output_of(layer) in ("current", "sum"):
                raise NetworkError(
                    f"layer '{layer.name}': {layer.kind} is read by {n_readers} layers; "
                    f"put a spiking layer after it and let them read that"
                )
        if self.classes and len(self.classes) != self.n_classes:
            raise NetworkError(f"{len(self.classes)} class names for {self.n_classes} outputs of '{last.name}'")

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Output shape of every layer for one image, and of "input"."""
        shapes: dict[str, Shape] = self.__dict__["_shapes"]
        return shapes

    @property
    def n_classes(self) -> int:
        """Number of outputs of the readout."""
        return int(self.shapes[self.readout.name][0])

    @property
    def readout(self) -> Linear:
        """The last layer."""
        last = self.layers[-1]
        assert isinstance(last, Linear)
        return last

    @cached_property
    def by_name(self) -> Mapping[str, AnyLayer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def spiking(self) -> tuple[Spiking, ...]:
        """The spiking layers in order; `--layer l` is spiking[l - 1]."""
        return tuple(layer for layer in self.layers if isinstance(layer, Spiking))

    @property
    def driven(self) -> tuple[Spiking | Linear, ...]:
        """What currents flow into: the spiking layers in order, and the readout."""
        return (*self.spiking, self.readout)

    def find_spiking(self, key: str) -> Spiking:
        """The spiking layer with this name or with this number, counted from 1."""
        for number, layer in enumerate(self.spiking, start=1):
            if key in (layer.name, str(number)):
                return layer
        names = ", ".join(f"{i}={layer.name}" for i, layer in enumerate(self.spiking, start=1))
        raise UsageError(f"no spiking layer '{key}' in '{self.name}'; it has {names}")

    def with_kind(
        self,
        kind: NeuronKind,
        *,
        theta_neg: float | None = None,
        theta_neg_mode: Literal["absolute", "relative"] | None = None,
        v0: float | None = None,
    ) -> Network:
        """The same network with neurons of one kind in every spiking layer.

        Parameters
        ----------
        kind
            "file": as they are; "if"; "dual": with ECL's negative threshold, unless they have one of their own;
            "signed": the neurons of SNM (Wang 2022), dual with theta_neg = -theta.
        theta_neg, theta_neg_mode
            Another negative threshold, in units of the membrane potential ("absolute", the default) or of theta
            ("relative").
        v0
            Initial potential in units of theta.

        Raises
        ------
        UsageError
            A negative threshold for neurons that have none; a mode without a threshold; no such kind.
        NetworkError
            theta_neg outside [-theta, 0); v0 not finite.
        """
        if kind not in NEURON_KINDS:
            raise UsageError(f"neuron must be one of {', '.join(NEURON_KINDS)}, got {kind!r}")
        if (theta_neg is not None or theta_neg_mode is not None) and kind in ("if", "signed"):
            raise UsageError("theta_neg belongs to dual neurons; choose neuron dual")
        if theta_neg_mode is not None and theta_neg is None:
            raise UsageError("theta_neg_mode says what theta_neg means; give both")
        changed = {}
        for layer in self.spiking:
            neuron = layer.neuron
            if theta_neg is not None:
                neuron = replace(neuron, theta_neg=np.array(theta_neg), theta_neg_mode=theta_neg_mode or "absolute")
            elif kind != "file":
                neuron = neuron.of_kind(kind)
            changed[layer.name] = neuron if v0 is None else replace(neuron, v0=v0 * neuron.theta)
        return self.with_neurons(changed)

    @property
    def unknown_L(self) -> str | None:
        """The first spiking layer of which nobody said L, which the ANN needs; None if all is known."""
        for layer in self.spiking:
            if layer.neuron.activation is None or layer.neuron.activation.kind == "unknown":
                return layer.name
        return None

    @property
    def dual(self) -> bool:
        """Whether any of its neurons can fire negative spikes."""
        return any(layer.neuron.dual for layer in self.spiking)

    def summary(self) -> str:
        """What it is, in one phrase."""
        weighted = [layer for layer in self.layers if isinstance(layer, Conv2d | Linear)]
        n_parameters = sum(layer.weight.size + layer.bias.size for layer in weighted)
        shape = "x".join(map(str, self.input.shape))
        return (
            f"{len(self.spiking)} spiking layers, {'dual threshold' if self.dual else 'IF'}, "
            f"{n_parameters:,} parameters, input {shape}, {self.n_classes} classes"
        )

    def __repr__(self) -> str:
        return f"Network {self.name}: {self.summary()}"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"

    def with_max_pools(self, mode: MaxMode) -> Network:
        """The same network with all its max pools in this mode."""
        layers = tuple(replace(layer, mode=mode) if isinstance(layer, MaxPool2d) else layer for layer in self.layers)
        return replace(self, layers=layers)

    def with_neurons(self, change: Mapping[str, Neuron]) -> Network:
        """The same network with other neurons in the named spiking layers."""
        layers = tuple(
            replace(layer, neuron=change[layer.name]) if isinstance(layer, Spiking) and layer.name in change else layer
            for layer in self.layers
        )
        return replace(self, layers=layers)


def _kind(layer: AnyLayer | None) -> str:
    return INPUT if layer is None else layer.kind


def _check_max_pool(pool: MaxPool2d, source: AnyLayer | None) -> None:
    """Spikes of one window must be worth the same: their counts are compared, and one goes on for all of them."""
    if isinstance(source, Spiking) and source.neuron.theta.ndim == 3:
        raise NetworkError(
            f"layer '{pool.name}': theta of '{source.name}' has a value for each position, and a max pool compares "
            f"spikes of one size; give '{source.name}' one theta, or one for each channel"
        )
