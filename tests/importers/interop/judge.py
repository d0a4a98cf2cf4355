"""What files of other tools must become: `tests/data/interop` has for each its ANN's logits and its spike counts.

The numbers come from a dense NumPy simulation of the weights in the files, compared with the tools that wrote them.
Counts are compared as multisets of spiking layers, so the order of parallel branches does not matter.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refsim
from refsim.cli import main
from refsim.reference.network import forward, simulate

DATA = Path(__file__).parents[2] / "data" / "interop"
CASES: dict[str, dict[str, Any]] = json.loads((DATA / "cases.json").read_text())
TOLERANCE = 1e-9


def run(*arguments: str) -> int:
    """The exit code of `refsim` with these arguments."""
    try:
        main([*arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def convert(tmp: Path, name: str, file: str, *extra: str, bare: bool = False) -> tuple[Path, int]:
    """Convert a file as its case says; `bare`, without calibration and without a word on max pools."""
    case = CASES[name]
    output = tmp / "out.h5"
    output.unlink(missing_ok=True)
    words = case["convert"].split()[1:]
    for option in ("--max-pool", "--calibrate"):
        if option in words and (bare or option == "--max-pool"):
            at = words.index(option)
            del words[at : at + 2]
    if "--calibrate" in words:
        data = tmp / "calibration.npz"
        shape = (8, *case.get("calibration_shape", (1, 12, 12)))
        known = DATA / f"{name}.npz"
        np.savez(data, x=np.load(known)["x"] if known.exists() else np.random.default_rng(0).normal(size=shape))
        words[words.index("DATA")] = str(data)
    if file.endswith(".pth"):
        shape = np.load(DATA / f"{name}.npz")["x"].shape[1:]
        if "--input-shape" not in words:
            words += ["--input-shape", ",".join(map(str, shape))]
        first = case["activations"][0]
        words += ["--L", str(first["L"]), "--pool", "avg"] if first["act"] == "qcfs" else []
    words = [str(DATA / file) if word == "{file}" else str(output) if word == "OUT.h5" else word for word in words]
    return output, run(*words, *extra)


def check_equal(tmp: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The file converts, if everything is said that it does not say; then the ANN and the SNN are those expected."""
    case, known = CASES[name], np.load(DATA / f"{name}.npz")
    pools = [key.removeprefix("counts_") for key in known.files if key.startswith("counts_")]
    for file in (each for each in case["files"] if not each.endswith(".data")):
        if "--calibrate" in case["convert"] or pools:
            _, code = convert(tmp, name, file, bare=True)
            assert code in (2, 3)
            assert "Traceback" not in capsys.readouterr().err
        for pool in pools or [""]:
            output, code = convert(tmp, name, file, *(("--max-pool", pool) if pool else ()))
            assert code == 0, capsys.readouterr().err
            _check_network(refsim.load(output).network, known, case, f"_{pool}" if pool else "")


def _check_network(network: refsim.Network, known: Any, case: dict[str, Any], suffix: str) -> None:
    x = known["x"].astype(np.float64)
    logits = forward(network, x)[network.readout.name]
    assert np.abs(logits - known["ann_logits"]).max() <= TOLERANCE * np.abs(known["ann_logits"]).max()
    if any(each["act"] == "relu" for each in case["activations"]):
        network = with_thetas(network, known["theta"])
    counts, snn_logits = simulated(network, x, case["T"])
    assert same_layers(counts, known["counts" + suffix])
    bound = TOLERANCE * max(1, np.abs(snn_logits).max())
    assert np.abs(snn_logits - known["snn_logits" + suffix]).max() <= bound
    trace = refsim.simulate(refsim.compile_network(network), x, T=case["T"])
    assert np.abs(trace.logits - snn_logits).max() <= bound


def check_nir(tmp: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In every dialect that has a neuron here, spikes and readout are those expected; others are refused."""
    case, known = CASES[name], np.load(DATA / f"{name}.npz")
    x = known["x"].astype(np.float64)
    for variant in case["variants"]:
        dialect = () if variant == "spec" else ("--nir-dialect", variant.replace("_single", ""))
        output, code = convert(tmp, name, case["files"][0], *dialect)
        said = capsys.readouterr().err
        assert ("taken literally" in said) == (variant == "spec")
        if variant.startswith("sinabs"):
            assert (code, "fires several times in one step and clamps" in said) == (2, True)
            continue
        assert code == 0, said
        network = refsim.load(output).network
        counts, logits = simulated(network, x, case["T"])
        assert same_layers(counts, known[f"counts_{variant}"])
        np.testing.assert_allclose(logits, known[f"logits_{variant}"].reshape(logits.shape), rtol=0, atol=1e-6)
        trace = refsim.simulate(refsim.compile_network(network), x, T=case["T"])
        np.testing.assert_array_equal(trace.logits, logits)


def with_thetas(network: refsim.Network, thetas: Any) -> refsim.Network:
    """The network with IF neurons of these thresholds, v0 = theta / 2."""
    change = {}
    for layer, theta in zip(network.spiking, thetas, strict=True):
        neuron = replace(layer.neuron, theta=np.asarray(theta), v0=np.asarray(theta) / 2)
        change[layer.name] = neuron.as_if()
    return network.with_neurons(change)


def simulated(network: refsim.Network, x: Any, T: int) -> tuple[Any, Any]:
    """Spikes of each layer at each step (layer, T, N), and the readout's currents (T, N, K), by the specification."""
    found = simulate(network, x, T)
    counts = [(found.spikes[layer.name] == 1).reshape(T, len(x), -1).sum(2) for layer in network.spiking]
    return np.stack(counts), found.logits


def same_layers(actual: Any, expected: Any) -> bool:
    """Whether two arrays (layer, T, N) hold the same layers in any order."""
    rows = [sorted(each.tobytes() for each in counts.astype(np.int64)) for counts in (actual, expected)]
    return actual.shape == expected.shape and rows[0] == rows[1]


def check_refused(tmp: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No file is written, and one line says why."""
    for file in CASES[name]["files"]:
        output, code = convert(tmp, name, file)
        error = capsys.readouterr().err.strip()
        assert code in (2, 3)
        assert not output.exists()
        assert len(error.splitlines()) == 1
        assert re.search(CASES[name]["must_say"], error.split(file)[-1]), error
