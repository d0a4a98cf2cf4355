"""Synaptic operations are counts of existing synapses (semantics 7); integers depend on no batch (semantics 1.1)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.engine import simulator
from refsim.engine.plan import compile_network
from refsim.model import AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
from refsim.reference import network as specification
from refsim.reference.counts import deliveries, synaptic_ops


@st.composite
def convolutions(draw) -> tuple[Conv2d, tuple[int, int, int]]:
    """A convolution and the shape of its input."""
    groups = draw(st.integers(1, 2))
    c_in, c_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    kernel, stride, padding, dilation = (
        (draw(st.integers(low, high)), draw(st.integers(low, high))) for low, high in ((1, 3), (1, 3), (0, 2), (1, 2))
    )
    h, w = (draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 7)) for k, p, d in zip(kernel, padding, dilation))
    weight = np.array(draw(st.lists(st.integers(-1, 1), min_size=c_out * 2, max_size=c_out * 2)), dtype=float)
    layer = Conv2d(
        name="conv",
        inputs=("source",),
        weight=np.resize(weight, (c_out, c_in // groups, *kernel)),
        bias=np.zeros(c_out),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return layer, (c_in, h, w)


def existing_synapses(layer: Conv2d, shape: tuple[int, int, int]) -> int:
    """Count taps inside the plane, one by one."""
    c_out, c_group, *kernel = layer.weight.shape
    _, out_h, out_w = layer.output_shape((shape,))
    n = 0
    for y, x, i, j in np.ndindex(out_h, out_w, *kernel):
        row = y * layer.stride[0] - layer.padding[0] + i * layer.dilation[0]
        column = x * layer.stride[1] - layer.padding[1] + j * layer.dilation[1]
        n += (0 <= row < shape[1]) and (0 <= column < shape[2])
    return n * c_out * c_group


def event_at(index: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    events = np.zeros((1, *shape), dtype=np.int64)
    events[(0, *index)] = 1
    return events


@given(convolutions())
def test_fan_out_of_all_sources_is_fan_in_of_all_targets_and_the_number_of_synapses(drawn):
    """The sum over sources of fan-out = the sum over targets of fan-in = existing synapses (C1)."""
    layer, shape = drawn
    fan_out = sum(int(synaptic_ops(layer, event_at(index, shape))[0]) for index in np.ndindex(shape))
    fan_in = deliveries(layer, np.ones((1, *shape), dtype=np.int64))
    assert fan_out == fan_in.sum() == existing_synapses(layer, shape)


@given(convolutions())
def test_skipping_zero_weights_counts_no_more_synapses(drawn):
    """NeuroBench's convention leaves out synapses of weight 0; they exist and count by default (C1)."""
    layer, shape = drawn
    ones = np.ones((1, *shape), dtype=np.int64)
    skipped, all_of_them = (int(synaptic_ops(layer, ones, skip_zero_weights=skip)[0]) for skip in (True, False))
    assert skipped <= all_of_them
    assert (skipped == all_of_them) == (existing_zero_weights(layer, ones) == 0)


