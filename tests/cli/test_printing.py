"""Text of strangers, in every field of every command: what comes out acts on no terminal and is no formula."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refsim.cli import main
from refsim.cli.printing import MOST_CHARACTERS, dim, emphasize, note, shortened, show
from refsim.exceptions import UsageError
from refsim.formats.weights.hdf5 import Samples, save
from refsim.model import Network
from refsim.reports.files import as_csv, write_rows
from refsim.verification.golden import record_golden
from tests.simulation.networks import raw_images, small_network

HOSTILE = "=1+1 \x1b[31m\x1b]0;owned\x07\x9b2J\r\N{RIGHT-TO-LEFT OVERRIDE}\N{LINE SEPARATOR}\x7f$x$ <b> | \U000e0041"
"""Escape sequences, C1 controls, a return, bidirectional marks, line breaks of Unicode, tags; and a formula."""

NAMED = HOSTILE + "\udcff\n"
"""As a file's name it may also have a line break and bytes that are no UTF-8."""

Printed = Callable[..., tuple[int, bytes, bytes]]


@pytest.fixture
def printed(capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Printed:
    """Runs a command in a folder of its own; gives its exit code and the bytes on stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def call(*arguments: object) -> tuple[int, bytes, bytes]:
        capfdbinary.readouterr()
        code = 0
        try:
            main([str(each) for each in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capfdbinary.readouterr()

    return call


def assert_harmless(data: bytes) -> None:
    """Text in UTF-8 of which nothing but line breaks acts on a terminal."""
    for line in data.decode().split("\n"):
        assert line.isprintable(), repr(line)


def hostile_network() -> Network:
    """Hostile in every field that a file can have: the reader cleans it or refuses it, a program does neither."""
    network = small_network()
    return replace(
        network,
        name=HOSTILE,
        classes=tuple(f"{HOSTILE}{i}" for i in range(5)),
        metadata={"provenance": HOSTILE, "source": HOSTILE},
        input=replace(network.input, dataset=HOSTILE),
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    network = small_network()
    samples = Samples(images=raw_images(8), labels=np.arange(8, dtype=np.int64) % 5)
    try:
        save(tmp_path / f"{NAMED}.h5", hostile_network(), samples=samples)
    except ValueError:  # refused on the way in
        save(tmp_path / f"{NAMED}.h5", network, samples=samples, golden=[record_golden(network, samples, "if", 2)])
    return tmp_path / f"{NAMED}.h5"


def prices(folder: Path) -> Path:
    path = folder / f"{NAMED}.json"
    path.write_text(json.dumps({"name": HOSTILE + "\udcff", "source": HOSTILE, "picojoules": {"sop": 1.0}}))
    return path


def data(folder: Path) -> Path:
    path = folder / f"{NAMED}.npz"
    np.savez(path, images=raw_images(4), labels=np.arange(4))
    return path


COMMANDS = {
    "info": lambda w, d: ["info", "-w", w],
    "info --plan": lambda w, d: ["info", "-w", w, "--plan"],
    "info --json": lambda w, d: ["info", "-w", w, "--json"],
    "run": lambda w, d: ["run", "-w", w, "-T", 2, "--neuron", "both"],
    "run in colour": lambda w, d: ["run", "-w", w, "-T", 2, "--energy", prices(d), "--data", data(d), "--no-color"],
    "run --json": lambda w, d: ["run", "-w", w, "--energy", prices(d), "--json", "--data", data(d)],
    "run to a file": lambda w, d: ["run", "-w", w, "--energy", prices(d), "-o", d / f"{NAMED}.csv"],
    "errors": lambda w, d: ["errors", "-w", w],
    "errors of a layer": lambda w, d: ["errors", "-w", w, "--layer", 1, "--dtype", "int8"],
    "errors --json": lambda w, d: ["errors", "-w", w, "--json", "--data", data(d)],
    "compare": lambda w, d: ["compare", "-w", w, "--methods", "qcfs,ecl", "-T", 2, "--calibrate-on-test"],
    "compare --markdown": lambda w, d: ["compare", "-w", w, "--methods", "qcfs", "--markdown", "--calibrate-on-test"],
    "verify": lambda w, d: ["verify", "-w", w, "--limit", 1],
    "verify --reseal": lambda w, d: ["verify", "-w", w, "--reseal"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_prints_of_hostile_files_is_harmless(
    printed: Printed, weights: Path, tmp_path: Path, command: str
) -> None:
    code, out, err = printed(*COMMANDS[command](weights, tmp_path))
    assert code == 0, err
    assert out
    assert_harmless(out)
    assert_harmless(err)
    if command.endswith("--json"):
        assert out.isascii()
        json.loads(out)
    for written in tmp_path.glob("*.csv"):
        assert_harmless(written.read_bytes().replace(b"\r\n", b"\n"))


def test_a_run_directory_of_hostile_names_is_harmless(printed: Printed, weights: Path, tmp_path: Path) -> None:
    directory = tmp_path / f"{NAMED}.run"
    for arguments in (
        ["run", "-w", weights, "-T", 2, "-o", directory, "--data", data(tmp_path)],
        ["run", "-w", weights, "-T", 2, "-o", directory, "--data", data(tmp_path)],
        ["run", "-w", weights, "-T", 2, "-o", directory, "--data", data(tmp_path), "--resume"],
        ["run", "-w", weights, "-T", 3, "-o", directory, "--data", data(tmp_path), "--resume"],
        ["merge", directory],
        ["merge", directory, "--json"],
        ["merge", directory, "-o", tmp_path / "merged.csv"],
    ):
        code, out, err = printed(*arguments)
        assert code in (0, 2), err
        assert out if code == 0 else err
        assert_harmless(out)
        assert_harmless(err)
    assert json.loads((directory / "report.json").read_bytes())
    assert (directory / "report.json").read_bytes().isascii()


REFUSED = {
    "no command": lambda w: [NAMED],
    "no option": lambda w: ["run", f"--{NAMED}"],
    "weights": lambda w: ["run", "-w", NAMED],
    "data": lambda w: ["run", "-w", w, "--data", NAMED],
    "prices": lambda w: ["run", "-w", w, "--energy", NAMED],
    "price list": lambda w: ["run", "-w", w, "--energy", f"{NAMED}.toml"],
    "steps": lambda w: ["run", "-w", w, "-T", NAMED],
    "neuron": lambda w: ["run", "-w", w, "--neuron", NAMED],
    "dtype": lambda w: ["info", "-w", w, "--dtype", NAMED],
    "record": lambda w: ["run", "-w", w, "--record", NAMED],
    "output": lambda w: ["run", "-w", w, "-o", NAMED],
    "folder": lambda w: ["run", "-w", w, "-o", f"{NAMED}/a.csv"],
    "shard": lambda w: ["run", "-w", w, "-o", "a.run", "--shard", NAMED],
    "scheduler": lambda w: ["run", "-w", w, "-o", "a.run", "--scheduler", NAMED],
    "layer": lambda w: ["errors", "-w", w, "--layer", NAMED],
    "plot": lambda w: ["errors", "-w", w, "--plot", NAMED],
    "folder of a plot": lambda w: ["errors", "-w", w, "--plot", f"{NAMED}/a.png"],
    "method": lambda w: ["compare", "-w", w, "--methods", NAMED],
    "calibration": lambda w: ["compare", "-w", w, "--calibrate", NAMED],
    "parts": lambda w: ["merge", NAMED],
    "checkpoint": lambda w: ["convert", NAMED, "-o", "a.h5"],
    "output of convert": lambda w: ["convert", w, "-o", w],
    "not a checkpoint": lambda w: ["convert", w, "-o", "a.h5"],
    "classes": lambda w: ["convert", w, "-o", "a.h5", "--classes", NAMED],
    "mean": lambda w: ["convert", w, "-o", "a.h5", "--mean", NAMED],
    "shape": lambda w: ["convert", w, "-o", "a.h5", "--input-shape", NAMED],
    "preset": lambda w: ["convert", w, "-o", "a.h5", "--preset", NAMED],
    "method of convert": lambda w: ["convert", w, "-o", "a.h5", "--method", NAMED],
    "architecture": lambda w: ["train", "--run", "a", "--arch", NAMED],
    "augmentation": lambda w: ["train", "--run", "a", "--arch", "small", "--augment", NAMED],
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_is_said_of_a_hostile_argument_is_one_harmless_line(printed: Printed, weights: Path, field: str) -> None:
    code, out, err = printed(*REFUSED[field](weights))
    assert code in (2, 3), err
    assert out == b""
    assert_harmless(err)
    assert err.startswith(b"refsim: ")
    assert err.count(b"\n") == 1


class Rows:
    """A report with one row."""

    def to_json(self) -> dict[str, object]:
        return {}

    def rows(self) -> list[dict[str, object]]:
        return [{"a": HOSTILE, "b": "+1", "c": "-1", "d": "@A1", "e": "\t=1", "f": -1.5, "g": "plain", "h": "\r=1"}]


def test_text_in_csv_is_no_formula_and_has_no_controls(tmp_path: Path) -> None:
    (row,) = csv.DictReader(io.StringIO(as_csv(Rows())))
    assert row["a"].startswith(r"'=1+1 \x1b[31m")
    assert {key: row[key] for key in "bcdefgh"} == {
        "b": "'+1",
        "c": "'-1",
        "d": "'@A1",
        "e": r"\x09=1",
        "f": "-1.5",
        "g": "plain",
        "h": r"\x0d=1",
    }
    write_rows(tmp_path / "a.csv", Rows())
    assert_harmless((tmp_path / "a.csv").read_bytes().replace(b"\r\n", b"\n"))


def test_styles_are_those_asked_for_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    show(f"{emphasize(HOSTILE, True)} {dim('small', True)}", emphasize("plain", False), color=True)
    first, second, end = capsys.readouterr().out.split("\n")
    assert first.startswith(r"[1m".join(("\x1b", "=1+1 ")) + r"\x1b[31m")
    assert first.endswith("\x1b[0m \x1b[2msmall\x1b[0m")
    assert first.count("\x1b") == 4
    assert (second, end) == ("plain", "")
    show(emphasize("bold", True), color=False)
    assert capsys.readouterr().out == "bold\n"


def test_a_long_message_keeps_its_beginning_and_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert shortened("x" * MOST_CHARACTERS) == "x" * MOST_CHARACTERS
    assert len(shortened("x" * 10_000)) == MOST_CHARACTERS + 3
    note("a" + 10_000 * "x" + "z")
    err = capsys.readouterr().err
    assert (err[0], err[-2:]) == ("a", "z\n")


def test_an_error_of_the_library_is_one_line_too() -> None:
    """What a program prints is its own affair, but the message has no line breaks to begin with."""
    import refsim

    with pytest.raises(UsageError) as refused:
        refsim.run(refsim.load(), neuron=NAMED)
    assert str(refused.value).isprintable()
