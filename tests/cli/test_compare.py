"""`refsim compare`, and the methods of `convert` and `run`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refsim.cli.compare_text import as_markdown, as_text
from refsim.formats.weights.hdf5 import load, save
from refsim.formats.weights.parts import Samples
from refsim.methods.registry import METHODS
from refsim.reports.compare import SCHEMA
from refsim.runs.compare import compare
from tests.cli.conftest import Call
from tests.simulation.networks import raw_images, small_network

OPTIONS = ("-T", "4,1,2", "--limit", 12, "--n-calibrate", 4, "-q")


def lines_of(text: str, start: str) -> list[str]:
    """The lines of the table under the heading that starts so."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(start)) + 1
    return lines[first : next(i for i in range(first, len(lines)) if not lines[i])]


def test_a_table_has_the_ann_first_and_methods_in_the_order_asked_for(refsim: Call, weights: Path) -> None:
    done = refsim("compare", "-w", weights, "--methods", "tcl,srp:2,ecl", *OPTIONS)
    assert (done.code, done.err) == (0, "")
    table = [line.split() for line in lines_of(done.out, "accuracy in %")]
    assert table[0] == ["method", "extra", "steps", "T=1", "T=2", "T=4"]
    assert [row[0] for row in table[1:]] == ["ANN", "tcl", "srp:2", "ecl"]
    assert [len(row) for row in table[1:]] == [2, 4, 5, 4]
    assert table[3][1] == "2"
    assert [row.split()[0] for row in lines_of(done.out, "SOPs/image")] == ["method", "tcl", "srp:2", "ecl"]
    assert "calibration: 4 images of the same data, not tested on" in done.out
    assert "12 samples from the file" in done.out


def test_the_numbers_are_those_of_run(refsim: Call, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    done = refsim("compare", "-w", weights, "--methods", "qcfs,ecl", *OPTIONS, "-o", path)
    report = json.loads(path.read_text())
    assert report["schema"] == SCHEMA
    assert report["T"] == [1, 2, 4]
    ran = json.loads(refsim("run", "-w", weights, "-T", 4, "--limit", 12, "--neuron", "both", "--json", "-q").out)
    assert report["ann"]["correct"] == ran["ann"]["correct"]
    for each, expected in zip(report["methods"], ran["runs"]):
        for step in each["steps"]:
            wanted = expected["steps"][step["T"] - 1]
            assert {key: step[key] for key in ("correct", "sop", "residual")} == {
                key: wanted[key] for key in ("correct", "sop", "residual")
            }
            assert (step["latency"], step["extra_sop"]) == (step["T"], 0)
    cell = f"{100 * report['methods'][0]['steps'][2]['accuracy']:.1f}"
    assert lines_of(done.out, "accuracy")[2].split()[-1] == cell


def test_charged_steps_are_in_the_json(refsim: Call, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    refsim("compare", "-w", weights, "--methods", "qcfs,srp:2,cos:3", *OPTIONS, "-o", path)
    plain, srp, cos = json.loads(path.read_text())["methods"]
    assert (srp["extra_steps"], cos["extra_steps"]) == (2, 9)
    assert [step["latency"] for step in cos["steps"]] == [10, 11, 13]
    for each in (srp, cos):
        for step in each["steps"]:
            assert 0 < step["extra_sop"] < step["sop"]
    assert srp["steps"][0]["sop"] > plain["steps"][0]["sop"]


def test_markdown(refsim: Call, weights: Path) -> None:
    done = refsim("compare", "-w", weights, "--methods", "qcfs", *OPTIONS, "--markdown")
    lines = done.out.splitlines()
    assert lines[2:4] == ["| method | extra steps | T=1 | T=2 | T=4 |", "| --- | ---: | ---: | ---: | ---: |"]
    assert lines[4].startswith("| ANN |  | ")
    assert lines[5].startswith("| qcfs |  | ")
    assert {line.count("|") for line in lines if line.startswith("|")} == {6}


def test_all_methods_but_those_that_are_not_for_this_network(refsim: Call, weights: Path, relu: Path) -> None:
    done = refsim("compare", "-w", weights, *OPTIONS, "-T", 1)
    names = [line.split()[0] for line in lines_of(done.out, "accuracy in %")[2:]]
    assert names == [name for name in METHODS if name != "theorem3"]
    assert "left out: method theorem3 is for networks without bias" in done.out
    done = refsim("compare", "-w", relu, *OPTIONS, "-T", 1)
    names = [line.split()[0] for line in lines_of(done.out, "accuracy in %")[2:]]
    assert names == [name for name in METHODS if name not in ("theorem3", "qcfs", "tcl", "srp", "cos")]
    assert done.out.count("left out:") == 5


@pytest.fixture
def relu(tmp_path: Path) -> Path:
    """The small network with ReLU, and 20 samples."""
    path = tmp_path / "relu.h5"
    save(path, small_network(L=None), samples=Samples(images=raw_images(20), labels=np.arange(20) % 5))
    return path


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--methods", "qcfs,foo"), 2, "no method 'foo'; there are qcfs"),
        (("--methods", "theorem3"), 2, "theorem3 is for networks without bias (Theorem 3), and layer 'conv1' has one"),
        (("--methods", "qcfs", "-T", "1,zero"), 2, "'1,zero' is not a number of steps, or a list such as 1,2,4,8"),
        (("--methods", "qcfs", "-T", "0"), 2, "'0' is not a number of steps"),
        (("--methods", "max", "--limit", "20"), 2, "method max takes its parameters from calibration images"),
        (
            ("--methods", "qcfs", "--dtype", "int8"),
            2,
            "dtype int8 rounds weights, each method's in another way; choose",
        ),
        (("--methods", "qcfs", "-o", "no/where.json"), 2, "there is no folder"),
        (("--methods", "qcfs", "--calibrate", "nowhere.npz"), 3, "nowhere.npz: no such file or folder"),
    ],
)
def test_refusals(refsim: Call, weights: Path, options: tuple[str, ...], code: int, message: str) -> None:
    done = refsim("compare", "-w", weights, "-q", *options)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_relu_networks_refuse_methods_for_trained_bounds(refsim: Call, relu: Path) -> None:
    done = refsim("compare", "-w", relu, "--methods", "opi,qcfs", "-q", "--limit", 12)
    assert done.code == 2
    assert done.err.startswith("refsim: method qcfs needs trained clipping bounds (QCFS activations), and 'small' has")


