"""The scripts in analysis/: each runs, and prints the numbers that it is there to print."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

import refsim
from refsim.analysis.statistics import wilson_interval
from refsim.cli import main as refsim_main
from refsim.formats.weights.hdf5 import save
from refsim.formats.weights.locate import find_weights

SCRIPTS = Path(__file__).resolve().parent.parent / "analysis"
compiled = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="a whole network, interpreted")
Run = Callable[..., dict[str, list[str]]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run("qcfs_fig1")` runs that script's main; the words of every line printed, by its first word."""
    monkeypatch.syspath_prepend(SCRIPTS)

    def call(name: str, *arguments: str, figure: bool = True) -> dict[str, list[str]]:
        output = tmp_path / f"{name}.png"
        import_module(name).main([*arguments, "-o", str(output)])
        assert output.exists() == figure
        words = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
        return {row[0]: row[1:] for row in words}

    return call


def test_every_script_says_what_it_reproduces_and_is_called_in_the_docs() -> None:
    docs = "".join(path.read_text() for path in (SCRIPTS.parent / "docs").glob("*.md"))
    for path in SCRIPTS.glob("*_*.py"):
        text = path.read_text()
        assert re.match(r'"""(QCFS|ECL|NQ|Numbers)', text), path.name
        assert f"python analysis/{path.name}" in docs, path.name


