"""Golden vectors: complete enough for a checker that reads nothing else, in every format, and refused in one line."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refsim
from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.exceptions import UsageError
from refsim.exporters.words import END_OF_STEP, NEGATIVE, address_words, bit_words, hex_words
from refsim.formats.weights.hdf5 import sealed
from refsim.testing import networks_with_inputs

from ..kernels.test_quantised import supported
from .checker import simulate as check

HERE = Path(__file__).parent


def numbers(path: Path, bits: int) -> np.ndarray:
    """What `$readmemh` reads from a file, as two's complement."""
    words = np.array([int(line, 16) for line in path.read_text().split()], dtype=np.uint64)
    return words.astype(f"u{bits // 8}").view(f"i{bits // 8}")


def assert_reproduced(folder: Path) -> int:
    """Compare the checker with the exported spikes, potentials and logits; returns how many spikes there were."""
    facts, data = json.loads((folder / "manifest.json").read_text()), np.load(folder / "vectors.npz")
    spikes, potentials, logits = check(folder)
    n_spikes = 0
    for each in facts["populations"][:-1]:
        events = {name: data[f"{each['key']}/spikes/{name}"] for name in ("image", "t", "neuron", "sign")}
        expected = np.zeros((facts["T"], len(data["input"]), int(np.prod(each["shape"]))))
        expected[events["t"] - 1, events["image"], events["neuron"]] = events["sign"]
        np.testing.assert_array_equal(spikes[each["layer"]].reshape(expected.shape), expected, err_msg=each["layer"])
        if "v" in each["arrays"]:
            np.testing.assert_array_equal(potentials[each["key"]], data[f"{each['key']}/v"])
        n_spikes += len(events["sign"])
    np.testing.assert_array_equal(logits, data[f"{facts['populations'][-1]['key']}/logits"])
    return n_spikes


def test_the_checker_is_short() -> None:
    assert len((HERE / "checker.py").read_text().splitlines()) <= 60


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("neuron", ["if", "dual", "signed"])
def test_a_checker_reproduces_every_spike_potential_and_logit(tmp_path: Path, dtype: str, neuron: str) -> None:
    file = refsim.load("fashion-small")
    refsim.export_golden(
        file, tmp_path / "g", T=3, limit=2, dtype=dtype, neuron=neuron, potentials=True, formats=["npz"]
    )
    assert assert_reproduced(tmp_path / "g") > 1000


@pytest.mark.parametrize("name", ["resnet20", "fashion-maxpool"])
def test_it_reproduces_residual_networks_and_max_pools(tmp_path: Path, name: str) -> None:
    refsim.export_golden(refsim.load(name), tmp_path / "g", T=3, limit=1, neuron="dual", formats=["npz"])
    assert assert_reproduced(tmp_path / "g") > 1000


@settings(max_examples=30)
@given(networks_with_inputs(grid="dyadic"), st.sampled_from(["int8", "int16"]))
def test_it_reproduces_any_network(tmp_path_factory: pytest.TempPathFactory, drawn, dtype: str) -> None:
    network, x = drawn
    folder = tmp_path_factory.mktemp("any") / "g"
    file = sealed(supported(network, dtype))
    images = refsim.open_images(file, x, currents=True, limit=3)
    refsim.export_golden(file, folder, images, T=4, dtype=dtype, potentials=True, formats=["npz"])
    assert_reproduced(folder)


