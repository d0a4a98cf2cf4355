"""`refsim run -o NAME.run`, `--resume`, `--shard` and `refsim merge`, as a person uses them."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from refsim.engine.batches import run_snn
from tests.cli.conftest import Call, heed_sigint
from tests.simulation.networks import raw_images, small_network


def report_of(directory: Path) -> dict:
    return json.loads((directory / "report.json").read_text())


@pytest.mark.parametrize("options", [(), ("--neuron", "both", "--v0", "0.25"), ("--no-ann", "--skip-zero-weights")])
@pytest.mark.parametrize("dtype", ["exact", "float64", "float32"])
def test_a_run_directory_changes_no_bit_of_the_report(
    refsim: Call, weights: Path, tmp_path: Path, options: tuple[str, ...], dtype: str
) -> None:
    command = ("run", "-w", weights, "--json", "-q", "--dtype", dtype, *options)
    plain = refsim(*command)
    kept = refsim(*command, "-o", tmp_path / "a.run", "--batch", 3)
    assert (plain.code, kept.code) == (0, 0)
    assert kept.out == plain.out
    assert (tmp_path / "a.run" / "report.json").read_text() == plain.out


@pytest.mark.parametrize("name", ["a.run", "results.DIR", "plain/"])
def test_resume_begins_a_run_that_is_not_there_and_finishes_one_that_is(
    refsim: Call, weights: Path, tmp_path: Path, name: str
) -> None:
    command = ("run", "-w", weights, "--json", "-q", "-o", f"{tmp_path}/{name}", "--resume")
    first = refsim(*command)
    assert first.code == 0
    assert refsim(*command).out == first.out
    assert (tmp_path / name / "run.db").is_file()


def test_an_interrupted_run_goes_on_where_it_was(
    refsim: Call, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("run", "-w", weights, "--neuron", "dual", "--json", "-q", "--batch", 4, "--threads", 1)
    expected = refsim(*command).out
    import refsim.runs.runner as machines

    computed: list[int] = []

    def interrupted(plan: object, images: object, indices: np.ndarray, *rest: object, on_batch: object, **more: object):
        def stop(part: np.ndarray, *facts: object) -> None:
            on_batch(part, *facts)  # type: ignore[operator]
            computed.extend(part)
            if len(computed) == 8:
                raise KeyboardInterrupt

        return run_snn(plan, images, indices, *rest, on_batch=stop, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(machines, "run_snn", interrupted)
    stopped = refsim(*command, "-o", tmp_path / "a.run")
    # 20 images of the ANN, and two batches of the SNN.
    assert stopped.code == 130
    assert stopped.err == (
        f"refsim: interrupted; 28 of 40 results are in {tmp_path / 'a.run'}, the same command with --resume goes on\n"
    )
    assert stopped.out == ""
    resumed = refsim(*command, "-o", tmp_path / "a.run", "--resume")
    assert resumed.out == expected
    assert computed == list(range(20)), "something was computed twice, or not at all"


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(weights: Path, tmp_path: Path) -> None:
    """With a process of its own and a real signal, long enough to be hit in the middle."""
    x = np.tile(small_network().input.normalize(raw_images(20)), (500, 1, 1, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    directory = tmp_path / "a.run"
    command = [sys.executable, "-m", "refsim", "run", "-w", weights, "--data", tmp_path / "x.npy", "-T", "64", "-q"]
    command += ["--batch", "10", "-o", directory, "--resume"]
    with subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True, preexec_fn=heed_sigint) as child:
        log = directory / "run.db-wal"
        deadline = time.monotonic() + 600
        while not (log.exists() and log.stat().st_size > 200_000) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGINT)
        _, printed = child.communicate(timeout=600)
    assert child.returncode == 130
    assert "Traceback" not in printed
    assert "stopping when the batch in flight is done" in printed
    said = printed.splitlines()[-1]
    assert said.startswith("refsim: interrupted; ")
    assert said.endswith(f" of 10000 results are in {directory}, the same command with --resume goes on")
    assert 0 < int(said.split()[2]) < 10000


@pytest.mark.parametrize("n", [1, 3, 20])
def test_merged_parts_are_the_whole_run_byte_for_byte(refsim: Call, weights: Path, tmp_path: Path, n: int) -> None:
    command = ("run", "-w", weights, "--neuron", "both", "--json", "-q")
    expected = refsim(*command).out
    parts = [tmp_path / f"part{i}.run" for i in range(1, n + 1)]
    for i, part in enumerate(parts, 1):
        done = refsim(*command, "--shard", f"{i}/{n}", "-o", part, "--batch", i)
        assert done.code == 0
        data = json.loads(done.out)["data"]
        assert data["shard"] == f"{i}/{n}"
        assert data["source"] == f"part {i}/{n} of 20 samples from the file"
        assert data["images"] in (20 // n, 20 // n + 1)
    done = refsim("merge", *reversed(parts), "--json", "-o", tmp_path / "all.json")
    assert done.code == 0
    assert done.out == expected
    assert (tmp_path / "all.json").read_text() == expected


def test_merge_prints_the_table_and_writes_csv(refsim: Call, weights: Path, tmp_path: Path) -> None:
    refsim("run", "-w", weights, "-q", "-o", tmp_path / "a.run")
    plain = refsim("run", "-w", weights, "-q", "--no-color")
    merged = refsim("merge", tmp_path / "a.run", "-o", tmp_path / "a.csv", "--no-color")
    assert merged.out == plain.out
    with (tmp_path / "a.csv").open() as file:
        assert [row["t"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


def test_another_energy_model_needs_no_other_run(refsim: Call, weights: Path, tmp_path: Path) -> None:
    command = ("run", "-w", weights, "-q", "--json")
    refsim(*command, "-o", tmp_path / "a.run")
    expected = refsim(*command, "--energy", "horowitz45").out
    assert refsim(*command, "--energy", "horowitz45", "-o", tmp_path / "a.run", "--resume").out == expected
    assert refsim("merge", tmp_path / "a.run", "--energy", "horowitz45", "--json").out == expected


def test_rows_of_other_layers_are_refused(refsim: Call, weights: Path, tmp_path: Path) -> None:
    refsim("run", "-w", weights, "--neuron", "if", "--no-ann", "-o", tmp_path / "a.run")
    with closing(sqlite3.connect(tmp_path / "a.run" / "run.db")) as connection:
        key, text = connection.execute("SELECT key, value FROM meta WHERE key = 'layout if'").fetchone()
        facts = json.loads(text)
        facts["populations"][0] = "elsewhere"
        value = json.dumps(facts)
        crc = zlib.crc32(value.encode(), zlib.crc32(key.encode()))
        connection.execute("UPDATE meta SET value = ?, crc = ? WHERE key = ?", [value, crc, key])
        connection.commit()
    for command in (("merge", tmp_path / "a.run"), ("run", "-w", weights, "--neuron", "if", "--no-ann", "--resume")):
        done = refsim(*command, *([] if command[0] == "merge" else ["-o", tmp_path / "a.run"]))
        assert done.code == 3
        assert done.err.splitlines()[-1] == (
            "refsim: the rows (if) are not those of this network and T=4; they were made by another run"
        )


def test_merge_finds_the_weights_or_is_told(refsim: Call, weights: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.h5"
    moved.write_bytes(weights.read_bytes())
    refsim("run", "-w", moved, "-q", "-o", tmp_path / "a.run")
    expected = refsim("merge", tmp_path / "a.run").out
    moved.unlink()
    assert refsim("merge", tmp_path / "a.run").code == 2
    assert refsim("merge", tmp_path / "a.run", "-w", weights).out == expected
    other = refsim("merge", tmp_path / "a.run", "-w", "fashion-small")
    assert other.code == 2
    assert "name its weight file with --weights" in other.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "--resume needs -o NAME.run"),
        (["--shard", "1/2"], "--shard needs -o NAME.run"),
        (["--shard", "1/2", "-o", "a.json"], "-o a.json: --shard needs a directory, e.g. a.run"),
        (["--resume", "-o", "a.h5"], "-o a.h5: --resume needs a directory"),
        (["--shard", "0/2", "-o", "a.run"], "--shard 0/2: write it as I/N"),
        (["--shard", "1/21", "-o", "a.run"], "--shard 1/21: there are only 20 images"),
        (["-o", "a.run", "--record", "n"], "--record needs a name that ends in .h5"),
        (["-o", "nowhere/a.run"], "there is no folder"),
        (["--scheduler", "local", "-o", "a.h5", "--neuron", "if"], "a recording is made on one machine"),
    ],
)
def test_what_cannot_be_kept_is_wrong_usage_and_leaves_nothing(
    refsim: Call, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = refsim("run", "-w", weights, "-q", *arguments)
    assert done.code == 2
    assert message in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_another_run_is_refused_and_unchanged(refsim: Call, weights: Path, tmp_path: Path) -> None:
    directory = tmp_path / "a.run"
    refsim("run", "-w", weights, "-q", "-o", directory)
    before = {each.name: each.read_bytes() for each in directory.iterdir()}
    for options, message in (
        (["-T", "5"], "was made with T = 4, this run has 5"),
        (["--limit", "7"], "was made with limit = none, this run has 7"),
        (["-w", "fashion-small"], "was made with weights = "),
        ([], "a run is there already; --resume goes on with it"),
    ):
        done = refsim("run", "-w", weights, "-q", "-o", directory, *options, *["--resume"] * bool(options))
        assert done.code == 2
        assert message in done.err
    assert {each.name: each.read_bytes() for each in directory.iterdir()} == before


def test_a_file_is_no_run_directory(refsim: Call, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "a.run").write_text("precious")
    done = refsim("run", "-w", weights, "-q", "-o", tmp_path / "a.run")
    assert (done.code, "is a file, not a run directory" in done.err) == (2, True)
    assert (tmp_path / "a.run").read_text() == "precious"


def test_a_missing_part_ends_with_2_and_its_name(refsim: Call, weights: Path, tmp_path: Path) -> None:
    refsim("run", "-w", weights, "-q", "--shard", "1/3", "-o", tmp_path / "1.run")
    refsim("run", "-w", weights, "-q", "--shard", "3/3", "-o", tmp_path / "3.run")
    done = refsim("merge", tmp_path / "1.run", tmp_path / "3.run", "-o", tmp_path / "all.json")
    assert done.code == 2
    assert done.err == "refsim: 7 of 20 images are in no part (ann), from image 6 to 12: part 2/3 is missing\n"
    assert not (tmp_path / "all.json").exists()


def test_an_hdf5_file_is_no_output_of_merge(refsim: Call, weights: Path, tmp_path: Path) -> None:
    done = refsim("merge", tmp_path / "a.run", "-o", tmp_path / "all.h5")
    assert (done.code, "the name must end in .json or .csv" in done.err) == (2, True)