def test_script_runs_from_the_command_line(tmp_path: Path) -> None:
    output = tmp_path / "figure.svg"
    command = [sys.executable, "analysis/qcfs_fig1.py", "-o", str(output)]
    # Also where the checkout is not installed: Python puts the script's folder on the path, not the current one.
    env = os.environ | {"PYTHONPATH": str(SCRIPTS.parent)}
    done = subprocess.run(command, cwd=SCRIPTS.parent, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert output.read_text().startswith("<?xml")


def test_qcfs_fig_1_is_reproduced(run: Run) -> None:
    out = run("qcfs_fig1")
    assert {key: row[:2] for key, row in out.items() if key.startswith("1")} == {
        "1b": ["0.4", "0.4"],
        "1c": ["0.8", "0.8"],
        "1d": ["0.2", "0.2"],
    }


def test_qcfs_fig_2_shows_no_error_a_biased_and_an_unbiased_one(run: Run) -> None:
    run("qcfs_fig2")
    module = import_module("qcfs_fig2")
    means = [float((phi - a).mean()) for a, phi in (module.curves(*panel, module.Z) for panel in module.PANELS)]
    assert means == [0.0, 1 / 16, 0.0]


def test_qcfs_fig_s1_prints_the_rate_as_phi(run: Run) -> None:
    out = run("qcfs_figS1")
    assert out["rate N / T"] == ["0.6", "0.6", "0.2"]
    assert out["phi = theta N / T"] == ["-", "1.2", "0.4"]
    module = import_module("qcfs_figS1")
    assert module.all_timings(2.0, False) == {1: 75, 2: 24, 3: 1}
    assert module.all_timings(2.0, True) == {1: 100}


def test_ecl_fig_2_mends_one_example_spoils_one_and_leaves_one(run: Run) -> None:
    out = run("ecl_fig2")
    assert [out[panel][:3] for panel in ("1b", "1c", "1d")] == [
        ["0.4", "0.4", "0.2"],
        ["0.4", "0.8", "0.6"],
        ["0.4", "0.2", "0.2"],
    ]


def test_nq_fig_3_without_noise_is_the_neuron(run: Run) -> None:
    out = run("nq_fig3")
    assert out["ANN without noise - SNN at T = L"] == ["0", "0.0000"]
    assert float(out["std of the noise"][1]) == pytest.approx(0.1, abs=0.001)


def test_qcfs_table_s5_has_one_misprint(run: Run) -> None:
    out = run("qcfs_tableS5", figure=False)
    assert [key for key, row in out.items() if row[-1:] == ["MISPRINT"]] == ["SNNC-AP 1"]
    assert out["SNNC-AP 1"][:3] == ["0.857", "0.660", "0.06599"]
    assert out["ANN"] == ["0.628 GFLOP", "7.85", "7.85000"]
    assert len([key for key in out if re.fullmatch(r"(QCFS|RTS|SNNC-AP) \d", key)]) == 10


def test_ecl_table_4_gives_the_energy_of_the_ann_exactly(run: Run) -> None:
    out = run("ecl_table4", figure=False)
    assert out["all, as thop"] == ["333,617,664", "4.170221", "4.170"]
    assert [out[str(i)][1] for i in range(1, 6)] == ["0.052", "0.104", "0.221", "0.442", "0.883"]


def test_rows_printed_twice_are_the_same_digits(run: Run) -> None:
    out = run("printed_numbers", figure=False)
    assert out["QCFS %"] == out["OPI %"]
    assert any("ECL +19.31, NQ +18.28" in key for key in out)


# On the network in the package: what the scripts print is what refsim says


def accuracy_of_run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    refsim_main(["run", "--quiet", "--no-color", "--no-ann", "--limit", "20", "-T", "2", *arguments])
    lines = capsys.readouterr().out.splitlines()
    return next(line.split()[1] for line in lines if line.split()[:1] == ["2"])


@compiled
def test_ablation_of_ecl_prints_what_refsim_run_prints(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    out = run("ecl_fig3_table3", "--limit", "20", "-T", "2")
    for kind, column in (("if", 0), ("dual", 1)):
        assert float(out["2"][column]) == float(accuracy_of_run(capsys, "--neuron", kind))
    assert out["1"][:6] == [out["1"][0], out["1"][0], "+0.00", "0", "0", "1"]


def test_exact_test_of_two_proportions_is_that_of_the_binomial(run: Run) -> None:
    run("qcfs_fig1")
    mcnemar = import_module("ecl_fig3_table3").mcnemar
    assert [mcnemar(0, 0), mcnemar(2, 2), mcnemar(0, 5), mcnemar(5, 0), mcnemar(1, 3)] == [1, 1, 1 / 16, 1 / 16, 0.625]


@compiled
def test_shift_of_qcfs_fig_4_is_the_initial_potential(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    out = run("qcfs_fig4_fig5", "--limit", "20", "-T", "2")
    for row, v0 in (("v(0) = theta/2", "0.5"), ("v(0) = 0", "0")):
        assert float(out[row][1]) == float(accuracy_of_run(capsys, "--neuron", "if", "--v0", v0))


@compiled
def test_max_activation_threshold_is_the_rule_of_theorem_3(run: Run) -> None:
    out = run("qcfs_tableS1", "--limit", "4", "-T", "1")
    dynamic, rule = ([float(each) for each in out[key]] for key in ("dynamic", "max activation"))
    assert rule[0] == dynamic[0]
    assert all(a > b for a, b in zip(rule[1:], dynamic[1:]))
    assert {"dynamic, shift", "dynamic, no shift", "max activation, shift", "max activation, no shift"} <= out.keys()


@compiled
def test_residual_of_nq_is_the_one_of_refsim_errors(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    out = run("nq_fig2", "--limit", "10")
    refsim_main(["errors", "--quiet", "--json", "--limit", "10", "-T", "4", "--neuron", "if"])
    layers = json.loads(capsys.readouterr().out)["steps"][0]["layers"]
    for layer in layers:
        mean, std, *_ = out[layer["name"]]
        theta = layer["theta"][0]
        assert float(mean) == pytest.approx(layer["residual"]["mean"] / theta, abs=6e-6)
        assert float(std) == pytest.approx(layer["residual"]["std"] / theta, abs=6e-6)


def as_trained(path: Path, method: str, seed: int) -> str:
    """The network in the package, in a file that names another way and seed of training."""
    file = refsim.load(find_weights())
    metadata = {**file.network.metadata, "method": method, "training_seed": str(seed)}
    save(path / f"{method}-{seed}.h5", replace(file.network, metadata=metadata), samples=file.samples)
    return str(path / f"{method}-{seed}.h5")


@compiled
def test_table_s2_prints_what_refsim_run_prints(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    out = run("qcfs_tableS2", "--limit", "20", "-T", "2")
    assert out["fashion-vgg7"][:1] == ["4"]
    assert float(out["fashion-vgg7"][-1]) == float(accuracy_of_run(capsys, "--neuron", "dual"))


@compiled
def test_nq_and_qcfs_networks_are_paired_by_seed(run: Run, tmp_path: Path) -> None:
    weights = [as_trained(tmp_path, method, seed) for method in ("nq", "qcfs") for seed in (1, 2)]
    arguments = [word for path in weights for word in ("-w", path)]
    out = run("nq_tables", "--limit", "20", "-T", "1", *arguments, figure=False)
    assert out["nq"][1:] == out["qcfs"][1:]  # the same networks, so the same accuracies without any spread
    assert out["nq - qcfs"] == ["dual", "2", "0.00 +- 0.00", "0.00 +- 0.00"]
    with pytest.raises(SystemExit, match="a second nq network with seed 1"):
        run("nq_tables", "--limit", "2", "-T", "1", "-w", weights[0], "-w", weights[0], figure=False)


@compiled
def test_cumulative_max_pools_follow_the_ann_and_nothing_else_does(run: Run) -> None:
    out = run("max_pools", "-w", "fashion-maxpool", figure=False)
    agrees = {key: float(out[key][3].removesuffix(" %")) for key in ("cumulative", "or", "average instead")}
    assert agrees["cumulative"] >= 95
    assert agrees["or"] < agrees["cumulative"] - 5
    assert agrees["average instead"] < agrees["or"]
    with pytest.raises(SystemExit, match="has no max pools"):
        run("max_pools", figure=False)


@compiled
def test_manifest_says_what_refsim_run_prints(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run("qcfs_fig1")  # puts the folder of the scripts on the path
    module = import_module("manifest")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "MANIFEST", tmp_path / "weights" / "MANIFEST.json")
    run("manifest", "--limit", "20", "-T", "2", figure=False)
    manifest = json.loads((tmp_path / "weights" / "MANIFEST.json").read_text())
    path = find_weights()
    entry = manifest[path.name]
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry["training_command"].startswith("refsim train --arch vgg7")
    for kind in ("if", "dual"):
        assert entry["test"][kind]["2"] == float(accuracy_of_run(capsys, "--neuron", kind))


def test_accuracies_carry_wilson_intervals(run: Run) -> None:
    run("qcfs_fig1")
    common = import_module("common")

    class Counted:
        T, n_labelled, correct = 2, 10, (7, 9)

    found = common.accuracies(Counted())
    assert (found.T, found.accuracy) == ([1, 2], [0.7, 0.9])
    assert (found.low[1], found.high[1]) == wilson_interval(9, 10)
