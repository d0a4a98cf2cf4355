"""`refsim.layer_errors`, `refsim.compare`, `refsim.verify`: the numbers of the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import refsim
from refsim.exceptions import UsageError
from tests.cli.conftest import Call
from tests.front.test_run import command  # noqa: F401, a fixture


def test_errors_are_what_the_command_prints(file: refsim.WeightFile, path: Path, command: Call) -> None:  # noqa: F811
    report = refsim.layer_errors(file, layer=[1, "if2"], T=(1, 3), channels=True)
    theirs = command("errors", "-w", path, "--layer", 1, "--layer", "if2", "-T", "1,3", "--channels")
    assert json.loads(json.dumps(report.to_json())) == theirs
    assert report["if2"].unevenness.mean == theirs["steps"][1]["layers"][1]["against_qcfs"]["unevenness"]["mean"]
    assert report.at(1).layers[0].total.rms == theirs["steps"][0]["layers"][0]["against_qcfs"]["total"]["rms"]
    with pytest.raises(UsageError, match="no layer 'if3' in this report; it has if1, if2"):
        report["if3"]
    with pytest.raises(UsageError, match="T=2 was not measured; there is T=1, 3"):
        report.at(2)


def test_several_T_are_the_runs_of_each(file: refsim.WeightFile) -> None:
    every = refsim.layer_errors(file, T=(1, 2, 4), limit=7)
    for T in (1, 2, 4):
        alone = refsim.layer_errors(file, T=T, limit=7)
        assert [each.to_json() for each in every.at(T).layers] == [each.to_json() for each in alone.layers]


def test_the_parts_add_up(file: refsim.WeightFile) -> None:
    for layer in refsim.layer_errors(file, neuron="dual").layers:
        parts = {key: part.mean for key, part in layer.parts.items()}
        total = parts.pop("total")
        assert sum(parts.values()) == pytest.approx(total, abs=1e-15)
        assert layer.propagated.mean == parts["propagated"]


def test_without_L_the_errors_against_the_ann_are_missing(tmp_path: Path) -> None:
    from tests.simulation.networks import raw_images, small_network

    file = refsim.WeightFile(network=small_network(L=0), samples=None, golden=(), sha256="")
    report = refsim.layer_errors(file, raw_images(3), layer=2)
    assert report.missing is not None
    assert "the file does not say L for 'if1'" in report.missing
    assert list(report[2].parts) == ["clipping", "quantization", "unevenness", "local"]
    with pytest.raises(UsageError, match="layer 'if2': the error against the ANN is not known"):
        report[2].total  # noqa: B018


def test_a_comparison_is_what_the_command_prints(file: refsim.WeightFile, path: Path, command: Call) -> None:  # noqa: F811
    ours = refsim.compare(file, methods=["qcfs", "srp:2"], T=[1, 2], limit=8, n_calibrate=4)
    words = ("--methods", "qcfs,srp:2", "-T", "1,2", "--limit", 8, "--n-calibrate", 4)
    assert json.loads(json.dumps(ours.to_json())) == command("compare", "-w", path, *words)
    assert ours["srp:2"].steps[0].latency == 3
    with pytest.raises(UsageError, match="method 'opi' is not in this comparison"):
        ours["opi"]


def test_methods_that_cannot_run_are_left_out_with_the_reason(file: refsim.WeightFile) -> None:
    notes: list[str] = []
    done = refsim.compare(file, methods=["qcfs", "max"], T=1, note=notes.append)
    assert [each.method for each in done.methods] == ["qcfs"]
    assert "takes its parameters from calibration images" in done.left_out["max"]
    assert notes[0].startswith("no calibration images: all 20 images are tested on")
    with pytest.raises(UsageError, match="'max' is not in this comparison: method max takes"):
        done["max"]
    with pytest.raises(UsageError, match="no method can run on 'small': method max takes"):
        refsim.compare(file, methods=["max"], T=1)


def test_verification_says_what_it_did(file: refsim.WeightFile) -> None:
    checks: list[object] = []
    done = refsim.verify(file, T=(1, 2), limit=3, on_check=checks.append)
    assert [(each.neuron, each.T, each.n_images) for each in done.specification] == [
        ("if", 1, 3),
        ("dual", 1, 3),
        ("if", 2, 3),
        ("dual", 2, 3),
    ]
    assert len(checks) == 4
    with pytest.raises(UsageError, match="must be at least 1"):
        refsim.verify(file, limit=0)
