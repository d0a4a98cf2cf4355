"""`refsim errors`, as a person uses it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refsim.formats.weights.hdf5 import Samples, save
from refsim.model import Activation, InputSpec, Linear, MaxPool2d, Network, Neuron, Spiking
from tests.cli.conftest import Call
from tests.simulation.networks import raw_images, small_network


@pytest.fixture(scope="module")
def fig_1c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """QCFS Fig. 1c as a weight file: 4 spikes where 2 are due. Its image is 1 everywhere."""
    one = Activation(lambda_=1.0, L=5, shift=0.0)
    layers = (
        Linear(name="fc1", inputs=("input",), weight=np.array([[0.0], [1.0]]), bias=np.zeros(2)),
        Spiking(
            name="sources",
            inputs=("fc1",),
            neuron=Neuron(theta=np.array(1.0), v0=np.array([3.0, -3.0]), activation=one),
        ),
        Linear(name="fc2", inputs=("sources",), weight=np.array([[2.0, -2.0]]), bias=np.zeros(1)),
        Spiking(name="neuron", inputs=("fc2",), neuron=Neuron(theta=np.array(1.0), v0=np.array(0.0), activation=one)),
        Linear(name="readout", inputs=("neuron",), weight=np.ones((2, 1)), bias=np.zeros(2)),
    )
    path = tmp_path_factory.mktemp("figure") / "fig1c.h5"
    network = Network(name="fig1c", input=InputSpec(shape=(1, 1, 1), scale=1.0), layers=layers)
    save(
        path, network, samples=Samples(images=np.ones((1, 1, 1, 1), dtype=np.uint8), labels=np.zeros(1, dtype=np.int64))
    )
    return path


def unknown_L(tmp_path: Path) -> Path:
    network = small_network(L=0)
    path = tmp_path / "unknown.h5"
    save(path, network, samples=Samples(images=raw_images(4), labels=np.zeros(4, dtype=np.int64)))
    return path


def test_fig_1c_is_explained_in_words_and_numbers(refsim: Call, fig_1c: Path) -> None:
    """phi = 0.8, two spikes too many of five steps; the sources, which no ANN has, account for the other 0.4."""
    done = refsim("errors", "-w", fig_1c, "-T", 5, "--layer", 2, "--no-color", "--quiet")
    assert (done.code, done.err) == (0, "")
    heading, _, *lines = done.out.splitlines()
    assert heading.startswith("fig1c   IF   mean over 1 samples from the file, in units of theta   sha256 ")
    assert lines[: lines.index("")] == [
        "layer 2 'neuron' after fc2   theta 1   T=5 L=5   1 neurons",
        "  against ReLU        mean      RMS       5 %    median      95 %",
        "    clipping             0   0.0000         0         0         0",
        "    quantization         0   0.0000         0         0         0",
        "    unevenness     +0.4000   0.4000   +0.4000   +0.4000   +0.4000",
        "    local          +0.4000   0.4000   +0.4000   +0.4000   +0.4000",
        "    propagated     +0.4000   0.4000   +0.4000   +0.4000   +0.4000",
        "    total          +0.8000   0.8000   +0.8000   +0.8000   +0.8000",
        "  against QCFS_5      mean      RMS       5 %    median      95 %",
        "    quantization         0   0.0000         0         0         0",
        "    unevenness     +0.4000   0.4000   +0.4000   +0.4000   +0.4000",
        "    propagated     +0.4000   0.4000   +0.4000   +0.4000   +0.4000",
        "    total          +0.8000   0.8000   +0.8000   +0.8000   +0.8000",
        "  spike count vs expected:  exact 0.0 %   1 more 0.0 %   1 less 0.0 %   2 or more off 100.0 %",
        "  silent 0.0 % (0 neurons in every image)   saturated 0.0 % (0 in every image)",
        "  v(T)/theta: mean -2.0000   below 0 100.0 %   1 or more 0.0 %",
        "  g' = phi - a: mean +0.8   std 0 (NQ's delta)   no spread",
    ]


def test_every_step_on_request_is_a_run_of_that_length(refsim: Call, weights: Path) -> None:
    common = ("errors", "-w", weights, "--json", "--quiet")
    steps = json.loads(refsim(*common, "-T", 3, "--all-steps").out)["steps"]
    assert steps == [json.loads(refsim(*common, "-T", T).out)["steps"][0] for T in (1, 2, 3)]
    text = refsim("errors", "-w", weights, "-T", 3, "--all-steps").out.splitlines()
    assert [line for line in text if line.startswith("T=")] == ["T=1", "T=2", "T=3"]


def test_dual_threshold_takes_one_of_the_two_spikes_back(refsim: Call, fig_1c: Path) -> None:
    done = refsim("errors", "-w", fig_1c, "-T", 5, "--layer", "neuron", "--neuron", "dual", "--json")
    layer = json.loads(done.out)["steps"][0]["layers"][0]
    assert layer["spike_count"]["k"] == {"1": 1}
    assert layer["against_relu"]["unevenness"]["mean"] == pytest.approx(0.2)


def test_all_layers_are_one_line_each(refsim: Call, weights: Path) -> None:
    done = refsim("errors", "-w", weights, "-T", 3, "--no-color")
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines()[3:7]]
    head = "# layer theta clipping quantization unevenness against quantization propagated total RMS exact "
    head += "1 more 1 less 2 or more off"
    assert " ".join(rows[0]) == head
    assert [row[:3] for row in rows[1:]] == [["1", "if1", "0.5"], ["2", "if2", "1"], ["3", "if3", "0.25"]]
    assert "unevenness = theta k / T, k = N - level" in done.out
    assert max(map(len, done.out.splitlines()[:7])) <= 150


def test_json_says_what_was_run_and_every_part_adds_up(refsim: Call, weights: Path) -> None:
    done = refsim("errors", "-w", weights, "-T", 3, "--neuron", "dual", "--json", "--channels", "--limit", 7)
    report = json.loads(done.out, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert report["schema"] == "refsim-errors 1"
    assert (report["T"], report["neuron"], report["data"]["images"], report["missing"]) == (3, "dual", 7, None)
    assert [each["name"] for each in report["steps"][0]["layers"]] == ["if1", "if2", "if3"]
    for layer in report["steps"][0]["layers"]:
        relu, qcfs = ({k: part["mean"] for k, part in layer[name].items()} for name in ("against_relu", "against_qcfs"))
        assert sum(relu[key] for key in ("clipping", "quantization", "unevenness", "propagated")) == pytest.approx(
            relu["total"], rel=1e-12, abs=1e-15
        )
        assert qcfs["quantization"] + qcfs["unevenness"] + qcfs["propagated"] == pytest.approx(qcfs["total"], abs=1e-15)
        assert np.mean(layer["channels"]["relu_local"]) == pytest.approx(relu["local"], rel=1e-12)
        assert sum(layer["spike_count"]["k"].values()) == 7 * layer["neurons"]
        assert sum(layer["spike_count"][key] for key in ("exact", "plus_1", "minus_1", "more")) == pytest.approx(1)


def test_batch_and_threads_change_no_digit(refsim: Call, weights: Path) -> None:
    common = ("errors", "-w", weights, "-T", 4, "--json", "--channels", "--quiet")
    assert refsim(*common, "--batch", 3, "--threads", 2).out == refsim(*common, "--batch", 20, "--threads", 1).out


def test_file_without_L_still_gives_the_local_error_and_says_what_is_missing(refsim: Call, tmp_path: Path) -> None:
    done = refsim("errors", "-w", unknown_L(tmp_path), "-T", 2)
    assert done.code == 0
    said = "refsim: the error against the ANN and its propagated part are left out: the file does not say L for 'if1'"
    assert [line for line in done.err.splitlines() if "left out" in line] == [
        f"{said}, the ANN's quantization steps; convert again with --L"
    ]
    assert done.out.splitlines()[4].split()[6:11] == ["?", "-", "-", "-", "-"]
    paragraph = refsim("errors", "-w", unknown_L(tmp_path), "-T", 2, "--layer", 2, "-q")
    assert "L unknown" in paragraph.out
    assert "against QCFS" not in paragraph.out
    assert paragraph.err == ""
    assert (
        json.loads(refsim("errors", "-w", unknown_L(tmp_path), "--json", "-q").out)["steps"][0]["layers"][0]["residual"]
        is None
    )


def test_relu_source_is_compared_with_relu(refsim: Call, tmp_path: Path) -> None:
    path = tmp_path / "relu.h5"
    save(path, small_network(L=None), samples=Samples(images=raw_images(4), labels=np.zeros(4, dtype=np.int64)))
    done = refsim("errors", "-w", path, "-T", 2)
    assert done.out.splitlines()[4].split()[6] == "ReLU"
    assert "against QCFS" not in refsim("errors", "-w", path, "-T", 2, "--layer", 1).out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--layer", "7"), 2, "refsim: no spiking layer '7' in 'small'; it has 1=if1, 2=if2, 3=if3\n"),
        (("-T", "0"), 2, "Invalid value for '-T'"),
    ],
)
def test_wrong_use_is_one_clear_line(refsim: Call, weights: Path, arguments: tuple, code: int, message: str) -> None:
    done = refsim("errors", "-w", weights, *arguments)
    assert done.code == code
    assert message in done.err


def test_packaged_network_is_explained_without_arguments(refsim: Call) -> None:
    done = refsim("errors", "--limit", 10, "--layer", 1)
    assert done.code == 0
    assert "spike count vs expected:  exact 100.0 %" in done.out


def test_max_pools_that_do_not_follow_the_maximum_have_a_column(refsim: Call, tmp_path: Path) -> None:
    network, images = small_network(), raw_images(6)
    for mode in ("cumulative", "or"):
        layers = [
            MaxPool2d(name="pool", inputs=each.inputs, kernel=(2, 2), stride=(2, 2), mode=mode)
            if each.name == "pool"
            else each
            for each in network.layers
        ]
        path = tmp_path / f"{mode}.h5"
        save(
            path,
            replace(network, layers=tuple(layers)),
            samples=Samples(images=images, labels=np.zeros(6, dtype=np.int64)),
        )
    taken, follows = (refsim("errors", "-w", tmp_path / f"{mode}.h5", "-T", 4, "-q") for mode in ("or", "cumulative"))
    report = json.loads(refsim("errors", "-w", tmp_path / "or.h5", "-T", 4, "-q", "--json").out)
    assert "pool = h(zbar) - h(zbar*)" in taken.out
    assert "pool" in report["definitions"]
    head, _, _, third = (line.split() for line in taken.out.splitlines()[3:7])
    mean = report["steps"][0]["layers"][2]["against_qcfs"]["pool"]["mean"]
    assert third[head.index("pool")] == f"{mean:+.4f}"
    assert "pool" not in follows.out
    detailed = refsim("errors", "-w", tmp_path / "or.h5", "-T", 4, "-q", "--layer", 3)
    assert sum(line.split()[:1] == ["pool"] for line in detailed.out.splitlines()[2:]) == 3


def test_it_ends_in_a_verdict_that_can_be_measured(refsim: Call, weights: Path) -> None:
    done = refsim("errors", "-w", weights, "-T", 2, "--accuracy-if", "worst", "--accuracy-if", "if1", "-q")
    assert done.code == 0
    assert "most is lost in layer " in done.out
    assert "as in the ANN it would give " in done.out
    assert "if layer 1 'if1' made no error of its own: " in done.out
    stored = json.loads(refsim("errors", "-w", weights, "-T", 2, "--accuracy-if", "2", "-q", "--json").out)
    assert stored["accuracy_if"][0]["layer"] == "if2"
    assert refsim("errors", "-w", weights, "--accuracy-if", "9", "-q").code == 2
