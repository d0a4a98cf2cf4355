"""How the time of `exact` grows with the number of steps, of images at a time, of spikes, and of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.turns import by_turns, spread
from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.model import Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking

Array = NDArray[Any]

SIZES = (16, 32, 64, 128)
STARTS = (1.0, 0.5, 0.0, -1.0, -2.0)
"""Initial potentials, in units of theta: the lower, the fewer spikes."""


def with_v0(network: Network, phi: float) -> Network:
    """The network whose potentials start at phi theta."""
    return network.with_neurons(
        {each.name: replace(each.neuron, v0=phi * each.neuron.theta) for each in network.spiking}
    )


def growth(network: Network, currents: Any, T: int, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """CPU milliseconds per image; currents(n) : (n, C, H, W)."""
    cases: dict[str, Iterator[tuple[dict[str, Any], Network, int, Array]]] = {
        "steps": (
            ({"T": t, "batch": batch}, network, t, currents(batch))
            for t, batch in ((1, 16), (2, 16), (4, 16), (8, 16), (16, 8), (32, 4), (64, 2))
        ),
        "batch": (({"T": T, "batch": batch}, network, T, currents(batch)) for batch in (1, 2, 4, 8, 16, 32)),
        "density": (({"v0": phi}, with_v0(network, phi), T, currents(8)) for phi in STARTS),
        "image size": (({"pixels": size**2}, plain(size), T, noise(size)) for size in SIZES),
    }
    return {name: [facts | _measure(net, t, x, rounds) for facts, net, t, x in each] for name, each in cases.items()}


def _measure(network: Network, T: int, x: Array, rounds: int) -> dict[str, Any]:
    plan = compile_network(network, "exact")
    trace = simulate(plan, x, T)
    sops = sum(int(each.unit.sum()) for each in trace.ops.values()) / len(x)
    times = by_turns({"": lambda: simulate(plan, x, T)}, rounds)[""]
    found = spread([1e3 * each / len(x) for each in times])
    return {"sops_per_image": sops, "nanoseconds_per_sop": 1e6 * found["median"] / max(sops, 1)} | found


def plain(size: int) -> Network:
    """Three layers of 64 channels that keep the size of the image."""
    rng = np.random.default_rng(size)
    neuron = Neuron(theta=1.0, v0=0.5)
    layers: list[Any] = []
    source, c_in = "input", 3
    for i in range(3):
        weight = rng.normal(0, 1.2 / np.sqrt(9 * c_in), (64, c_in, 3, 3)).astype(np.float32)
        layers.append(Conv2d(name=f"c{i}", inputs=(source,), weight=weight, bias=np.zeros(64), padding=(1, 1)))
        layers.append(Spiking(name=f"s{i}", inputs=(f"c{i}",), neuron=neuron))
        source, c_in = f"s{i}", 64
    layers.append(Flatten(name="flat", inputs=(source,)))
    weight = rng.normal(0, 0.01, (2, 64 * size * size)).astype(np.float32)
    layers.append(Linear(name="fc", inputs=("flat",), weight=weight, bias=np.zeros(2)))
    return Network(name="plain", input=InputSpec(shape=(3, size, size)), layers=tuple(layers))


def noise(size: int) -> Array:
    """Two images."""
    return np.random.default_rng(0).normal(size=(2, 3, size, size))