def test_all_samples_tested_leave_none_for_calibration(refsim: Call, weights: Path) -> None:
    done = refsim("compare", "-w", weights, "--methods", "qcfs", "-T", 1)
    assert done.code == 0
    assert "refsim: no calibration images: all 20 images are tested on, so none are left for calibration" in done.err
    assert "qcfs: " in done.err


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set with a training part, of which images 30.. are in the test part, too."""
    images = raw_images(60, seed=4)
    path = tmp_path / "data.npz"
    np.savez(path, x_train=images[:40], y_train=np.arange(40) % 5, x_test=images[30:], y_test=np.arange(30) % 5)
    return path


def test_training_images_calibrate_unless_they_are_tested_on(refsim: Call, weights: Path, data: Path) -> None:
    call = ("compare", "-w", weights, "--data", data, "--methods", "max", "-T", 1, "-q")
    # Strided: 0, 10, 20 and 30 of training; 0.. of test are 30.. of training.
    done = refsim(*call, "--n-calibrate", 4)
    assert done.code == 2
    assert "1 of the calibration images are tested on, too; name others with --calibrate" in done.err
    done = refsim(*call, "--n-calibrate", 1)
    assert done.code == 0
    assert "calibration: 1 of the 40 training images of data.npz" in done.out
    done = refsim(*call, "--n-calibrate", 4, "--calibrate-on-test")
    assert "calibration: 4 of the test images themselves" in done.out
    done = refsim(*call, "--calibrate", data, "--n-calibrate", 2)
    assert "calibration: 2 of the 40 images of data.npz" in done.out


def test_the_list_names_every_method(refsim: Call) -> None:
    done = refsim("compare", "--list")
    assert [line.split()[0] for line in done.out.splitlines()[:-1] if line][:-1] == list(METHODS)


def test_run_with_signed_neurons(refsim: Call, weights: Path) -> None:
    signed = json.loads(refsim("run", "-w", weights, "--neuron", "signed", "--json", "-q").out)
    same = ("--neuron", "dual", "--theta-neg", -1, "--theta-neg-mode", "relative")
    assert signed["runs"] == json.loads(refsim("run", "-w", weights, *same, "--json", "-q").out)["runs"]
    ecl = json.loads(refsim("run", "-w", weights, "--neuron", "dual", "--json", "-q").out)
    assert signed["runs"] != ecl["runs"]
    done = refsim("run", "-w", weights, "--neuron", "signed", "--theta-neg", -0.5)
    assert (done.code, done.err) == (2, "refsim: theta_neg belongs to dual neurons; choose neuron dual\n")


def test_the_file_is_left_as_it_was(refsim: Call, weights: Path) -> None:
    before = load(weights).sha256
    refsim("compare", "-w", weights, "--methods", "snnc", *OPTIONS)
    assert load(weights).sha256 == before


def test_large_numbers_of_operations_are_shown_in_millions(weights: Path) -> None:
    report = compare(load(weights), methods=["qcfs"], T=(1, 2, 4), limit=12, n_calibrate=4)
    assert "SOPs/image, those" in "\n".join(as_text(report, color=False))
    steps = [
        replace(step, sop=sop * 12) for step, sop in zip(report["qcfs"].steps, (325_962, 99_960_000, 1_387_211_460))
    ]
    report = replace(report, methods=(replace(report["qcfs"], steps=tuple(steps)),))
    text = "\n".join(as_text(report, color=False))
    assert lines_of(text, "SOPs/image in millions")[1].split() == ["qcfs", "0.3", "100.0", "1,387.2"]
    assert "| qcfs |  | 0.3 | 100.0 | 1,387.2 |" in as_markdown(report)


def test_a_method_that_turns_out_not_to_be_for_the_network_takes_no_result_with_it(refsim: Call, weights: Path) -> None:
    """All samples are tested, so methods that calibrate cannot run; the others ran, and are printed."""
    done = refsim("compare", "-w", weights, "-T", 1, "-q")
    assert done.code == 0
    names = [line.split()[0] for line in lines_of(done.out, "accuracy in %")[2:]]
    assert "qcfs" in names
    assert "max" not in names
    assert "left out: method max takes its parameters from calibration images; name some" in done.out
