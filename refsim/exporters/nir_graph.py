"""A network as the nodes and edges of NIR, with thresholds of 1, in the form that a tool can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from refsim.engine.wiring import Wire, wires_of
from refsim.exceptions import UsageError
from refsim.model import INPUT, AvgPool2d, Conv2d, Linear, MaxPool2d, Network, Shape, Spiking

Array = NDArray[Any]

Tool = Literal["generic", "sinabs", "spikingjelly", "norse", "snntorch"]
TOOLS: tuple[Tool, ...] = get_args(Tool)

SUM_POOLS: tuple[Tool, ...] = ("sinabs", "norse")
"""What reads SumPool2d and no AvgPool2d; the division is inside the weights behind it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NirNode:
    """One node: its type, what NIR says belongs to it, and free metadata, which no tool reads."""

    type: str
    fields: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class NirGraph:
    """The nodes by their names, in order, and the edges."""

    nodes: Mapping[str, NirNode]
    edges: tuple[tuple[str, str], ...]


def nir_graph(network: Network, tool: Tool) -> NirGraph:
    """The network with every threshold 1, so that a spike is worth 1 and v0 is theta's share.

    Weights become W theta_source / theta_target, biases b / theta_target; the readout keeps its unit. Linear layers
    become convolutions over the whole plane, so that nothing is flattened; groups are written out; identities become
    1x1 convolutions with numbers on their diagonal; additions are edges that meet.

    Raises
    ------
    UsageError
        What NIR, or every tool that reads it, has no word for: negative thresholds, leaks, max pools, thresholds that
        differ within a channel.
    """
    _refuse(network)
    builder = _Builder(network, tool)
    for layer in network.driven:
        builder.add(layer)
    return builder.graph()


def _refuse(network: Network) -> None:
    for layer in network.layers:
        if isinstance(layer, MaxPool2d):
            raise UsageError(f"layer '{layer.name}': NIR has no max pool; average pools can be exported")
        if not isinstance(layer, Spiking):
            continue
        if layer.neuron.dual:
            raise UsageError(
                f"layer '{layer.name}': NIR's IF has no negative threshold, and no tool that reads NIR has one; export "
                f"IF neurons (--neuron if)"
            )
        if layer.neuron.leak != 1:
            raise UsageError(f"layer '{layer.name}': leaks (factor {layer.neuron.leak}); only IF neurons are exported")
        if layer.neuron.theta.ndim == 3:
            raise UsageError(
                f"layer '{layer.name}': theta differs within a channel, and a convolution has one weight for all "
                f"positions; use one theta for each channel"
            )


class _Builder:
    def __init__(self, network: Network, tool: Tool) -> None:
        self._network, self._tool = network, tool
        self._names = _names(network)
        self._nodes: dict[str, NirNode] = {
            "input": NirNode(type="Input", fields={"shape": np.array(network.input.shape)})
        }
        self._edges: list[tuple[str, str]] = []

    def graph(self) -> NirGraph:
        """What has been added."""
        return NirGraph(nodes=self._nodes, edges=tuple(self._edges))

    def add(self, layer: Spiking | Linear) -> None:
        """A population or the readout, and what drives it."""
        _, wires = wires_of(self._network, layer, fold=False)
        shape = _plane(self._network.shapes[layer.name])
        name = self._names[layer.name] if isinstance(layer, Spiking) else "output"
        theta = _by_channel(layer.neuron.theta, shape[0]) if isinstance(layer, Spiking) else np.ones(shape[0])
        # What a node reads stands before it: some readers go through the nodes a few times only.
        sources = [self._weights(wire, number, layer, theta, shape) for number, wire in enumerate(wires)]
        if isinstance(layer, Spiking):
            self._nodes[name] = _neurons(layer, shape, self._tool)
        else:
            self._nodes[name] = NirNode(type="Output", fields={"shape": np.array(shape)})
        self._edges += [(source, name) for source in sources]

    def _weights(self, wire: Wire, number: int, layer: Spiking | Linear, theta: Array, shape: Shape) -> str:
        """The convolution that a wire becomes; its name."""
        source, plane = self._source(wire)
        if wire.layer is None:
            name = f"{self._names[layer.name]}_identity{number}"
        else:
            name = self._names[wire.layer.name]
        conv = _as_conv2d(wire, plane, shape)
        worth = np.ones(plane[0]) if wire.is_image else _by_channel(wire.theta, plane[0])
        weight = conv.weight * worth[:, None, None] / theta[:, None, None, None]
        if self._divides(wire):
            weight = weight / wire.port.window_size
        self._nodes[name] = NirNode(
            type="Conv2d",
            fields={
                "input_shape": np.array(plane[1:]),
                "weight": weight,
                "stride": np.array(conv.stride),
                "padding": np.array(conv.padding),
                "dilation": np.array(conv.dilation),
                "groups": 1,
                "bias": conv.bias / theta,
            },
        )
        self._edges.append((source, name))
        return name

    def _source(self, wire: Wire) -> tuple[str, Shape]:
        """The node that a wire reads, behind its pool, and the shape of what it reads."""
        name = "input" if wire.is_image else self._names[wire.port.source]
        pool = wire.port.pool
        if pool is None:
            return name, wire.source
        assert isinstance(pool, AvgPool2d)
        node = self._names[pool.name]
        if node not in self._nodes:
            kind = "SumPool2d" if self._tool in SUM_POOLS else "AvgPool2d"
            fields = {
                "kernel_size": np.array(pool.kernel),
                "stride": np.array(pool.stride),
                "padding": np.zeros(2, int),
            }
            self._nodes[node] = NirNode(type=kind, fields=fields)
            self._edges.append((name, node))
        return node, wire.pooled_shape

    def _divides(self, wire: Wire) -> bool:
        return wire.port.pool is not None and self._tool in SUM_POOLS


