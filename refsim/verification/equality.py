"""Comparison of a backend with the specification: everything equal, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.engine.trace import SynapticOps
from refsim.model import Network
from refsim.reference.network import simulate as simulate_reference
from refsim.verification.counts import expected_ops, expected_reached

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """What a backend says happened; a field that is None is not compared.

    logits : (T, B, K), the readout's input current of each step
    spikes : by spiking layer, (T, B, *shape)
    v, current : by spiking layer, (B, *shape), final potential and sum of the input current over the T steps
    reached : by spiking layer, (T, B), neurons that received at least one delivery
    ops : by (source, target), synaptic operations, as in `refsim.engine.simulator.Trace`
    """

    logits: Array
    spikes: Mapping[str, Array]
    v: Mapping[str, Array] | None = None
    current: Mapping[str, Array] | None = None
    reached: Mapping[str, Array] | None = None
    ops: Mapping[tuple[str, str], SynapticOps] | None = None


Backend = Callable[[Network, Array, int, DTypeLike], Observed]
"""From a network, input currents (B, C, H, W), the number of steps and the number type to what happened."""


def event_engine(network: Network, x: Array, T: int, dtype: DTypeLike = np.float64) -> Observed:
    """refsim's own event engine, as a backend."""
    trace = simulate(compile_network(network, dtype), x, T, record=("spikes", "v", "current"))
    return Observed(
        logits=trace.logits,
        spikes={name: _recorded(each.spikes) for name, each in trace.populations.items()},
        v={name: _recorded(each.v) for name, each in trace.populations.items()},
        current={name: _recorded(each.current) for name, each in trace.populations.items()},
        reached={name: each.reached for name, each in trace.populations.items()},
        ops=trace.ops,
    )


def reference_in(dtype: DTypeLike) -> Callable[[Array], Array]:
    """The cast that makes the specification compute in a float type."""
    return lambda values: np.asarray(values, dtype=dtype)


def assert_equals_reference(
    network: Network, x: Array, T: int, *, backend: Backend = event_engine, dtype: DTypeLike = np.float64
) -> None:
    """Check that a backend equals `refsim.reference` in every bit of everything it reports.

    Parameters
    ----------
    x : (B, C, H, W), input currents
    backend
        Any simulator; refsim's event engine by default.
    dtype
        Number type in which both compute.

    Raises
    ------
    AssertionError
        With the first place, in order of layers and steps, where they differ.
    """
    simulation = simulate_reference(network, x, T, reference_in(dtype))
    actual = backend(network, x, T, dtype)
    for layer in network.spiking:
        name = layer.name
        _compare(f"layer '{name}': spike", ("t", "image"), simulation.spikes[name], actual.spikes[name])
        if actual.current is not None:
            total = np.zeros_like(simulation.v[name])
            for u in simulation.currents[name]:
                total = total + u
            _compare(f"layer '{name}': sum of currents", ("image",), total, actual.current[name])
        if actual.v is not None:
            _compare(f"layer '{name}': v(T)", ("image",), simulation.v[name], actual.v[name])
    _compare("logits", ("t", "image"), simulation.logits, actual.logits)
    if actual.reached is not None:
        for name, expected in expected_reached(network, simulation).items():
            _compare(f"layer '{name}': neurons reached", ("t", "image"), expected, actual.reached[name])
    if actual.ops is not None:
        _compare_ops(expected_ops(network, simulation), actual.ops)


def _compare_ops(
    expected: Mapping[tuple[str, str], SynapticOps], actual: Mapping[tuple[str, str], SynapticOps]
) -> None:
    if set(expected) != set(actual):
        raise AssertionError(f"projections counted: expected {sorted(expected)}, got {sorted(actual)}")
    for (source, target), ops in expected.items():
        for each in fields(SynapticOps):
            what = f"projection '{source}' -> '{target}': {each.name}"
            theirs = getattr(actual[source, target], each.name)
            _compare(what, ("t", "image"), getattr(ops, each.name), theirs)


def _compare(what: str, axes: tuple[str, ...], expected: Array, actual: Array) -> None:
    if expected.shape != actual.shape:
        raise AssertionError(f"{what}: expected shape {expected.shape}, got {actual.shape}")
    differs = expected != actual
    if not differs.any():
        return
    place = tuple(int(i) for i in np.argwhere(differs)[0])
    where = ", ".join(f"{axis} {i}" for axis, i in zip(axes, place))
    raise AssertionError(
        f"{what} at {where}, index {place[len(axes) :]}: expected {expected[place]}, got {actual[place]} "
        f"({int(differs.sum())} of {differs.size} differ)"
    )


def _recorded(values: Array | None) -> Array:
    assert values is not None
    return values
