"""The strategy is code too: what it claims to draw, it draws, and often enough to matter."""

from collections import Counter
from itertools import product
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings

from refsim.model import (
    INPUT,
    LAYER_KINDS,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    Linear,
    MaxMode,
    MaxPool2d,
    Network,
    Spiking,
)
from refsim.model.layers import output_of, readable_by
from refsim.reference.network import Simulation, simulate
from refsim.reference.synapses import sum_pool2d
from refsim.testing import networks_with_inputs

N = 1500
"""Networks drawn: so many that chance does not decide about the rarest features."""


def features(network: Network) -> set[str]:
    """What is special about a network."""
    found = set()
    for layer in network.layers:
        sources = [network.by_name.get(name) for name in layer.inputs]
        shape = network.shapes[layer.inputs[0]]
        if isinstance(layer, Conv2d):
            found |= _of_conv(layer)
        if isinstance(layer, Conv2d | Linear):
            found.add(f"stored as {layer.weight.dtype}")
            found |= {"scale"} if layer.scale is not None else set()
            found |= {"63 to 65 channels"} if 63 <= len(layer.weight) <= 65 else set()
            found |= {"more than 128 channels"} if len(layer.weight) > 128 else set()
        if isinstance(layer, AvgPool2d):
            found |= {"overlapping pool"} if layer.stride[0] < layer.kernel[0] else set()
            found |= {"pool that is not square"} if layer.kernel[0] != layer.kernel[1] else set()
            found |= {"global pool"} if layer.kernel == shape[1:] and shape[1:] != (1, 1) else set()
            found |= {"pool that leaves cells out"} if layer.stride[0] > layer.kernel[0] else set()
        if isinstance(layer, MaxPool2d):
            found |= _of_max_pool(layer, sources[0])
        found |= {f"{layer.kind} reads {INPUT if each is None else each.kind}" for each in sources}
        if isinstance(layer, Flatten) and len(shape) == 3 and shape[1] * shape[2] > 1:
            found.add("flatten of a plane")
        if isinstance(layer, Linear) and len(shape) == 3:
            found.add("linear without a flatten")
        if isinstance(layer, Spiking):
            behind = layer.inputs[0] if sources[0] is None else type(sources[0]).__name__
            found |= {f"neurons behind {behind}"} | _of_neuron(layer)
        if isinstance(layer, Add):
            found |= {f"add of {len(layer.inputs)}"} | {f"add reads {type(each).__name__}" for each in sources if each}
            found |= {"add reads the image"} if INPUT in layer.inputs else set()
            found |= {"1x1 strided shortcut"} if any(_is_shortcut(each) for each in sources) else set()
    return found


def _of_conv(layer: Conv2d) -> set[str]:
    depthwise = layer.groups > 1 and layer.weight.shape[1] == 1
    return {
        name
        for name, there in (
            ("stride", max(layer.stride) > 1),
            ("stride that is not square", layer.stride[0] != layer.stride[1]),
            ("padding", max(layer.padding) > 0),
            ("padding beyond the kernel", any(p >= k for p, k in zip(layer.padding, layer.weight.shape[2:]))),
            ("dilation", max(layer.dilation) > 1),
            ("stride and dilation", max(layer.stride) > 1 and max(layer.dilation) > 1),
            ("groups", layer.groups > 1 and not depthwise),
            ("depthwise", depthwise),
            ("kernel that is not square", layer.weight.shape[2] != layer.weight.shape[3]),
        )
        if there
    }


def _of_max_pool(layer: MaxPool2d, source: Spiking | None) -> set[str]:
    of = "the image" if source is None else "dual" if source.neuron.dual else "IF"
    return {f"max pool of {of}", f"max pool {layer.mode} of {of}"} | {
        name
        for name, there in (
            ("max pool with padding", max(layer.padding) > 0),
            ("max pool with dilation", max(layer.dilation) > 1),
            ("max pool with stride", max(layer.stride) > 1),
            ("max pools that overlap", any(s < k for s, k in zip(layer.stride, layer.kernel))),
            ("max pool that is not square", layer.kernel[0] != layer.kernel[1]),
        )
        if there
    }


def _of_neuron(layer: Spiking) -> set[str]:
    neuron = layer.neuron
    found = {f"{key} of {getattr(neuron, key).ndim} axes" for key in ("theta", "v0")}
    found |= {f"reset {neuron.reset}", "leak" if neuron.leak < 1 else "no leak"}
    found.add("strict comparison" if neuron.strict else "comparison")
    if neuron.dual:
        found |= {f"theta_neg {neuron.theta_neg_mode}", f"gate {neuron.gate}"}
        found.add(f"theta_neg of {neuron.theta_neg.ndim} axes")
    activation = neuron.activation
    assert activation is not None
    return found | {"ReLU" if activation.L is None else "QCFS"}


