"""What the engine's counters must say, from the dense spikes of the specification and `reference.counts`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.engine.trace import SynapticOps
from refsim.model import INPUT, Add, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Network, Pool, Spiking
from refsim.reference.counts import Target, deliveries, synaptic_ops
from refsim.reference.network import Simulation

Array = NDArray[Any]


class _Path(NamedTuple):
    """One way from a population (or the image) into a layer that collects currents."""

    source: str
    pool: Pool | None
    flatten: bool
    target: Target

    def entering(self, spikes: Array) -> Array:
        """(T, B, *shape) spikes, or their sizes, added up in the windows they enter; as they are without a pool."""
        spikes = spikes if spikes.dtype.kind == "f" else spikes.astype(np.int64)
        return spikes if self.pool is None else np.asarray(_positions_of_windows(spikes, self.pool, 0).sum(axis=0))

    def events(self, spikes: Array) -> Array:
        """(T, B, *shape) spikes, or their sizes, as they arrive at the synapses."""
        match self.pool:
            case None | AvgPool2d():
                return self.entering(spikes)
            case MaxPool2d():
                return _largest(spikes.astype(np.int64), self.pool)
            case _:
                assert_never(self.pool)

    def reach(self, events: Array) -> Array:
        """(T * B, *shape), what arrives, in the shape in which the target reads it."""
        flat = events.reshape(-1, *events.shape[2:])
        return flat.reshape(len(flat), -1) if self.flatten else flat


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
            if path.source == INPUT:
                there[:] = True
            else:
                sizes = _sizes(network, path, simulation.logits.dtype)
                arriving = path.reach(path.events(sizes * simulation.spikes[path.source]) != 0)
                there |= deliveries(path.target, arriving.astype(np.int64)).reshape(there.shape) > 0
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
    T, n_images = spikes.shape[:2]
    arriving = path.events(spikes)
    through = {"unit_pos": arriving > 0, "unit_neg": arriving < 0}
    match path.pool:
        case AvgPool2d():  # every spike passes through
            through = {"unit_pos": path.entering(spikes > 0), "unit_neg": path.entering(spikes < 0)}
        case None | MaxPool2d():
            pass
        case _:
            assert_never(path.pool)
    delivered = {
        key: synaptic_ops(path.target, path.reach(events), skip_zero_weights).reshape(T, n_images)
        for key, events in {**through, "event_pos": arriving > 0, "event_neg": arriving < 0}.items()
    }
    entering = path.entering(np.abs(spikes)) if path.pool is not None else np.zeros((T, n_images, 1), dtype=np.int64)
    return SynapticOps(**delivered, pool_in=entering.reshape(T, n_images, -1).sum(axis=2))


def _largest(spikes: Array, pool: MaxPool2d) -> Array:
    """(T, B, C, H', W'), what a max pool makes of spikes (T, B, C, H, W)."""
    match pool.mode:
        case "cumulative":
            largest = _positions_of_windows(spikes.cumsum(axis=0), pool, -len(spikes) - 1).max(axis=0)
            return np.asarray(np.diff(largest, axis=0, prepend=0))
        case "or":
            return np.asarray(_positions_of_windows(spikes, pool, -2).max(axis=0))
        case _:
            assert_never(pool.mode)


def _positions_of_windows(values: Array, pool: Pool, elsewhere: int) -> Array:
    """(k, T, B, C, H', W'), each position of each window of values (T, B, C, H, W); `elsewhere` is in the padding."""
    (pad_y, pad_x), (step_y, step_x) = (0, 0), (1, 1)
    if isinstance(pool, MaxPool2d):
        (pad_y, pad_x), (step_y, step_x) = pool.padding, pool.dilation
    padded = np.pad(values, ((0, 0),) * 3 + ((pad_y, pad_y), (pad_x, pad_x)), constant_values=elsewhere)
    reach = ((pool.kernel[0] - 1) * step_y + 1, (pool.kernel[1] - 1) * step_x + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(3, 4))
    chosen = windows[:, :, :, :: pool.stride[0], :: pool.stride[1], ::step_y, ::step_x]
    return np.moveaxis(chosen.reshape(*chosen.shape[:5], -1), 5, 0)


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
            case AvgPool2d() | MaxPool2d():
                pool = layer
            case Spiking():
                break
            case Add():
                raise AssertionError(f"'{name}' adds currents: each has a path of its own")
            case _:
                assert_never(layer)
        name = layer.inputs[0]
    return _Path(source=name, pool=pool, flatten=flatten, target=target)
