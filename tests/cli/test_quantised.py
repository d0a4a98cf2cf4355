"""`--dtype int16` and `--dtype int8`: what the commands say of the quantised network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refsim.reference.quantised import simulate
from tests.cli.conftest import Call
from tests.simulation.networks import raw_images, small_network


@pytest.mark.parametrize("bits", [16, 8])
def test_the_printed_numbers_are_those_of_the_specification(refsim: Call, weights: Path, bits: int) -> None:
    done = refsim("run", "-w", weights, "-T", 3, "--neuron", "dual", "--dtype", f"int{bits}", "--json")
    report = json.loads(done.out)
    network = small_network().with_kind("dual")
    expected = simulate(network, network.input.normalize(raw_images(20)), 3, bits)
    for layer in report["runs"][0]["layers"]:
        spikes = expected.spikes[layer["name"]]
        for key, sign in (("spikes_pos", 1), ("spikes_neg", -1)):
            assert layer[key] == (spikes == sign).reshape(3, -1).sum(axis=1).tolist()
        assert layer["margin"] is None
        assert layer["certified"]


@pytest.mark.parametrize("dtype", ["int16", "int8"])
def test_a_report_says_how_the_quantised_network_differs_from_the_file(refsim: Call, weights: Path, dtype: str) -> None:
    report = json.loads(refsim("run", "-w", weights, "-T", 2, "--dtype", dtype, "--json").out)
    assert report["quantised"]
    for layer in report["quantised"]:
        assert set(layer) == {"population", "target", "bits", "error", "saturated", "lost"}
        assert 0 <= layer["error"] < (0.05 if dtype == "int8" else 0.0005)
    text = refsim("run", "-w", weights, "-T", 2, "--dtype", dtype, "--no-color").out
    assert f"{dtype}: the quantised network; no order of summation can change a spike" in text
    assert f"weights rounded to {dtype[3:]} bits" in text
    assert json.loads(refsim("run", "-w", weights, "-T", 2, "--json").out)["quantised"] is None


def test_errors_and_the_plan_know_the_quantised_network(refsim: Call, weights: Path) -> None:
    report = json.loads(refsim("errors", "-w", weights, "-T", 2, "--dtype", "int8", "--json").out)
    assert report["dtype"] == "int8"
    assert report["quantised"]
    plan = json.loads(refsim("info", "-w", weights, "--plan", "--dtype", "int8", "--json").out)["plan"]
    assert {each["mode"] for each in plan} == {"int8"}
    assert {each["dtype"] for each in plan if each["reads"] != "image"} == {"int8"}
    text = refsim("info", "-w", weights, "--plan", "--dtype", "int8").out
    assert "int8: theta / 2^" in text