def _is_shortcut(layer) -> bool:
    return isinstance(layer, Conv2d) and layer.weight.shape[2:] == (1, 1) and max(layer.stride) > 1


def spread(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter of a layer, for every neuron."""
    return np.broadcast_to(value.reshape(value.shape + (1,) * (len(shape) - value.ndim) * (value.ndim > 0)), shape)


def happenings(network: Network, simulation: Simulation) -> set[str]:
    """What happened in a simulation."""
    found = set()
    for layer in network.spiking:
        spikes, neuron = simulation.spikes[layer.name], layer.neuron
        found |= {"a spike"} if (spikes > 0).any() else set()
        found |= {"a negative spike"} if (spikes < 0).any() else set()
        found |= {"a net count below 0"} if (spikes.sum(axis=0, dtype=int) < 0).any() else set()
        shape = network.shapes[layer.name]
        theta, theta_neg = (spread(each, shape) for each in (neuron.theta, neuron.negative_threshold))
        if neuron.reset == "subtract":
            m = simulation.v[layer.name] + spikes[-1] * theta  # of the last step, exact on a dyadic grid
            found |= {"a potential meets theta"} if (m == theta).any() else set()
            late = (spikes[:-1].sum(axis=0, dtype=int) > 0) & (m == theta_neg)
            found |= {"a potential meets theta_neg"} if late.any() else set()
    cancelled = "spikes that cancel in a pool"
    for layer in network.layers:
        if isinstance(layer, AvgPool2d) and layer.inputs[0] in simulation.spikes:
            for s, total in zip(simulation.spikes[layer.inputs[0]], simulation.events[layer.name]):
                entered = sum_pool2d(np.abs(s, dtype=int), layer.kernel, layer.stride)
                found |= {cancelled} if ((entered > 0) & (total == 0)).any() else set()
    return found


OFTEN = (
    *("stride", "padding", "dilation", "stride and dilation", "padding beyond the kernel"),
    *("kernel that is not square", "stride that is not square", "pool that is not square", "overlapping pool"),
    *("stored as float64", "stored as float32", "stored as float16", "stored as int8", "scale"),
    *("flatten of a plane", "linear without a flatten", "ReLU", "QCFS"),
    *("neurons behind Conv2d", "neurons behind Linear", "neurons behind Add", "add of 2", "add of 3"),
    *("theta of 0 axes", "theta of 1 axes", "theta of 3 axes", "theta_neg of 0 axes", "theta_neg of 1 axes"),
    *("gate net", "gate gross", "theta_neg absolute", "theta_neg relative", "reset subtract", "reset zero"),
    *("strict comparison", "comparison"),
    *("leak", "no leak", "add reads Conv2d", "a spike", "a negative spike", "a potential meets theta"),
)
NOW_AND_THEN = (
    *("max pool of the image", "max pool with padding", "max pool with dilation", "max pool with stride"),
    *("max pools that overlap", "max pool that is not square"),
    *("groups", "depthwise", "1x1 strided shortcut", "global pool", "pool that leaves cells out"),
    *("neurons behind AvgPool2d", "neurons behind Flatten", "neurons behind Spiking", "theta_neg of 3 axes"),
    *("add reads Spiking", "add reads Linear", "add reads AvgPool2d"),
)
RARELY = (
    *("63 to 65 channels", "more than 128 channels", "neurons behind input", "add reads the image"),
    *("add reads Flatten", "a net count below 0", "a potential meets theta_neg", "spikes that cancel in a pool"),
)
MODES = tuple(f"max pool {mode} of {of}" for mode in get_args(MaxMode) for of in ("IF", "dual"))
# Whatever may read what, does, so that a new kind is drawn in all its places.
KINDS = [object.__new__(cls) for cls in LAYER_KINDS.values()]
PAIRS = tuple(
    f"{layer.kind} reads {source.kind}"
    for layer, source in product(KINDS, repeat=2)
    if output_of(source) in readable_by(layer)
)
HOW_OFTEN = ((PAIRS, 5), (MODES, 5), (RARELY, 2), (NOW_AND_THEN, N // 150), (OFTEN, N // 20))
LEAST = {feature: least for some, least in HOW_OFTEN for feature in some}


@pytest.fixture(scope="module")
def found() -> Counter:
    """In how many of N networks each feature was found; the same networks every time."""
    counter: Counter = Counter()

    @settings(max_examples=N, derandomize=True, database=None)
    @given(networks_with_inputs())
    def collect(drawn):
        network, x = drawn
        counter.update(features(network) | happenings(network, simulate(network, x, 5)))

    collect()
    return counter


@pytest.mark.parametrize("feature", LEAST)
def test_strategy_draws_often_enough(found, feature):
    assert found[feature] >= LEAST[feature]
