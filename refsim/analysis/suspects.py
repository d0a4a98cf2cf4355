"""What is wrong with a simulator: every usual mistake is tried on the first layer that differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.currents import arriving_counts, arriving_values, current_through
from refsim.engine.wiring import Wire, wires_of
from refsim.model import Conv2d, Linear, Network, Spiking
from refsim.reference.quantised import Part, analog_currents, over

Array = NDArray[Any]

Reset = Literal["subtract", "zero"]
Reweigh = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True, eq=False)
class Suspect:
    """One way to be wrong, and how many decisions of the layer it leaves unexplained.

    kind
        "comparison", "reset", "v0", "delay", "bias" or "transposed".
    what
        In words.
    left
        Decisions that still differ if the layer is simulated so.
    """

    kind: str
    what: str
    left: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """The layer that differs first, and what is known to reach it.

    x : (N, C, H, W), input currents
    spikes : by layer, (T, N, *shape), those of refsim
    bits
        Of weights; 0: floats.
    """

    network: Network
    layer: Spiking
    x: Array
    spikes: dict[str, Array]
    bits: int

    @cached_property
    def part(self) -> Part:
        """The layer in whole numbers."""
        return Part(self.network, self.layer, analog_currents(self.network, self.x), len(self.x), self.bits)

    @property
    def parameters(self) -> tuple[Array, Array, Array, float]:
        """theta, theta_neg and v0 over (*shape), and the leak."""
        if self.bits:
            return self.part.theta, self.part.theta_neg, self.part.v0, 1.0
        neuron, shape = self.layer.neuron, self.network.shapes[self.layer.name]
        theta, theta_neg, v0 = (over(each, shape) for each in (neuron.theta, neuron.negative_threshold, neuron.v0))
        return theta, theta_neg, v0, neuron.leak

    @property
    def wires(self) -> list[Wire]:
        """What drives the layer."""
        return wires_of(self.network, self.layer, fold=False)[1]


def suspects(scene: Scene, foreign: Array) -> list[Suspect]:
    """Every mistake with the number of decisions that it leaves different from foreign spikes (T, N, *shape)."""
    found = [
        Suspect(kind=kind, what=what, left=int((spikes != foreign).sum())) for kind, what, spikes in _variants(scene)
    ]
    # Of two that explain the same, the one that is tried first is the more usual.
    return sorted(found, key=lambda each: each.left)


def _variants(scene: Scene) -> Iterator[tuple[str, str, Array]]:
    """Kind, words, and the spikes of the layer, (T, N, *shape)."""
    neuron = scene.layer.neuron
    u = _current(scene)
    yield "comparison", "fires where v + u exceeds theta, not where it equals it", _fire(scene, u, strict=True)
    if neuron.reset == "subtract":
        yield "reset", "resets to zero after a spike", _fire(scene, u, reset="zero")
    else:
        yield "reset", "subtracts theta after a spike", _fire(scene, u, reset="subtract")
    theta, _, start, _ = scene.parameters
    for phi, words_ in ((0.0, "starts at v = 0"), (0.5, "starts at v = theta / 2")):
        if (start != np.rint(phi * theta) if scene.bits else start != phi * theta).any():
            yield "v0", words_, _fire(scene, u, v0=phi)
    late = np.concatenate([np.zeros_like(u[:1]), scene.spikes[scene.layer.name][:-1].astype(u.dtype)])
    if any(not wire.is_image for wire in scene.wires):
        yield "delay", "reads spikes one step late", _fire(scene, _current(scene, late=True))
    yield "delay", "fires one step late", late
    weighted = {wire.layer.name for wire in scene.wires if wire.layer is not None and wire.layer.bias.any()}
    for name in sorted(weighted):
        yield "bias", f"has no bias in '{name}'", _fire(scene, _current(scene, without_bias={name}))
    if len(weighted) > 1:
        yield "bias", "has no biases", _fire(scene, _current(scene, without_bias=weighted))
    for wire in scene.wires:
        if wire.layer is not None:
            for words_, reweigh in _transpositions(wire):
                changed = {wire.layer.name: reweigh}
                yield "transposed", f"{words_} in '{wire.layer.name}'", _fire(scene, _current(scene, reweigh=changed))


def _transpositions(wire: Wire) -> Iterator[tuple[str, Reweigh]]:
    """Other orders of a weight's axes that have its shape."""
    match wire.layer:
        case Linear(weight=weight):
            if weight.shape[0] == weight.shape[1]:
                yield "weight transposed", lambda w: w.T
            if wire.port.flatten:
                c, h, y = wire.pooled_shape
                # W'[o, (c, y, x)] = W[o, (y, x, c)]: what a reader in the order (H, W, C) makes of the same matrix.
                yield (
                    "inputs read in the order (H, W, C)",
                    lambda w: w.reshape(-1, h, y, c).transpose(0, 3, 1, 2).reshape(w.shape),
                )
        case Conv2d(weight=weight):
            if weight.shape[2] == weight.shape[3] > 1:
                yield "kernel transposed (rows and columns exchanged)", lambda w: w.swapaxes(2, 3)
            if weight.shape[0] == weight.shape[1]:
                yield "weight transposed (input and output channels exchanged)", lambda w: w.swapaxes(0, 1)
            if weight.shape[2] * weight.shape[3] > 1:
                yield "kernel flipped (a convolution, not a correlation)", lambda w: w[:, :, ::-1, ::-1]
        case None:
            return