def existing_zero_weights(layer: Conv2d, ones: np.ndarray) -> int:
    zeros = (layer.weight == 0).astype(float)
    if not zeros.any():
        return 0
    where = Conv2d(
        name="zeros",
        inputs=("source",),
        weight=zeros,
        bias=np.zeros(len(zeros)),
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    return int(synaptic_ops(where, ones, skip_zero_weights=True)[0])


def test_one_by_one_convolution_of_stride_two_has_no_fan_out_at_odd_positions():
    """C1: a shortcut that halves the plane reads a quarter of it."""
    layer = Conv2d(name="shortcut", inputs=("source",), weight=np.ones((3, 1, 1, 1)), bias=np.zeros(3), stride=(2, 2))
    fan_out = [[int(synaptic_ops(layer, event_at((0, y, x), (1, 4, 4)))[0]) for x in range(4)] for y in range(4)]
    assert fan_out == [[3, 0, 3, 0], [0, 0, 0, 0], [3, 0, 3, 0], [0, 0, 0, 0]]


def pooled_network(seed: int, dual: bool) -> Network:
    """Two convolutions, an average pool and a readout, with weights that make neurons fire and take back."""
    rng = np.random.default_rng(seed)
    neuron = Neuron(theta=np.array(1.0), v0=np.array(0.5))
    neuron = neuron.as_dual() if dual else neuron
    layers = (
        Conv2d(
            name="conv1",
            inputs=("input",),
            weight=rng.normal(0, 1, (4, 1, 3, 3)),
            bias=rng.normal(0, 1, 4),
            padding=(1, 1),
        ),
        Spiking(name="if1", inputs=("conv1",), neuron=neuron),
        Conv2d(name="conv2", inputs=("if1",), weight=rng.normal(0, 1, (4, 4, 3, 3)), bias=rng.normal(0, 1, 4)),
        Spiking(name="if2", inputs=("conv2",), neuron=neuron),
        AvgPool2d(name="pool", inputs=("if2",), kernel=(2, 2), stride=(2, 2)),
        Flatten(name="flat", inputs=("pool",)),
        Linear(name="readout", inputs=("flat",), weight=rng.normal(0, 1, (5, 16)), bias=np.zeros(5)),
    )
    return Network(name="pooled", input=InputSpec(shape=(1, 6, 6)), layers=layers)


def images(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (n, 1, 6, 6))


@pytest.mark.parametrize("dual", [False, True], ids=["IF", "dual"])
def test_signs_add_up_and_window_sums_cost_no_more_than_their_spikes(dual):
    """sop(+) + sop(-) = sop (C2); unit >= event, because +1 and -1 in one window cancel (C3)."""
    network = pooled_network(1, dual)
    x = images(2, 6)
    ops = simulator.simulate(compile_network(network), x, 6).ops
    spikes = specification.simulate(network, x, 6).spikes
    for source, target in (("if1", "conv2"), ("if2", "readout")):
        each = ops[source, target]
        assert (each.unit == each.unit_pos + each.unit_neg).all()
        assert (each.unit >= each.event).all()
        # The first population has a constant current: it takes no spike back.
        assert each.unit_neg.any() == (spikes[source] < 0).any() == (dual and source == "if2")
    assert (ops["if1", "conv2"].unit == ops["if1", "conv2"].event).all()
    pooled = ops["if2", "readout"]
    assert (pooled.unit > pooled.event).any()
    expected = np.abs(spikes["if2"]).reshape(6, 6, -1).sum(axis=2)
    assert (pooled.pool_in == expected).all()
    assert (pooled.unit == expected * 5).all()


def test_spikes_that_all_fire_cost_every_synapse():
    """All-ones input: as many operations as there are synapses (C1), by the event engine."""
    network = pooled_network(1, dual=False)
    always = Neuron(theta=np.array(1.0), v0=np.array(1e6))
    network = network.with_neurons({"if1": always})
    ops = simulator.simulate(compile_network(network), images(2, 3), 2).ops["if1", "conv2"]
    assert ops.unit.tolist() == [[16 * 4 * 4 * 9] * 3] * 2


@given(order=st.permutations(range(6)), cut=st.integers(1, 5))
def test_no_integer_depends_on_the_batch_or_the_order_of_images(order, cut):
    """Semantics 1.1: spikes, counts and operations of an image are the same in any company."""
    plan = compile_network(pooled_network(3, dual=True))
    x = images(4, 6)
    whole = simulator.simulate(plan, x, 4, {"spikes", "v"})
    for part in (order[:cut], order[cut:]):
        trace = simulator.simulate(plan, x[part], 4, {"spikes", "v"})
        for name, expected in whole.populations.items():
            assert (trace.populations[name].spikes == expected.spikes[:, part]).all()
            assert (trace.populations[name].v == expected.v[part]).all()
        for key, counted in whole.ops.items():
            assert (trace.ops[key].unit == counted.unit[:, part]).all()
            assert (trace.ops[key].event == counted.event[:, part]).all()
        assert (trace.logits == whole.logits[:, part]).all()
