"""Which populations drive which, through what: the network as the neurons see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refsim.errors import NetworkError
from refsim.fanout import fan_out_of, unpool
from refsim.model import INPUT, AvgPool2d, Conv2d, Flatten, Layer, Linear, Network, Shape, Spiking

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Branch:
    """From one population, or the image, to what adds up to another one's current.

    weighted
        The layer whose weights act; None for an identity shortcut.
    flatten
        Whether (C, H, W) becomes a vector on the way.
    """

    source: str
    pool: AvgPool2d | None
    flatten: bool
    weighted: Conv2d | Linear | None


def branches_into(network: Network, layer: Layer) -> tuple[Branch, ...]:
    """What drives a spiking layer or the readout, in the order in which it is added up."""
    drive = network.by_name.get(layer.inputs[0]) if isinstance(layer, Spiking) else layer
    if drive is None:
        return (Branch(source=INPUT, pool=None, flatten=False, weighted=None),)
    heads = drive.inputs if drive.kind == "add" else (drive.name,)
    return tuple(_follow(network, head) for head in heads)


def _follow(network: Network, name: str) -> Branch:
    weighted, flatten, pool = None, False, None
    layer = network.by_name.get(name)
    if isinstance(layer, Conv2d | Linear):
        weighted, name = layer, layer.inputs[0]
        layer = network.by_name.get(name)
    if isinstance(layer, Flatten):
        flatten, name = True, layer.inputs[0]
        layer = network.by_name.get(name)
    if isinstance(layer, AvgPool2d):
        pool, name = layer, layer.inputs[0]
    return Branch(source=name, pool=pool, flatten=flatten, weighted=weighted)


def fan_out(network: Network, branch: Branch) -> Counts:
    """Existing synapses that a spike of each source position reaches, (H, W); behind a pool, over all windows."""
    shape = _as_plane(network.shapes[branch.source])
    cells = _as_plane(network.shapes[branch.pool.name]) if branch.pool else shape
    if branch.weighted is None:
        reached = np.ones((*cells[1:], 1), dtype=np.int64)
    elif isinstance(branch.weighted, Linear):
        reached = np.full((*cells[1:], 1), len(branch.weighted.weight), dtype=np.int64)
    else:
        target = network.shapes[branch.weighted.name]
        reached = fan_out_of(branch.weighted, cells, (target[0], target[1], target[2]), False)
    if branch.pool:
        reached = unpool(reached, branch.pool, shape)
    return reached[:, :, 0]


def with_bias(network: Network, change: Mapping[str, NDArray[np.float64]]) -> Network:
    """The network with more current at every step: change[spiking layer] is a scalar or (C,).

    It goes into the bias of the first layer with weights that drives the population.

    Raises
    ------
    NetworkError
        No weights drive it, so there is no bias.
    """
    new = {}
    for name, shift in change.items():
        weighted = [each.weighted for each in branches_into(network, network.by_name[name]) if each.weighted]
        if not weighted:
            raise NetworkError(f"layer '{name}': no weights drive it, so there is no bias to change")
        new[weighted[0].name] = replace(weighted[0], bias=weighted[0].bias + shift)
    return replace(network, layers=tuple(new.get(layer.name, layer) for layer in network.layers))


def _as_plane(shape: Shape) -> tuple[int, int, int]:
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)
