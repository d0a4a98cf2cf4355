"""The source ANN, run by the kernels of the SNN, equals the specification."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.engine.plan import compile_network
from refsim.engine.simulator import forward
from refsim.reference.network import forward as forward_reference
from refsim.testing import GRIDS, networks_with_inputs, reference_in

from .effort import examples


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@examples(150, interpreted=15)
@given(st.sampled_from(GRIDS).flatmap(networks_with_inputs))
def test_ann_equals_the_specification(dtype, drawn):
    network, x = drawn
    expected = forward_reference(network, x, reference_in(dtype))
    actual = forward(compile_network(network, dtype, fold=False), x, record=True)
    for layer in network.spiking:
        np.testing.assert_array_equal(actual.z[layer.name], expected[layer.inputs[0]], err_msg=f"z of {layer.name}")
        np.testing.assert_array_equal(actual.a[layer.name], expected[layer.name], err_msg=f"a of {layer.name}")
    np.testing.assert_array_equal(actual.logits, expected[network.layers[-1].name])


@examples(20, interpreted=3)
@given(networks_with_inputs())
def test_ann_keeps_nothing_that_was_not_asked_for(drawn):
    network, x = drawn
    actual = forward(compile_network(network, fold=False), x)
    assert actual.z == {}
    assert actual.a == {}
