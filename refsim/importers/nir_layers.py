"""From the nodes of a NIR graph to layers: spikes worth theta, sums as additions, the last currents as the readout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError, UsageError
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.nir_file import NirNode, by_channel
from refsim.importers.options import ImageShape
from refsim.model import INPUT, Add, AnyLayer, AvgPool2d, Conv2d, Flatten, Linear, Neuron, Shape, Spiking

Array = NDArray[Any]

MAX_IDENTITY = 4096
"""Neurons that an identity matrix is made for."""


class Rule(NamedTuple):
    """What an IF neuron does: v(0) in units of theta."""

    strict: bool
    reset: Literal["subtract", "zero"]
    v0: float


@dataclass(frozen=True, kw_only=True)
class NirNetwork:
    """The image, the layers, and lines for the user."""

    shape: ImageShape
    layers: tuple[AnyLayer, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Value:
    """What a node gives: the layer to read, its shape, what a spike is worth there, and its cells of summed windows."""

    layer: str
    shape: Shape
    theta: Array
    factor: float = 1.0


class Reader:
    """One pass over the nodes in the order in which currents flow."""

    def __init__(self, nodes: dict[str, NirNode], edges: list[tuple[str, str]], rule: Rule) -> None:
        self.nodes, self.edges, self.rule = nodes, edges, rule
        self.layers: list[AnyLayer] = []
        self.values: dict[str, _Value] = {}
        self.sources: dict[str, list[str]] = {name: [] for name in nodes}
        for source, target in edges:
            self.sources[target].append(source)

    def network(self, dt: float | None, shape: ImageShape | None) -> NirNetwork:
        """The layers."""
        ends = {kind: [n for n, node in self.nodes.items() if node.kind == kind] for kind in ("Input", "Output")}
        if any(len(names) != 1 for names in ends.values()):
            raise FormatError("expected one Input and one Output")
        self.gain, notes = self._gain(dt)
        for name in self._order():
            node = self.nodes[name]
            match node.kind:
                case "Input":
                    image = self._image(node, shape)
                case "Output":
                    self._readout(self.sources[name], node)
                case "IF":
                    self._neurons(node)
                case "Conv2d" | "Linear" | "Affine":
                    self._weighted(node)
                case "AvgPool2d" | "SumPool2d":
                    self._pool(node)
                case "Flatten":
                    source = self._one(node)
                    self.values[name] = self._flat(name, source)
                case _:
                    raise FormatError(node.refusal())
        return NirNetwork(shape=image, layers=tuple(self.layers), notes=tuple(notes))

    # -- the whole -----------------------------------------------------------------------------------------

    def _order(self) -> list[str]:
        waiting, order = {name: len(sources) for name, sources in self.sources.items()}, []
        ready = [name for name, n in waiting.items() if n == 0]
        targets: dict[str, list[str]] = {}
        for source, target in self.edges:
            targets.setdefault(source, []).append(target)
        while ready:
            name = ready.pop(0)
            order.append(name)
            for target in targets.get(name, []):
                waiting[target] -= 1
                if waiting[target] == 0:
                    ready.append(target)
        stuck = [name for name in self.nodes if name not in set(order)]
        if stuck:
            raise FormatError(f"a cycle through {shown(stuck[0])}: recurrent networks have no counterpart here")
        return order

    def _gain(self, dt: float | None) -> tuple[dict[str, Array], list[str]]:
        """r dt of every population, and lines for the user."""
        found = {name: node.numbers("r") for name, node in self.nodes.items() if node.kind == "IF"}
        rates = np.unique(np.concatenate([r.reshape(-1) for r in found.values()])) if found else np.ones(1)
        if not (np.isfinite(rates) & (rates > 0)).all():
            raise FormatError("r must be positive and finite")
        if dt is None and len(rates) > 1:
            raise UsageError(
                f"r differs, {rates[0]:.4g} to {rates[-1]:.4g}; say the time of a step, --dt (in Python, dt=)"
            )
        if dt is None:
            said = (
                [] if rates[0] == 1 else [f"r = {rates[0]:.6g} everywhere: a step of dt = 1 / r = {1 / rates[0]:.4g}"]
            )
            return {name: np.ones(()) for name in found}, said
        return {name: by_channel(r * dt, name, "r") for name, r in found.items()}, []

    # -- nodes ---------------------------------------------------------------------------------------------

    def _image(self, node: NirNode, shape: ImageShape | None) -> ImageShape:
        found = tuple(int(n) for n in node.numbers("shape").reshape(-1))
        image = found if len(found) == 3 else shape or (1, 1, prod(found))
        if len(image) != 3 or prod(image) != prod(found) or min(image) < 1:
            raise FormatError(f"Input {shown(node.name)} has shape {found}; give --input-shape C,H,W of as many values")
        self.values[node.name] = _Value(INPUT, image, np.ones(()))
        return image[0], image[1], image[2]

    def _one(self, node: NirNode) -> _Value:
        sources = self.sources[node.name]
        if len(sources) != 1:
            raise FormatError(
                f"{node.kind} {shown(node.name)} reads {len(sources)} nodes; sums stand before neurons only"
            )
        return self.values[sources[0]]

    def _neurons(self, node: NirNode) -> None:
        reset = node.numbers("v_reset") if node.has("v_reset") else np.zeros(1)
        if reset.any():
            raise FormatError(
                f"IF {shown(node.name)} resets to {reset.reshape(-1)[0]:.4g}; only v_reset = 0 is simulated"
            )
        inputs = [self._current(source, node.name) for source in self.sources[node.name]]
        if not inputs:
            raise FormatError(f"IF {shown(node.name)} reads nothing")
        if len(inputs) > 1:
            self._add(Add(name=f"{node.name}.add", inputs=tuple(each.layer for each in inputs)), inputs)
            inputs = [_Value(f"{node.name}.add", inputs[0].shape, np.ones(()))]
        theta = by_channel(node.numbers("v_threshold"), node.name, "v_threshold")
        neuron = Neuron(theta=theta, v0=self.rule.v0 * theta, reset=self.rule.reset, strict=self.rule.strict)
        shape = self._add(Spiking(name=node.name, inputs=(inputs[0].layer,), neuron=neuron), inputs)
        self.values[node.name] = _Value(node.name, shape, theta)

    def _current(self, source: str, target: str) -> _Value:
        """The input current that a node gives to neurons: of a weighted layer, or spikes by weights of one."""
        value = self.values[source]
        if self.nodes[source].kind in ("Conv2d", "Linear", "Affine"):
            return value
        name = f"{target}.from.{source}"
        gain = np.broadcast_to(self.gain[target], value.shape[:1])
        return self._multiply(name, value, gain) if len(value.shape) == 3 else self._identity(name, value, gain)

    def _multiply(self, name: str, value: _Value, gain: Array) -> _Value:
        weight = np.diag(gain * np.broadcast_to(value.factor / value.theta, value.shape[:1]))[:, :, None, None]
        layer = Conv2d(name=name, inputs=(value.layer,), weight=weight, bias=np.zeros(len(weight)))
        return _Value(name, self._add(layer, [value]), np.ones(()))

    def _identity(self, name: str, value: _Value, gain: Array | float = 1.0) -> _Value:
        n = prod(value.shape)
        if n > MAX_IDENTITY:
            raise FormatError(f"{name}: {n} neurons; identity matrices of at most {MAX_IDENTITY} are made")
        weight = np.eye(n) * np.broadcast_to(gain, n)[:, None] * _columns(value)
        return _Value(
            name,
            self._add(Linear(name=name, inputs=(value.layer,), weight=weight, bias=np.zeros(n)), [value]),
            np.ones(()),
        )

    def _weighted(self, node: NirNode) -> None:
        source = self._one(node)
        weight = np.asarray(node.numbers("weight"), np.float64)
        bias = node.numbers("bias").astype(np.float64).reshape(-1) if node.has("bias") else np.zeros(len(weight))
        gains = [self.gain[target] for name, target in self.edges if name == node.name and target in self.gain]
        if len(gains) > 1:
            raise FormatError(f"{node.kind} {shown(node.name)} is read by several nodes")
        gain = np.broadcast_to(gains[0] if gains else np.ones(()), bias.shape)
        plane = node.kind == "Conv2d" and not gains
        if plane and weight.shape[2:] == source.shape[1:] and not any(node.padding(weight.shape[2:])):
            # The readout: a convolution over the whole plane.
            weight, source = weight.reshape(len(weight), -1), self._flat(f"{node.name}.flatten", source)
        n_read = prod(source.shape) if weight.ndim == 2 else source.shape[0] // max(1, node.integer("groups"))
        if weight.ndim not in (2, 4) or weight.shape[1] != n_read or len(bias) != len(weight):
            raise FormatError(
                f"{node.kind} {shown(node.name)}: weight {weight.shape} and bias {bias.shape} do not fit {source.shape}"
            )
        layer: AnyLayer
        if weight.ndim == 4:
            groups = node.integer("groups")
            per_input = np.broadcast_to(source.factor / source.theta, source.shape[:1])
            inside = per_input.reshape(groups, -1) if groups and len(per_input) % groups == 0 else per_input[None]
            weight = weight * np.repeat(inside, len(weight) // max(len(inside), 1), axis=0)[:, :, None, None]
            layer = Conv2d(
                name=node.name, inputs=(source.layer,), weight=weight * gain[:, None, None, None], bias=bias * gain,
                stride=node.pair("stride"), padding=node.padding(weight.shape[2:]),
                dilation=node.pair("dilation"), groups=groups,
            )  # fmt: skip
        else:
            weight = weight * _columns(source) * gain[:, None]
            layer = Linear(name=node.name, inputs=(source.layer,), weight=weight, bias=bias * gain)
        self.values[node.name] = _Value(node.name, self._add(layer, [source]), np.ones(()))

    def _pool(self, node: NirNode) -> None:
        source, kernel = self._one(node), node.pair("kernel_size")
        if any(node.pair("padding")):
            raise FormatError(f"{node.kind} {shown(node.name)} has padding; pools are not padded here")
        layer = AvgPool2d(name=node.name, inputs=(source.layer,), kernel=kernel, stride=node.pair("stride"))
        summed = prod(kernel) if node.kind == "SumPool2d" else 1
        self.values[node.name] = _Value(node.name, self._add(layer, [source]), source.theta, source.factor * summed)

    def _flat(self, name: str, source: _Value) -> _Value:
        if len(source.shape) == 1:
            return source
        shape = self._add(Flatten(name=name, inputs=(source.layer,)), [source])
        theta = source.theta if not source.theta.ndim else np.repeat(source.theta, prod(source.shape[1:]))
        return _Value(name, shape, theta, source.factor)

    def _readout(self, sources: Sequence[str], node: NirNode) -> None:
        value = self._one(node)
        if isinstance(self.layers[-1], Linear) and self.layers[-1].name == value.layer:
            return
        kind = self.nodes[sources[0]].kind
        if kind != "IF":
            raise FormatError(
                f"{kind} {shown(sources[0])} stands before the Output; expected Linear, Affine, a convolution over the "
                "whole plane, or IF"
            )
        self._identity("readout", self._flat("readout.flatten", value))

    def _add(self, layer: AnyLayer, sources: Sequence[_Value]) -> Shape:
        self.layers.append(layer)
        return layer.output_shape(tuple(each.shape for each in sources))


def _columns(value: _Value) -> Array:
    """What the columns of a matrix are multiplied by that reads this value."""
    per_neuron = np.broadcast_to(value.factor / value.theta, value.shape[:1])
    return np.repeat(per_neuron, prod(value.shape[1:]))
