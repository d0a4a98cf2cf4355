"""`refsim run`, as a person uses it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from refsim.analysis.energy import BUILT_IN
from refsim.engine.modes import MODES
from refsim.formats.weights.hdf5 import Samples, save
from refsim.formats.weights.locate import load
from refsim.model import Flatten, InputSpec, Linear, Network
from refsim.reference.counts import synaptic_ops
from refsim.reference.network import simulate
from refsim.reports.run import SnnRun
from refsim.runs.recording import read_result
from tests.cli.conftest import Call
from tests.simulation.networks import raw_images, small_network


def test_the_packaged_network_runs_with_both_neurons(refsim: Call) -> None:
    done = refsim("run", "--limit", 20)
    assert done.code == 0
    assert "fashion-vgg7   6 spiking layers, IF   20 samples from the file" in done.out
    assert "fashion-vgg7   6 spiking layers, dual threshold   20 samples from the file" in done.out
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


def test_a_longer_run_contains_the_shorter_one(refsim: Call, weights: Path) -> None:
    short, long = (json.loads(refsim("run", "-w", weights, "-T", T, "--json").out)["runs"][0]["steps"] for T in (2, 5))
    assert long[:2] == short


@pytest.mark.parametrize("kind", ["if", "dual"])
def test_the_printed_numbers_are_those_of_the_specification(refsim: Call, weights: Path, kind: str) -> None:
    report = json.loads(refsim("run", "-w", weights, "-T", 3, "--neuron", kind, "--json").out)
    network = small_network().with_kind(kind)
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
    again = SnnRun(
        network=small_network().with_kind("dual"), result=read_result(out), model=BUILT_IN["horowitz45"], dtype="exact"
    )
    assert json.loads(json.dumps(again.to_json())) == report["runs"][0]
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
        (["--T", "0"], 2, "'0' is not a number of steps"),
        (["--neuron", "if", "--theta-neg", "-0.1"], 2, "theta_neg belongs to dual neurons"),
        (["--neuron", "dual", "--theta-neg-mode", "relative"], 2, "give both"),
        (["--neuron", "dual", "--theta-neg", "0"], 3, r"theta_neg must lie in [-theta, 0), got 0.0"),
        (["--record", "n"], 2, "--record needs -o FILE.h5"),
        (["-o", "out.txt"], 2, "the name must end in .json, .csv, .parquet or .h5"),
        (["-o", "nowhere/out.csv"], 2, "there is no folder"),
        (["-o", "out.h5", "--neuron", "both"], 2, "holds one run"),
        (["-o", "out.h5", "--record", "u"], 2, "'u' is not one of counts, n, v, spikes"),
        (["--energy", "free"], 2, "no energy model 'free'"),
        (["--data", "missing.npz"], 3, "missing.npz: no such file or folder"),
        (["--min-accuracy", "100"], 4, "accuracy at T=4 is"),
        (["--min-accuracy", "inf"], 2, "inf is not in the range"),
        (["--min-accuracy", "nan"], 2, "nan is not"),
        (["--theta-neg", "-inf", "--neuron", "dual"], 2, "-inf is not a finite number"),
        (["--v0", "nan"], 2, "nan is not a finite number"),
        (["-T", "1,1e9"], 2, "'1,1e9' is not a number of steps"),
        (["-T", "99999999"], 2, "'99999999' is not a number of steps"),
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


def test_what_is_known_at_the_start_is_said_before_any_work(
    refsim: Call, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "x.npy", raw_images(3))
    monkeypatch.setattr("refsim.runs.run.run_in_memory", lambda *_: pytest.fail("it ran"))
    done = refsim("run", "-w", weights, "--data", tmp_path / "x.npy", "--min-accuracy", "50", "-q")
    assert (done.code, done.err) == (2, "refsim: --min-accuracy needs labelled images\n")
    done = refsim("run", "-w", weights, "--neuron", "dual", "--theta-neg", "-9", "-q")
    assert done.code == 3


def test_a_name_that_ends_in_a_slash_is_a_run_directory_whatever_it_looks_like(
    refsim: Call, weights: Path, tmp_path: Path
) -> None:
    done = refsim("run", "-w", weights, "-T", 1, "-q", "-o", f"{tmp_path}/res.json/")
    assert done.code == 0
    assert {each.name for each in (tmp_path / "res.json").iterdir()} >= {"run.db", "report.json"}


def test_many_steps_are_shown_by_powers_of_two(refsim: Call, weights: Path) -> None:
    def steps(*options: object) -> list[str]:
        lines = refsim("run", "-w", weights, "--limit", 2, "--no-ann", "-q", *options).out.splitlines()
        return [line.split()[0] for line in lines if line.startswith("   ") and "%" in line][1:]

    assert steps("-T", 20) == ["1", "2", "4", "8", "16", "20"]
    assert steps("-T", "3,9,12") == ["3", "9", "12"]
    assert steps("-T", 10, "--all-steps") == [str(t) for t in range(1, 11)]


def test_a_margin_of_exactly_0_is_shown(refsim: Call, tmp_path: Path) -> None:
    """A potential that meets its threshold exactly: theta 1, a current of 1/4 at every step from v0 = 1/2."""
    from refsim.formats.weights.hdf5 import Samples, save
    from refsim.model import Activation, InputSpec, Linear, Network, Neuron, Spiking

    neuron = Neuron(theta=np.array(1.0), v0=np.array(0.5), activation=Activation(lambda_=1.0, L=4))
    layers = (
        Linear(name="in", inputs=("input",), weight=np.array([[0.25]]), bias=np.zeros(1)),
        Spiking(name="tie", inputs=("in",), neuron=neuron),
        Linear(name="out", inputs=("tie",), weight=np.ones((2, 1)), bias=np.zeros(2)),
    )
    network = Network(name="tie", input=InputSpec(shape=(1, 1, 1), scale=1.0), layers=layers)
    samples = Samples(images=np.ones((1, 1, 1, 1), np.uint8), labels=np.zeros(1, np.int64))
    save(tmp_path / "tie.h5", network, samples=samples)
    for kind in ("if", "dual"):
        done = refsim("run", "-w", tmp_path / "tie.h5", "-T", 4, "--neuron", kind, "-q")
        assert "least decision margin 0 theta ('tie'); not certified" in done.out


def test_record_selects_layers_neurons_and_steps(refsim: Call, weights: Path, tmp_path: Path) -> None:
    words = ["run", "-w", weights, "-q", "-T", "3", "--neuron", "if", "-o", tmp_path / "r.h5"]
    assert refsim(*words, "--record", "v", "--record", "if1:0,5", "--record", "if2@1").code == 0
    with h5py.File(tmp_path / "r.h5") as file:
        assert file["layers/if1/v"].shape == (20, 2)
        assert file["layers/if2/v_steps"].shape == (1, 20, 8, 6, 6)
        assert "spikes" not in file["layers/if1"]
    assert refsim(*words, "--record", "if1:0,5").code == 0
    with h5py.File(tmp_path / "r.h5") as file:
        assert set(file["layers/if1"]) > {"v", "n", "spikes"}


def test_rows_as_parquet_are_those_of_csv(refsim: Call, weights: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    words = ["run", "-w", weights, "-q", "-T", "3", "--neuron", "both"]
    for name in ("r.csv", "r.parquet"):
        assert refsim(*words, "-o", tmp_path / name).code == 0
    table = parquet.read_table(tmp_path / "r.parquet").to_pylist()
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{key: str(value) for key, value in row.items()} for row in table] == rows


def test_parquet_without_pyarrow_is_refused_before_any_work(
    refsim: Call, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refsim.reports.files.find_spec", lambda name: None)
    done = refsim("run", "-w", weights, "-o", tmp_path / "r.parquet")
    assert (done.code, "pip install 'refsim[parquet]'" in done.err) == (2, True)
    assert not list(tmp_path.iterdir())


def test_zero_weights_that_are_not_counted_are_said_in_every_report(refsim, weights, tmp_path):
    for option, said in (((), False), (("--skip-zero-weights",), True)):
        done = refsim("run", "-w", weights, *option)
        assert ("synapses of weight 0 left out, of the ANN's MACs too" in done.out) == said
        assert json.loads(refsim("run", "-w", weights, "--json", *option).out)["skip_zero_weights"] is said
        refsim("run", "-w", weights, "-o", tmp_path / f"{said}.csv", *option)
        rows = list(csv.DictReader((tmp_path / f"{said}.csv").read_text().splitlines()))
        assert {row["skip_zero_weights"] for row in rows} == {str(said)}


def test_zero_weights_are_pruned_from_the_ann_too(refsim, tmp_path):
    network = load().network
    layer = network.by_name["layer1.0"]
    weight = layer.weight.copy()
    weight[::2] = 0
    layers = tuple(replace(each, weight=weight) if each is layer else each for each in network.layers)
    save(tmp_path / "pruned.h5", replace(network, layers=layers), samples=load().samples)
    counted = [
        json.loads(refsim("run", "-w", tmp_path / "pruned.h5", "--limit", "2", "--json", *option).out)
        for option in ((), ("--skip-zero-weights",))
    ]
    before, after = (each["ann"]["operations"] for each in counted)
    plane = network.shapes["layer1.0"][1] * network.shapes["layer1.0"][2]
    zeros = sum(int((each.effective_weight() == 0).sum()) for each in network.layers if hasattr(each, "weight"))
    assert before["mac_dense"] - after["mac_dense"] == np.count_nonzero(layer.weight[::2]) * plane
    assert zeros == 0, "the network in the package has no zeros of its own"
    first = [each["runs"][0]["steps"][-1] for each in counted]
    assert first[0] != first[1]
