"""Is every spike independent of the order in which currents are summed? (semantics 6)

Float addition rounds, so another order of the same additions gives slightly other potentials. If the least
distance of any potential from its threshold exceeds what rounding can do, no order can change any spike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import DTypeLike, NDArray

from refsim.engine.modes import KINDS, ExactMode, FloatMode, QuantisedMode, mode_of
from refsim.engine.results import Result
from refsim.model import Add, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Network, Spiking

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Margin:
    """Decision margin of one population, in units of theta.

    positive, negative
        Least |m - theta| / theta, and |m - theta_neg| / theta where the gate was open (inf: never).
    bound
        What summing in any other order can change, given the same spikes before.
    """

    name: str
    positive: float
    negative: float
    bound: float

    @property
    def least(self) -> float:
        """The smaller of the two distances."""
        return min(self.positive, self.negative)

    @property
    def certified(self) -> bool:
        """Whether the spikes of this population are independent of summation order."""
        return self.least > self.bound


def margins(network: Network, result: Result, dtype: DTypeLike = np.float64) -> list[Margin]:
    """Margins of all spiking layers of a run; `exact` gives lower bounds of those of float64.

    The quantised network knows no rounding: its margins are inf, and its bounds 0.
    """
    return [
        Margin(
            name=layer.name,
            positive=float(result.populations[layer.name].margin[0]),
            negative=float(result.populations[layer.name].margin[1]),
            bound=rounding_bound(network, layer, result.T, result.x_max, dtype),
        )
        for layer in network.spiking
    ]


def rounding_bound(network: Network, layer: Spiking, T: int, x_max: float, dtype: DTypeLike = np.float64) -> float:
    """Largest difference, in units of theta, between two summation orders of any potential within T steps.

    One step's current adds K products to a bias: its error is at most (K + 5) eps U, with U the sum of absolute
    terms and eps half a unit in the last place; integrating and resetting round a potential of at most
    |v0| + theta + T U twice, and a leak once more. Errors of T steps add up, and two orders differ by twice the error
    of one. Where products are subnormal, each may be off by the least number besides. The proof: docs/exactness.md.
    """
    match KINDS[mode_of(dtype)]:
        case QuantisedMode():
            return 0.0
        case FloatMode(dtype=floats):
            numbers = np.finfo(floats)
        case ExactMode():
            numbers = np.finfo(np.float64)
        case never:
            assert_never(never)
    size, terms = _current(network, layer.inputs[0], x_max)
    eps, least = float(numbers.eps) / 2, float(numbers.smallest_subnormal)
    theta = float(layer.neuron.theta.min().astype(numbers.dtype))
    peak = float(np.abs(layer.neuron.v0).max()) + float(layer.neuron.theta.max()) + T * size
    roundings = 2 if layer.neuron.leak == 1 else 3
    rounding = 1.01 * 2 * T * eps * ((terms + 5) * size + roundings * peak)
    return (rounding + 1.01 * 2 * T * terms * least) / theta


def _current(network: Network, name: str, x_max: float) -> tuple[float, int]:
    """Largest sum of absolute terms of one step's current, and the largest number of terms."""
    layer = network.by_name.get(name)
    if layer is None:
        return x_max, 1
    match layer:
        case Spiking():
            return float(layer.neuron.theta.max()), 1
        case Conv2d() | Linear():
            source, windows = _current(network, layer.inputs[0], x_max)
            weight = np.abs(layer.effective_weight()).reshape(len(layer.weight), -1)
            return float((weight.sum(axis=1) * source + np.abs(layer.bias)).max()), weight.shape[1] * windows
        case AvgPool2d():
            size, terms = _current(network, layer.inputs[0], x_max)
            return size, terms * layer.kernel[0] * layer.kernel[1]
        case MaxPool2d() | Flatten():
            return _current(network, layer.inputs[0], x_max)
        case Add():
            parts = [_current(network, source, x_max) for source in layer.inputs]
            return sum(size for size, _ in parts), sum(terms for _, terms in parts)
        case _:
            assert_never(layer)
