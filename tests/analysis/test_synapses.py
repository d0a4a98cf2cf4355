"""The sparse matrix holds the synapses that exist, no others, and they compute what the layer computes."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given

import refsim.analysis.synapses as synapses
from refsim.analysis.macs import layer_macs, network_macs
from refsim.analysis.synapses import synapses_as_csr
from refsim.engine.plan import compile_network
from refsim.exceptions import UsageError
from refsim.model import AvgPool2d, Conv2d, Linear, Network
from refsim.reference.counts import deliveries
from refsim.reference.synapses import avg_pool2d, conv2d, linear
from refsim.testing import networks_with_inputs
from tests.engine import naive
from tests.engine.effort import examples

DRAWN = networks_with_inputs("dyadic", max_images=2, max_blocks=3, wide=False)


def weighted(network: Network) -> list[Conv2d | Linear]:
    return [layer for layer in network.layers if isinstance(layer, Conv2d | Linear)]


@examples(60)
@given(DRAWN)
def test_the_elements_are_the_synapses_listed_one_by_one(drawn):
    network, _ = drawn
    for layer in weighted(network):
        matrix = synapses_as_csr(network, layer.name)
        source, target = network.shapes[layer.inputs[0]], network.shapes[layer.name]
        expected = {(each.target, each.source): each.weight for each in naive.synapses(layer, source, target)}
        elements = matrix.tocoo()
        actual = dict(zip(zip(elements.row.tolist(), elements.col.tolist()), elements.data.tolist(), strict=True))
        assert matrix.shape == (prod(target), prod(source))
        assert matrix.has_canonical_format
        assert actual == expected
        assert matrix.nnz == len(expected) == network_macs(network)[layer.name].existing


@examples(60)
@given(DRAWN)
def test_the_number_of_elements_is_what_the_engine_counts_with(drawn):
    network, _ = drawn
    for population in compile_network(network).populations:
        for projection in population.projections:
            if projection.layer is None:
                continue
            matrix = synapses_as_csr(network, projection.layer.name)
            assert matrix.nnz == projection.n_synapses
            reached = np.diff(matrix.tocsc().indptr)
            fan_out = np.broadcast_to(projection.fan_out, (*projection.pooled_shape[1:], projection.pooled_shape[0]))
            np.testing.assert_array_equal(reached, np.moveaxis(fan_out, 2, 0).ravel())


@examples(60)
@given(DRAWN)
def test_the_matrix_times_a_vector_is_the_layer(drawn):
    network, _ = drawn
    rng = np.random.default_rng(1)
    for layer in network.layers:
        if not isinstance(layer, Conv2d | Linear | AvgPool2d):
            continue
        # Small whole numbers: sums of dyadic weights are exact in any order.
        x = rng.integers(-3, 4, (1, *network.shapes[layer.inputs[0]])).astype(np.float64)
        product = synapses_as_csr(network, layer.name) @ x.ravel()
        match layer:
            case Linear():
                expected = linear(x, layer.effective_weight(), np.zeros(len(layer.bias)))
            case Conv2d():
                how = (layer.stride, layer.padding, layer.dilation, layer.groups)
                expected = conv2d(x, layer.effective_weight(), np.zeros(len(layer.bias)), *how)
            case AvgPool2d():
                expected = avg_pool2d(x, layer.kernel, layer.stride)
        if isinstance(layer, AvgPool2d):
            np.testing.assert_allclose(product, expected.ravel(), rtol=0, atol=1e-12)
        else:
            np.testing.assert_array_equal(product, expected.ravel())
            events = np.ones(x.shape, np.int64)
            np.testing.assert_array_equal(
                np.diff(synapses_as_csr(network, layer.name).indptr), deliveries(layer, events).ravel()
            )


def test_a_pool_is_reached_through(conv_network):
    if conv_network.by_name["pool"].kind != "avg_pool2d":
        with pytest.raises(
            UsageError, match=r"^layer 'pool': max_pool2d has no synapses; conv2d, linear and avg_pool2d"
        ):
            synapses_as_csr(conv_network, "pool")
        return
    through = synapses_as_csr(conv_network, "conv3") @ synapses_as_csr(conv_network, "pool")
    x = np.random.default_rng(3).integers(-3, 4, (1, 6, 6, 6)).astype(np.float64)
    conv3 = conv_network.by_name["conv3"]
    pooled = avg_pool2d(x, (2, 2), (2, 2))
    expected = conv2d(pooled, conv3.effective_weight(), conv3.bias, conv3.stride, conv3.padding)
    np.testing.assert_allclose(through @ x.ravel(), expected.ravel(), rtol=0, atol=1e-12)


def test_a_synapse_of_weight_zero_exists(conv_network):
    matrix = synapses_as_csr(conv_network, "conv2")
    zeros = int((conv_network.by_name["conv2"].weight == 0).sum())
    assert zeros
    n = matrix.nnz
    matrix.eliminate_zeros()
    assert matrix.nnz < n == network_macs(conv_network)["conv2"].existing


def test_what_has_no_synapses_is_one_line(conv_network, monkeypatch):
    with pytest.raises(UsageError, match=r"^layer 'if1': spiking has no synapses; conv2d, linear and avg_pool2d have$"):
        synapses_as_csr(conv_network, "if1")
    with pytest.raises(UsageError, match=r"^no layer 'conv9' in 'conv'; it has conv1, if1, conv2"):
        synapses_as_csr(conv_network, "conv9")
    monkeypatch.setattr(synapses, "MOST", 47)
    with pytest.raises(UsageError, match=r"^layer 'fc': 48 synapses, at most 47 are listed$"):
        synapses_as_csr(conv_network, "fc")


def test_macs_of_a_pruned_network_are_those_of_its_weights_that_are_not_zero():
    """Against a count of every output position, tap and weight."""
    rng = np.random.default_rng(3)
    weight = rng.integers(-1, 2, (4, 3, 3, 2)).astype(float)
    conv = Conv2d(
        name="c", inputs="input", weight=weight, bias=np.zeros(4), stride=(2, 1), padding=(1, 2), dilation=(1, 2)
    )
    shape = (3, 6, 5)
    _, height, width = conv.output_shape((shape,))
    existing = dense = 0
    for y, x, i, j in np.ndindex(height, width, 3, 2):
        n = np.count_nonzero(weight[:, :, i, j])
        dense += n
        row, column = 2 * y - 1 + i, x - 2 + 2 * j
        existing += n * (0 <= row < 6 and 0 <= column < 5)
    assert layer_macs(conv, shape, skip_zero_weights=True) == (dense, existing)
    full = layer_macs(replace(conv, weight=np.ones_like(weight)), shape)
    assert layer_macs(replace(conv, weight=np.ones_like(weight)), shape, skip_zero_weights=True) == full
    assert dense < full.dense
    linear = Linear(name="f", inputs="c", weight=weight.reshape(4, -1), bias=np.zeros(4))
    assert layer_macs(linear, (18,), skip_zero_weights=True) == (np.count_nonzero(weight),) * 2
    scaled = replace(linear, scale=np.array([0.0, 1, 1, 1]))
    assert layer_macs(scaled, (18,), skip_zero_weights=True).dense == np.count_nonzero(weight[1:])
