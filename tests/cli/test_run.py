"""`refsim run`, as a person uses it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from refsim.analysis.energy import BUILT_IN
from refsim.cli.render import _margin
from refsim.cli.run import summarize
from refsim.engine.modes import MODES
from refsim.formats.weights.hdf5 import Samples, save
from refsim.model import Flatten, InputSpec, Linear, Network
from refsim.reference.counts import synaptic_ops
from refsim.reference.network import simulate
from refsim.runs.recording import read_result
from refsim.verification.golden import with_neuron
from tests.cli.conftest import Call
from tests.simulation.networks import raw_images, small_network


def test_the_packaged_network_runs_with_both_neurons(refsim: Call) -> None:
    done = refsim("run", "--limit", 20)
    assert done.code == 0
    assert "fashion-small   3 spiking layers, IF   20 samples from the file" in done.out
    assert "fashion-small   3 spiking layers, dual threshold   20 samples from the file" in done.out
    assert "ANN" in done.out


def test_one_run_prints_every_step_up_to_T(refsim: Call, weights: Path) -> None:
    done = refsim("run", "--weights", weights, "--T", 6, "--no-color")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines() if line.startswith("  ") and "%" in line][1:] == [
        *"123456",
        "ANN",
    ]


def test_a_network_without_spiking_layers_runs(refsim: Call, tmp_path: Path) -> None:
    layers = (
        Flatten(name="flat", inputs=("input",)),
        Linear(name="out", inputs=("flat",), weight=np.ones((2, 12)), bias=np.zeros(2)),
    )
    network = Network(name="readout", input=InputSpec(shape=(3, 2, 2)), layers=layers)
    samples = Samples(images=raw_images(4)[:, :2, :2], labels=np.array([0, 1, 0, 1]))
    save(tmp_path / "readout.h5", network, samples=samples)
    for dtype in MODES:
        done = refsim("run", "-w", tmp_path / "readout.h5", "-q", "--dtype", dtype)
        assert done.code == 0
        assert "50.0 %" in done.out
    assert "no spikes: the network has no spiking layers" in refsim("run", "-w", tmp_path / "readout.h5", "-q").out


def test_the_least_margin_is_that_of_an_exact_tie_at_the_negative_threshold() -> None:
    tie = {"name": "tie", "margin": 0.5, "margin_neg": 0.0, "certified": False, "recomputed": [0]}
    far = {"name": "far", "margin": 0.25, "margin_neg": None, "certified": True, "recomputed": [0]}
    shown = _margin({"quantised": None}, {"layers": [far, tie]}, color=False)
    assert "least decision margin 0 theta ('tie'); not certified independent of summation order: tie" in shown


def test_a_longer_run_contains_the_shorter_one(refsim: Call, weights: Path) -> None:
    short, long = (json.loads(refsim("run", "-w", weights, "-T", T, "--json").out)["runs"][0]["steps"] for T in (2, 5))
    assert long[:2] == short


@pytest.mark.parametrize("kind", ["if", "dual"])
def test_the_printed_numbers_are_those_of_the_specification(refsim: Call, weights: Path, kind: str) -> None:
    report = json.loads(refsim("run", "-w", weights, "-T", 3, "--neuron", kind, "--json").out)
    network = with_neuron(small_network(), kind)
    x = network.input.normalize(raw_images(20))
    expected = simulate(network, x, 3)
    steps = report["runs"][0]["steps"]
    for t in range(3):
        right = (expected.logits[: t + 1].sum(axis=0).argmax(axis=1) == np.arange(20) % 5).sum()
        assert steps[t]["correct"] == right
        sops = 0
        for name, source in (("conv2", "if1"), ("fc", "flatten")):
            events = np.abs(expected.events[source][: t + 1].astype(int))
            sops += sum(synaptic_ops(network.by_name[name], each).sum() for each in events)
        # Behind the pool every spike passes through: the pool's windows deliver |s| one by one.
        pooled = np.abs(expected.spikes["if2"][: t + 1].astype(int)).reshape(t + 1, 20, 8, 3, 2, 3, 2).sum(axis=(4, 6))
        sops += sum(synaptic_ops(network.by_name["conv3"], each).sum() for each in pooled)
        assert steps[t]["sop"] == sops
        assert steps[t]["residual"] == np.abs(expected.spikes["if1"][: t + 1].astype(int)).sum()


def test_json_says_what_it_is_and_where_it_comes_from(refsim: Call, weights: Path) -> None:
    report = json.loads(refsim("run", "-w", weights, "--json").out)
    assert report["schema"] == "refsim-run 1"
    assert len(report["weights"]["sha256"]) == 64
    assert report["definitions"]["sop"].startswith("one nonzero spike x one existing synapse")
    assert report["runs"][0]["steps"][3]["interval"][0] <= report["runs"][0]["steps"][3]["accuracy"]


def test_a_recording_gives_back_every_printed_number(refsim: Call, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    done = refsim(
        "run", "-w", weights, "--neuron", "dual", "-o", out, "--record", "counts,n,v,spikes", "--json", "--limit", 9
    )
    report = json.loads(done.out)
    again = summarize(with_neuron(small_network(), "dual"), read_result(out), BUILT_IN["qcfs2022"], "dual", "float64")
    assert json.loads(json.dumps(again)) == report["runs"][0]
    with h5py.File(out) as file:
        np.testing.assert_array_equal(file["indices"], np.arange(9) * 20 // 9)
        assert file.attrs["weights_sha256"] == report["weights"]["sha256"]


def test_csv_has_a_row_for_every_neuron_and_step(refsim: Call, weights: Path, tmp_path: Path) -> None:
    done = refsim("run", "-w", weights, "--neuron", "both", "-o", tmp_path / "out.csv")
    assert done.code == 0
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["neuron"], row["t"]) for row in rows] == [
        (kind, str(t)) for kind in ("if", "dual") for t in range(1, 5)
    ]
    assert all(float(row["low"]) <= float(row["accuracy"]) <= float(row["high"]) for row in rows)


def test_limit_is_evenly_strided(refsim: Call, weights: Path) -> None:
    report = json.loads(refsim("run", "-w", weights, "--limit", 4, "--json").out)
    network = small_network()
    expected = simulate(network, network.input.normalize(raw_images(20)[[0, 5, 10, 15]]), 4)
    assert (
        report["runs"][0]["layers"][0]["spikes_pos"] == (expected.spikes["if1"] > 0).reshape(4, -1).sum(axis=1).tolist()
    )


def test_float_arrays_are_taken_as_input_currents(refsim: Call, weights: Path, tmp_path: Path) -> None:
    x = small_network().input.normalize(raw_images(20))
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(20) % 5)
    raw = json.loads(refsim("run", "-w", weights, "--json").out)
    currents = json.loads(refsim("run", "-w", weights, "--data", tmp_path / "x.npz", "--json").out)
    assert currents["runs"] == raw["runs"]
    assert currents["data"]["sha256"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--T", "0"], 2, "0 is not in the range x>=1"),
        (["--neuron", "if", "--theta-neg", "-0.1"], 2, "--theta-neg belongs to dual neurons"),
        (["--neuron", "dual", "--theta-neg-mode", "relative"], 2, "give both"),
        (["--neuron", "dual", "--theta-neg", "0"], 3, r"theta_neg must lie in [-theta, 0), got 0.0"),
        (["--record", "n"], 2, "--record needs -o FILE.h5"),
        (["-o", "out.txt"], 2, "the name must end in .json, .csv or .h5"),
        (["-o", "nowhere/out.csv"], 2, "there is no folder"),
        (["-o", "out.h5", "--neuron", "both"], 2, "holds one run"),
        (["-o", "out.h5", "--record", "u"], 2, "'u' is not one of counts, n, v, spikes"),
        (["--energy", "free"], 2, "no energy model 'free'"),
        (["--data", "missing.npz"], 3, "missing.npz: no such file or folder"),
        (["--min-accuracy", "100"], 4, "accuracy at T=4 is"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_an_exit_code(
    refsim: Call,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = refsim("run", "-w", weights, "-q", *arguments)
    assert done.code == code
    assert message in done.err
    assert len(done.err.strip().splitlines()) <= 4  # click shows usage above its line
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_shape_are_refused_with_both_shapes(refsim: Call, weights: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((5, 4, 4, 3), dtype=np.uint8))
    done = refsim("run", "-w", weights, "--data", tmp_path / "x.npz")
    assert done.code == 3
    assert "images are (3, 4, 4) (C, H, W), the network expects (3, 6, 6); --pad puts black around them" in done.err
    assert refsim("run", "-w", weights, "--data", tmp_path / "x.npz", "--pad").code == 0


def test_a_network_of_unknown_L_runs_and_says_why_the_ann_is_missing(refsim: Call, tmp_path: Path) -> None:
    from refsim.formats.weights.hdf5 import Samples, save

    samples = Samples(images=raw_images(3), labels=np.zeros(3, dtype=np.int64))
    save(tmp_path / "no_L.h5", small_network(L=0), samples=samples)
    done = refsim("run", "-w", tmp_path / "no_L.h5", "--json")
    assert done.code == 0
    assert "the file does not say L for 'if1'; convert again with --L" in done.err
    assert json.loads(done.out)["ann"]["accuracy"] is None


def test_options_come_from_the_environment_too(refsim: Call, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFSIM_RUN_T", "2")
    assert len(json.loads(refsim("run", "-w", weights, "--json").out)["runs"][0]["steps"]) == 2
    assert len(json.loads(refsim("run", "-w", weights, "-T", 3, "--json").out)["runs"][0]["steps"]) == 3


def test_colour_only_where_it_is_wanted(refsim: Call, weights: Path) -> None:
    assert "\x1b[" not in refsim("run", "-w", weights).out
    assert "\x1b[1m" in refsim("run", "-w", weights, "--color").out