def _current(
    scene: Scene,
    *,
    late: bool = False,
    without_bias: set[str] | None = None,
    reweigh: dict[str, Reweigh] | None = None,
) -> Array:
    """The current of every step, (T, N, *shape), with a mistake in it."""
    without_bias, reweigh = without_bias or set(), reweigh or {}
    if scene.bits:
        return _whole_current(scene, late, without_bias, reweigh)
    u: Array | None = None
    for wire in scene.wires:
        values = arriving_values(wire, scene.spikes, scene.x)
        if late and not wire.is_image:
            values = _later(values)
        if wire.layer is None:
            weight, bias = np.ones(scene.network.shapes[scene.layer.name][0]), np.zeros(0)
        else:
            weight = reweigh.get(wire.layer.name, _as_it_is)(wire.layer.effective_weight())
            bias = wire.layer.bias * (wire.layer.name not in without_bias)
        part = current_through(wire, values, weight, bias)
        u = part if u is None else u + part
    assert u is not None
    return np.broadcast_to(u, (len(scene.spikes[scene.layer.name]), *u.shape[1:]))


def _whole_current(scene: Scene, late: bool, without_bias: set[str], reweigh: dict[str, Reweigh]) -> Array:
    """The same in whole numbers: the exported ones, so that a weight that is transposed keeps its values."""
    T = len(scene.spikes[scene.layer.name])
    image = {wire.layer.name for wire in scene.wires if wire.is_image and wire.layer is not None}
    network = _changed(scene.network, without_bias, {k: v for k, v in reweigh.items() if k in image})
    part = Part(network, scene.layer, analog_currents(network, scene.x), len(scene.x), scene.bits)
    u = np.broadcast_to(part.steady, (T, *part.steady.shape)).copy()
    wires = [wire for wire in scene.wires if not wire.is_image]
    for wire, weight in zip(wires, part.weights, strict=True):
        counts = arriving_counts(wire, scene.spikes)
        if wire.layer is not None:
            weight = reweigh.get(wire.layer.name, _as_it_is)(weight)
        u += current_through(wire, _later(counts) if late else counts, weight, np.zeros(len(weight), dtype=np.int64))
    return u


def _changed(network: Network, without_bias: set[str], reweigh: dict[str, Reweigh]) -> Network:
    layers = []
    for layer in network.layers:
        if isinstance(layer, Conv2d | Linear) and layer.name in without_bias:
            layer = replace(layer, bias=np.zeros_like(layer.bias))
        if isinstance(layer, Conv2d | Linear) and layer.name in reweigh:
            layer = replace(layer, weight=reweigh[layer.name](layer.effective_weight()), scale=None)
        layers.append(layer)
    return replace(network, layers=tuple(layers))


def _as_it_is(weight: Array) -> Array:
    return weight


def _later(values: Array) -> Array:
    return np.concatenate([np.zeros_like(values[:1]), values[:-1]])


def _fire(
    scene: Scene, u: Array, *, strict: bool = False, reset: Reset | None = None, v0: float | None = None
) -> Array:
    """The spikes that currents (T, N, *shape) cause; v0 in units of theta."""
    neuron = scene.layer.neuron
    theta, theta_neg, start, leak = scene.parameters
    if v0 is not None:
        start = np.rint(v0 * theta) if scene.bits else v0 * theta
    v = np.zeros(u.shape[1:]) + start
    fired, spikes = np.zeros(u.shape[1:]), np.zeros(u.shape, dtype=np.int8)
    for t, step in enumerate(u):
        m = leak * v + step
        up = m > theta if strict else m >= theta
        down = (m < theta_neg if strict else m <= theta_neg) & (fired >= 1)
        spikes[t] = up.astype(np.int8) - down.astype(np.int8)
        fired = fired + (up if neuron.gate == "gross" else spikes[t])
        v = m - spikes[t] * theta if (reset or neuron.reset) == "subtract" else np.where(spikes[t] == 0, m, 0.0)
    return spikes