def _neurons(layer: Spiking, shape: Shape, tool: Tool) -> NirNode:
    neuron = layer.neuron
    # nir 1.0.4, to which sinabs is pinned, refuses an IF with v_reset; later ones take 0 where there is none.
    v_reset = {} if tool == "sinabs" else {"v_reset": np.zeros(shape)}
    v0 = np.broadcast_to(_spread(neuron.v0, shape) / _spread(neuron.theta, shape), shape)
    return NirNode(
        type="IF",
        fields={"r": np.ones(shape), "v_threshold": np.ones(shape), **v_reset},
        metadata={
            "layer": layer.name,
            "comparison": ">=",
            "reset": neuron.reset,
            "v0": v0.reshape(-1)[:1] if (v0 == v0.reshape(-1)[0]).all() else v0,
            "theta": neuron.theta,
            "spikes_per_step": 1,
        },
    )


def _as_conv2d(wire: Wire, plane: Shape, shape: Shape) -> Conv2d:
    """The weights of a wire as a convolution without groups, of float64."""
    zero = np.zeros(shape[0])
    match wire.layer:
        case None:
            if wire.port.flatten:
                raise UsageError(
                    f"'{wire.port.source}' is flattened without weights; NIR tools disagree on what that means"
                )
            return Conv2d(name="identity", inputs=(INPUT,), weight=np.eye(shape[0])[:, :, None, None], bias=zero)
        case Linear(weight=weight) as layer:
            full = layer.effective_weight().reshape(len(weight), *plane)
            return Conv2d(name="linear", inputs=(INPUT,), weight=full, bias=layer.bias)
        case Conv2d() as conv:
            return Conv2d(
                name="conv",
                inputs=(INPUT,),
                weight=_ungrouped(conv.effective_weight(), conv.groups),
                bias=conv.bias,
                stride=conv.stride,
                padding=conv.padding,
                dilation=conv.dilation,
            )


def _ungrouped(weight: Array, groups: int) -> Array:
    """(C_out, C_in / groups, kH, kW) as (C_out, C_in, kH, kW), with zeros between the groups."""
    n_out, c_group, *kernel = weight.shape
    full = np.zeros((n_out, groups * c_group, *kernel))
    step = n_out // groups
    for g in range(groups):
        full[g * step : (g + 1) * step, g * c_group : (g + 1) * c_group] = weight[g * step : (g + 1) * step]
    return full


def _by_channel(theta: Array, n: int) -> Array:
    return np.broadcast_to(theta, (n,))


def _spread(value: Array, shape: Shape) -> Array:
    return value.reshape(value.shape + (1,) * (len(shape) - value.ndim) * (value.ndim > 0))


def _plane(shape: Shape) -> Shape:
    return shape if len(shape) == 3 else (shape[0], 1, 1)


def _names(network: Network) -> dict[str, str]:
    """Layers' names without dots, which PyTorch's modules cannot have, each still its own."""
    found: dict[str, str] = {}
    taken = {"input", "output"}
    for layer in network.layers:
        name = base = "".join(c if c.isascii() and c.isalnum() else "_" for c in layer.name)
        if not base or base[0].isdigit():
            name = base = f"layer_{base}"
        number = 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        found[layer.name] = name
    return found
