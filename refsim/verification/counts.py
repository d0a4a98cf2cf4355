"""What the engine's counters must say, from the dense spikes of the specification and `reference.counts`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.engine.trace import SynapticOps
from refsim.model import INPUT, Add, AvgPool2d, Conv2d, Flatten, Linear, Network, Spiking
from refsim.reference.counts import Target, deliveries, synaptic_ops
from refsim.reference.network import Simulation
from refsim.reference.synapses import sum_pool2d

Array = NDArray[Any]


class _Path(NamedTuple):
    """One way from a population (or the image) into a layer that collects currents."""

    source: str
    pool: AvgPool2d | None
    flatten: bool
    target: Target

    def events(self, spikes: Array) -> Array:
        """(B, *shape) spikes, or their numbers, as they arrive at the synapses."""
        arriving = spikes if spikes.dtype.kind == "f" else spikes.astype(np.int64)
        if self.pool is not None:
            arriving = sum_pool2d(arriving, self.pool.kernel, self.pool.stride)
        return arriving.reshape(len(arriving), -1) if self.flatten else arriving


def expected_ops(
    network: Network, simulation: Simulation, skip_zero_weights: bool = False
) -> dict[tuple[str, str], SynapticOps]:
    """Synaptic operations by (source, target) for every projection that spikes travel through (semantics 7)."""
    ops: dict[tuple[str, str], SynapticOps] = {}
    for population in network.driven:
        for path in _paths(network, population):
            if path.source == INPUT:
                continue
            counted = _count(path, simulation.spikes[path.source], skip_zero_weights)
            key = (path.source, path.target.name)
            ops[key] = ops[key] + counted if key in ops else counted
    return ops


def expected_reached(network: Network, simulation: Simulation) -> dict[str, Array]:
    """(T, B) by spiking layer: neurons that received at least one delivery; all of them, if an image drives them."""
    T, n_images = simulation.logits.shape[:2]
    reached = {}
    for population in network.spiking:
        there = np.zeros((T, n_images, *network.shapes[population.name]), dtype=bool)
        for path in _paths(network, population):
            for t in range(T):
                if path.source == INPUT:
                    there[t] = True
                else:
                    arriving = path.events(
                        _sizes(network, path, simulation.logits.dtype) * simulation.spikes[path.source][t]
                    )
                    there[t] |= deliveries(path.target, (arriving != 0).astype(np.int64)) > 0
        reached[population.name] = there.reshape(T, n_images, -1).sum(axis=2)
    return reached


def _sizes(network: Network, path: _Path, dtype: Any) -> Array:
    """theta where a pool sums spikes of different size, which cancel by size and not by number; else 1."""
    source = network.by_name[path.source]
    assert isinstance(source, Spiking)
    if path.pool is None or source.neuron.theta.ndim < 3:
        return np.ones((), dtype=np.int64)
    return source.neuron.theta.astype(dtype)


def _count(path: _Path, spikes: Array, skip_zero_weights: bool) -> SynapticOps:
    steps: dict[str, list[Array]] = {each.name: [] for each in fields(SynapticOps)}
    for s in spikes:
        arriving = path.events(s)
        for key, events in (
            ("unit_pos", path.events(s > 0)),
            ("unit_neg", path.events(s < 0)),
            ("event_pos", arriving > 0),
            ("event_neg", arriving < 0),
        ):
            steps[key].append(synaptic_ops(path.target, events.astype(np.int64), skip_zero_weights))
        entering = path.events(np.abs(s)) if path.pool is not None else np.zeros((len(s), 1), dtype=np.int64)
        steps["pool_in"].append(entering.reshape(len(s), -1).sum(axis=1))
    return SynapticOps(**{key: np.stack(rows) for key, rows in steps.items()})


def _paths(network: Network, population: Spiking | Linear) -> Iterator[_Path]:
    """The ways into a population of neurons, or into the readout."""
    head = population.inputs[0] if isinstance(population, Spiking) else population.name
    adder = network.by_name.get(head)
    if isinstance(adder, Add):
        for name in adder.inputs:
            yield _path_to(network, adder, name)
    else:
        yield _path_to(network, population, head)


def _path_to(network: Network, target: Target, name: str) -> _Path:
    """Back from what `target` reads to where its spikes come from."""
    pool, flatten = None, False
    while (layer := network.by_name.get(name)) is not None:
        match layer:
            case Conv2d() | Linear():
                target = layer
            case Flatten():
                flatten = True
            case AvgPool2d():
                pool = layer
            case Spiking():
                break
            case Add():
                raise AssertionError(f"'{name}' adds currents: each has a path of its own")
            case _:
                assert_never(layer)
        name = layer.inputs[0]
    return _Path(source=name, pool=pool, flatten=flatten, target=target)
