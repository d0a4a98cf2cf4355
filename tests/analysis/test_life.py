"""A neuron's life, computed by itself, is what the specification says of it, in every bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refsim
from refsim.analysis.life import life_of
from refsim.exceptions import UsageError
from refsim.reference.network import simulate
from refsim.reference.quantised import simulate as simulate_quantised
from refsim.testing import networks_with_inputs

from ..cli.conftest import refsim as command  # noqa: F401  # a fixture
from ..engine.effort import examples
from ..kernels.test_quantised import supported

T = 4


@examples(60)
@given(networks_with_inputs(grid="normal"), st.data())
def test_current_potential_and_spikes_are_those_of_the_specification(drawn, data):
    network, x = drawn
    if not network.spiking:
        return
    x = x[:1]
    expected = simulate(network, x, T)
    layer = data.draw(st.sampled_from(network.spiking))
    place = tuple(data.draw(st.integers(0, n - 1)) for n in network.shapes[layer.name])
    life = life_of(network, x, T, layer, place, "float64")
    here = (slice(None), 0, *place)
    assert [step.u for step in life.steps] == expected.currents[layer.name][here].tolist()
    assert [step.s for step in life.steps] == expected.spikes[layer.name][here].tolist()
    assert life.steps[-1].after == expected.v[layer.name][(0, *place)]
    for step in life.steps:
        total = life.steady + sum(each.adds for each in step.arrivals)
        np.testing.assert_allclose(total, step.u, rtol=1e-9, atol=1e-9)


@examples(60)
@given(networks_with_inputs(grid="dyadic"), st.sampled_from(["int8", "int16"]), st.data())
def test_in_whole_numbers_it_is_the_quantised_networks(drawn, dtype, data):
    network, x = drawn
    network, x = supported(network, dtype), x[:1]
    if not network.spiking:
        return
    expected = simulate_quantised(network, x, T, int(dtype[3:]))
    layer = data.draw(st.sampled_from(network.spiking))
    place = tuple(data.draw(st.integers(0, n - 1)) for n in network.shapes[layer.name])
    life = life_of(network, x, T, layer, place, dtype)
    here = (0, *place)
    assert [step.s for step in life.steps] == expected.spikes[layer.name][(slice(None), *here)].tolist()
    assert life.steps[-1].after * life.unit == expected.v[layer.name][here]
    assert sum(step.u for step in life.steps) * life.unit == expected.total[layer.name][here]
    for step in life.steps:
        assert step.u == life.steady + sum(each.adds for each in step.arrivals)


def test_the_margin_is_the_distance_to_the_nearer_open_threshold():
    file = refsim.load("fashion-small")
    done = refsim.trace(file, layer="layer2.2", at=(3, 5, 5), T=8, neuron="dual", image=2)
    theta, negative, n = done.life.theta, done.life.theta_neg, 0
    for step in done.life.steps:
        gaps = [abs(step.m - theta)] + ([abs(step.m - negative)] if n >= 1 else [])
        assert step.margin == min(gaps) / theta
        n += step.s
    assert done.spikes == [step.s for step in done.life.steps]


def test_a_neuron_has_one_life_however_it_is_named():
    file = refsim.load("fashion-small")
    one, two = (
        refsim.trace(file, layer=key, at=at) for key, at in (("layer2.2", (3, 5, 6)), (2, 3 * 196 + 5 * 14 + 6))
    )
    assert one.life == two.life
    assert [row["u"] for row in one.rows()] == [step.u for step in one.life.steps]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 9, "at": 0}, "no spiking layer '9'"),
        ({"layer": 1, "at": (1, 2)}, r"has no neuron 1,2; its shape is \(16, 28, 28\), flat 0 to 12543"),
        ({"layer": 1, "at": (16, 0, 0)}, "has no neuron 16,0,0"),
        ({"layer": 1, "at": 0, "image": 500}, "there is no image 500; the images are 0 to 499"),
        ({"layer": 1, "at": 0, "T": 0}, "T must be a whole number from 1"),
        ({"layer": 1, "at": 0, "dtype": "exact"}, "exact has the spikes of float64"),
    ],
)
def test_what_there_is_not_is_refused_in_one_line(options, message):
    with pytest.raises(UsageError, match=message):
        refsim.trace(refsim.load("fashion-small"), **options)


def test_the_command_prints_what_python_gives(command):  # noqa: F811
    words = ["trace", "-w", "fashion-small", "--layer", "layer2.2", "--neuron", "3,5,5", "--image", "2", "-T", "3"]
    done = refsim.trace(refsim.load("fashion-small"), layer=2, at=(3, 5, 5), image=2, T=3)
    assert json.loads(command(*words, "--json").out) == json.loads(json.dumps(done.to_json()))
    lines = command(*words, "--most", "2").out.splitlines()
    assert lines[0] == f"fashion-small   layer2.2 3,5,5 (neuron 663)   image 2, class {done.label}   float64"
    assert [line.split()[5] for line in lines[4:7]] == [{1: "+1", 0: "0"}[s] for s in done.spikes]
    assert sum("weight" in line for line in lines) == 2 * sum(len(step.arrivals) > 1 for step in done.life.steps)
    whole = command(*words, "--dtype", "int8").out
    assert "int8" in whole.splitlines()[0]
    assert "unit" in whole.splitlines()[1]
    assert command(*words[:-2], "--neuron", "1,2").code == 2
