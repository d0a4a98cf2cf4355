"""The SNN once more, synapse by synapse and neuron by neuron, in exact rationals and plain Python.

It shares nothing with the specification but `refsim.model`: it lists the synapses that exist, one by one, and counts
what travels through each. All values are flat lists in row-major order, so flattening does nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from itertools import product
from math import prod
from typing import NamedTuple

from refsim.model import (
    INPUT,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Network,
    Neuron,
    Pool,
    Shape,
    Spiking,
)

Values = list[Fraction]


class Synapse(NamedTuple):
    target: int
    source: int
    weight: Fraction


def synapses(layer: Layer, shape: Shape, out: Shape) -> list[Synapse]:
    """All synapses that exist; an identity connection has one for each neuron."""
    if not isinstance(layer, Conv2d | Linear):
        return [Synapse(i, i, Fraction(1)) for i in range(prod(shape))]
    scale = [1.0] * len(layer.weight) if layer.scale is None else layer.scale.tolist()
    weight = layer.weight.tolist()
    found = []
    if isinstance(layer, Linear):
        for i, j in product(range(out[0]), range(prod(shape))):
            found.append(Synapse(i, j, Fraction(weight[i][j]) * Fraction(scale[i])))
        return found
    _, h, w = shape
    _, c_group, k_h, k_w = layer.weight.shape
    per_group = out[0] // layer.groups
    for c, y, x in product(*map(range, out)):
        for d, i, j in product(range(c_group), range(k_h), range(k_w)):
            source_c = c // per_group * c_group + d
            source_y = y * layer.stride[0] + i * layer.dilation[0] - layer.padding[0]
            source_x = x * layer.stride[1] + j * layer.dilation[1] - layer.padding[1]
            if 0 <= source_y < h and 0 <= source_x < w:
                target, source = (c * out[1] + y) * out[2] + x, (source_c * h + source_y) * w + source_x
                found.append(Synapse(target, source, Fraction(weight[c][d][i][j]) * Fraction(scale[c])))
    return found


def windows(pool: Pool, shape: Shape, out: Shape) -> list[list[int]]:
    """The source indices of each pool window, without those in the padding."""
    _, h, w = shape
    padding, dilation = ((0, 0), (1, 1)) if isinstance(pool, AvgPool2d) else (pool.padding, pool.dilation)
    found = []
    for c, y, x in product(*map(range, out)):
        rows = [y * pool.stride[0] - padding[0] + i * dilation[0] for i in range(pool.kernel[0])]
        columns = [x * pool.stride[1] - padding[1] + j * dilation[1] for j in range(pool.kernel[1])]
        there = [(row, column) for row, column in product(rows, columns) if 0 <= row < h and 0 <= column < w]
        found.append([(c * h + row) * w + column for row, column in there])
    return found


def parameter(value, shape: Shape) -> Values:
    """A parameter of a neuron, for every neuron of a population."""
    flat = value.reshape(-1).tolist()
    return [Fraction(flat[i * len(flat) // prod(shape)]) for i in range(prod(shape))]


class Machine:
    """One image, T steps. spikes: by (layer, t); ops: by (source, target, kind) and t; v, logits, m: as named."""

    def __init__(self, network: Network, image, T: int, skip_zero_weights: bool = False) -> None:
        self.network = network
        self.skip_zero_weights = skip_zero_weights
        self.image = [Fraction(value) for value in image.reshape(-1).tolist()]
        self.spikes: dict[tuple[str, int], list[int]] = {}
        self.m: dict[str, list[Values]] = defaultdict(list)
        self.v = {layer.name: parameter(layer.neuron.v0, self.shape(layer)) for layer in network.spiking}
        self.fired = {layer.name: [0] * prod(self.shape(layer)) for layer in network.spiking}
        self.ops: Counter[tuple[str, str, str, int]] = Counter()
        self.reached: dict[tuple[str, int], int] = {}
        self.macs = 0
        self.logits: list[Values] = []
        self.synapses = {
            layer.name: synapses(layer, network.shapes[layer.inputs[0]], self.shape(layer))
            for layer in network.layers
            if not isinstance(layer, Pool | Flatten)
        }
        for t in range(T):
            self.step(t)

    def shape(self, layer: Layer) -> Shape:
        return self.network.shapes[layer.name]

    def step(self, t: int) -> None:
        value: dict[str, Values] = {INPUT: self.image}
        got: dict[str, set[int]] = {}
        for layer in self.network.layers:
            sources = [value[name] for name in layer.inputs]
            if isinstance(layer, Flatten):
                value[layer.name] = sources[0]
            elif isinstance(layer, AvgPool2d):
                groups = windows(layer, self.network.shapes[layer.inputs[0]], self.shape(layer))
                value[layer.name] = [sum(sources[0][i] for i in each) / len(each) for each in groups]
            elif isinstance(layer, MaxPool2d):
                name = layer.inputs[0]
                groups = windows(layer, self.network.shapes[name], self.shape(layer))
                if name == INPUT:
                    value[layer.name] = [max(sources[0][i] for i in each) for each in groups]
                else:
                    theta = parameter(self.network.by_name[name].neuron.theta, self.network.shapes[name])
                    sent = self.pooled(layer, groups, name, t)
                    value[layer.name] = [s * theta[each[0]] for s, each in zip(sent, groups)]
            elif isinstance(layer, Conv2d | Linear):
                value[layer.name] = [Fraction(b) for i, b in enumerate(layer.bias.tolist()) for _ in self.cells(layer)]
                for synapse in self.synapses[layer.name]:
                    value[layer.name][synapse.target] += synapse.weight * sources[0][synapse.source]
                got[layer.name] = self.count(layer, layer.inputs[0], value, t)
            elif isinstance(layer, Add):
                value[layer.name] = [sum(terms) for terms in zip(*sources)]
                got[layer.name] = set()
                for name in layer.inputs:
                    got[layer.name] |= got[name] if name in got else self.count(layer, name, value, t)
            else:
                assert isinstance(layer, Spiking)
                name = layer.inputs[0]
                there = got[name] if name in got else self.count(layer, name, value, t)
                self.reached[layer.name, t] = len(there)
                self.fire(layer.name, layer.neuron, sources[0], t)
                theta = parameter(layer.neuron.theta, self.shape(layer))
                value[layer.name] = [s * size for s, size in zip(self.spikes[layer.name, t], theta)]
        self.logits.append(value[self.network.layers[-1].name])

    def pooled(self, pool: MaxPool2d, groups: list[list[int]], name: str, t: int) -> list[int]:
        """What a max pool sends at step t: all spikes since the first step are looked at again."""
        if pool.mode == "or":
            return [max(self.spikes[name, t][i] for i in each) for each in groups]
        after, before = (
            [max(sum(self.spikes[name, past][i] for past in range(steps)) for i in each) for each in groups]
            for steps in (t + 1, t)
        )
        return [now - then for now, then in zip(after, before)]

    def cells(self, layer: Layer) -> range:
        return range(prod(self.shape(layer)[1:]))

    def fire(self, name: str, neuron: Neuron, u: Values, t: int) -> None:
        shape = self.network.shapes[name]
        theta = parameter(neuron.theta, shape)
        relative = neuron.theta_neg_mode == "relative"
        floor = parameter(neuron.theta_neg, shape) if neuron.dual else None
        self.m[name].append([])
        out = []
        for i, current in enumerate(u):
            m = Fraction(neuron.leak) * self.v[name][i] + current
            self.m[name][-1].append(m)
            s = 0
            if m > theta[i] or (m == theta[i] and not neuron.strict):
                s = 1
            elif floor is not None and self.fired[name][i] > 0 and m <= floor[i] * (theta[i] if relative else 1):
                s = -1
            if neuron.reset == "zero" and s != 0:
                self.v[name][i] = Fraction(0)
            else:
                self.v[name][i] = m - s * theta[i]
            self.fired[name][i] += max(s, 0) if neuron.gate == "gross" else s
            out.append(s)
        self.spikes[name, t] = out

    def count(self, layer: Layer, head: str, value: dict[str, Values], t: int) -> set[int]:
        """Count what arrives at `layer` from `head`, and return the targets that anything arrives at."""
        graded, pool, name = value[head], None, head
        while name != INPUT and not isinstance(self.network.by_name[name], Spiking):
            passed = self.network.by_name[name]
            pool = passed if isinstance(passed, Pool) else pool
            name = passed.inputs[0]
        links = self.synapses[layer.name]
        if isinstance(layer, Add):
            links = synapses(layer, self.network.shapes[head], self.shape(layer))
        links = [each for each in links if each.weight != 0] if self.skip_zero_weights else links
        if name == INPUT:
            if t == 0 and isinstance(layer, Conv2d | Linear):
                self.macs += sum(graded[each.source] != 0 for each in links)
            return set(range(prod(self.shape(layer))))
        s = self.spikes[name, t]
        behind = [[i] for i in range(len(s))]
        if pool is not None:
            behind = windows(pool, self.network.shapes[name], self.network.shapes[pool.name])
            self.ops[name, layer.name, "pool_in", t] += sum(abs(s[i]) for window in behind for i in window)
        if isinstance(pool, MaxPool2d):
            s = self.pooled(pool, behind, name, t)
            behind = [[i] for i in range(len(s))]
        for each in links:
            window = behind[each.source]
            total = sum(s[i] for i in window)
            self.ops[name, layer.name, "unit_pos", t] += sum(s[i] == 1 for i in window)
            self.ops[name, layer.name, "unit_neg", t] += sum(s[i] == -1 for i in window)
            self.ops[name, layer.name, "event_pos", t] += total > 0
            self.ops[name, layer.name, "event_neg", t] += total < 0
        return {each.target for each in synapses_of(self, layer, head) if graded[each.source] != 0}


def synapses_of(machine: Machine, layer: Layer, head: str) -> list[Synapse]:
    """Synapses of weight 0 included: they exist."""
    if isinstance(layer, Add):
        return synapses(layer, machine.network.shapes[head], machine.shape(layer))
    return machine.synapses[layer.name]