@pytest.mark.heavy
def test_it_reproduces_every_spike_of_vgg16(tmp_path: Path) -> None:
    refsim.export_golden(refsim.load("vgg16"), tmp_path / "g", T=4, limit=8, formats=["npz"])
    assert assert_reproduced(tmp_path / "g") > 500_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dual-threshold images of the small network in all formats."""
    path = tmp_path_factory.mktemp("golden") / "g"
    refsim.export_golden(refsim.load("fashion-small"), path, T=3, limit=2, neuron="dual", potentials=True)
    return path


def test_hdf5_and_npz_hold_the_same_arrays(folder: Path) -> None:
    data = np.load(folder / "vectors.npz")
    with h5py.File(folder / "vectors.h5") as file:
        for name in data.files:
            np.testing.assert_array_equal(file[name][()], data[name], err_msg=name)


def test_text_for_readmemh_holds_the_same_numbers(folder: Path) -> None:
    facts, data = json.loads((folder / "manifest.json").read_text()), np.load(folder / "vectors.npz")
    compared = 0
    for each in facts["populations"]:
        for name, file in each["hex"].items():
            if name == "spikes":
                continue
            lines = (folder / file["file"]).read_text().split()
            assert {len(line) for line in lines} == {file["bits"] // 4}
            expected = data[f"{each['key']}/{name}"]
            np.testing.assert_array_equal(numbers(folder / file["file"], file["bits"]), expected.ravel())
            compared += 1
    assert compared == len(list((folder / "hex").iterdir())) - 3  # all but the spikes of three layers


def test_events_in_text_are_those_of_the_engine(folder: Path) -> None:
    facts = json.loads((folder / "manifest.json").read_text())
    file = refsim.load("fashion-small")
    network = file.network.with_kind("dual")
    x = refsim.open_images(file, limit=2).currents()
    trace = simulate(compile_network(network, "int8"), x, 3, record=("spikes",))
    with (folder / "events.csv").open() as table:
        rows = list(csv.DictReader(table))
    for each in facts["populations"][:-1]:
        expected = trace.populations[each["layer"]].spikes
        actual = np.zeros_like(expected).reshape(3, 2, -1)
        image, t = 0, 0
        for word in (folder / each["hex"]["spikes"]["file"]).read_text().split():
            value = int(word, 16)
            if value == END_OF_STEP:
                image, t = (image, t + 1) if t < 2 else (image + 1, 0)
            else:
                actual[t, image, value % NEGATIVE] = -1 if value & NEGATIVE else 1
        assert (image, t) == (2, 0)
        np.testing.assert_array_equal(actual.reshape(expected.shape), expected)
        eye = np.zeros_like(expected)
        for row in rows:
            if row["layer"] == each["layer"]:
                eye[int(row["t"]) - 1, int(row["image"]), int(row["c"]), int(row["y"]), int(row["x"])] = row["sign"]
        np.testing.assert_array_equal(eye, expected)


def test_bits_in_text_are_those_of_the_engine(folder: Path, tmp_path: Path) -> None:
    file = refsim.load("fashion-small")
    facts = refsim.export_golden(
        file, tmp_path / "b", T=3, limit=2, neuron="dual", events="bits", formats=["hex", "npz"]
    )
    data = np.load(folder / "vectors.npz")
    for each in facts["populations"][:-1]:
        n = int(np.prod(each["shape"]))
        for name, sign in (("positive", 1), ("negative", -1)):
            words = (tmp_path / "b" / each["hex"][name]["file"]).read_text().split()
            per_step = -(-n // 64)
            fired = [
                (i // per_step // 3, i // per_step % 3 + 1, i % per_step * 64 + k)
                for i, word in enumerate(words)
                for k in range(64)
                if int(word, 16) >> k & 1
            ]
            events = {key: data[f"{each['key']}/spikes/{key}"] for key in ("image", "t", "neuron", "sign")}
            chosen = events["sign"] == sign
            assert fired == list(zip(*(events[key][chosen].tolist() for key in ("image", "t", "neuron"))))


def test_words_of_every_width_are_twos_complement() -> None:
    for bits in (8, 16, 32, 64):
        least = -(2 ** (bits - 1))
        text = hex_words(np.array([least, -1, 0, 1, -least - 1]), bits).decode().split()
        assert text == [f"{value % 2**bits:0{bits // 4}x}" for value in (least, -1, 0, 1, -least - 1)]
    with pytest.raises(OverflowError, match="does not fit into 8 bits"):
        hex_words(np.array([128]), 8)


def test_steps_without_spikes_end_too() -> None:
    spikes = np.zeros((3, 2, 70), dtype=np.int8)
    spikes[1, 0, [2, 69]], spikes[2, 1, 5] = (1, -1), 1
    end = END_OF_STEP
    assert address_words(spikes).tolist() == [end, 2, NEGATIVE + 69, end, end, end, end, 5, end]
    assert bit_words(spikes > 0).tolist() == [0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 32, 0]


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog (Debian package iverilog)")
@pytest.mark.parametrize("neuron", ["if", "dual"])
def test_a_neuron_in_verilog_reproduces_a_layer_of_the_packaged_network(tmp_path: Path, neuron: str) -> None:
    T, N = 3, 1
    facts = refsim.export_golden(refsim.load(), tmp_path / "g", T=T, limit=N, neuron=neuron, formats=["hex", "npz"])
    before, layer = facts["populations"][3:5]
    source, target = before["shape"], layer["shape"]
    wire = layer["wires"][0]
    assert (wire["pool"]["kind"], wire["stride"], wire["padding"], layer["arrays"]["weight0"][2:]) == (
        "avg_pool2d", (1, 1), (1, 1), [3, 3],
    )  # fmt: skip
    files = {
        "EVENTS_IN": before["hex"]["spikes"], "WEIGHT": layer["hex"]["weight0"], "BIAS": layer["hex"]["bias"],
        "THETA": layer["hex"]["theta"], "V0": layer["hex"]["v0"], "EVENTS_OUT": layer["hex"]["spikes"],
    }  # fmt: skip
    if neuron == "dual":
        files["THETA_NEG"] = layer["hex"]["theta_neg"]
    defines = {name: f'"{tmp_path / "g" / file["file"]}"' for name, file in files.items()}
    n_in, n_out = (sum(1 for _ in (tmp_path / "g" / each["hex"]["spikes"]["file"]).open()) for each in (before, layer))
    defines |= {
        "T": T, "N": N, "C_IN": source[0], "H_IN": source[1], "W_IN": source[2], "C": target[0], "H": target[1],
        "W": target[2], "WORDS_IN": n_in, "WORDS_OUT": n_out,
    }  # fmt: skip
    built = tmp_path / "bench"
    options = [f"-D{name}={value}" for name, value in defines.items()]
    subprocess.run(["iverilog", "-g2012", *options, "-o", built, HERE / "neuron.v"], check=True)
    printed = subprocess.run([built], check=True, capture_output=True, text=True).stdout
    assert printed.split() == ["spikes", str(n_out - T * N), "wrong", "0"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"T": 0}, "T must be a whole number of at least 1, got 0"),
        ({"dtype": "exact"}, "dtype must be int8 or int16, got 'exact'"),
        ({"formats": ["npz", "vcd"]}, "formats must be some of npz, h5, hex, csv, got 'vcd'"),
        ({"formats": []}, "got none"),
        ({"events": "aer"}, "events must be address or bits, got 'aer'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        refsim.export_golden(refsim.load(), tmp_path / "g", **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="is there already"):
        refsim.export_golden(refsim.load("fashion-small"), tmp_path, T=1, limit=1)
    assert not list(tmp_path.iterdir())
