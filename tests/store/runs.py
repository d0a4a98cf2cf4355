"""A small run: the network of tests/simulation on images in a file, called as a person would, but in a child."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refsim.cli import main
from refsim.formats.weights.hdf5 import Samples, save
from tests.simulation.networks import raw_images, small_network

Row = tuple[str, int, bytes, int]

N_IMAGES = 120
T = 3

FORKS = multiprocessing.get_context("forkserver")
"""Children start with refsim imported and compiled, so that a random moment of theirs is a moment of the run."""
FORKS.set_forkserver_preload(["tests.store.warm"])


def write_weights(folder: Path) -> Path:
    """The small network with `N_IMAGES` samples."""
    path = folder / "small.h5"
    labels = np.arange(N_IMAGES, dtype=np.int64) % 5
    save(path, small_network(), samples=Samples(images=raw_images(N_IMAGES), labels=labels))
    return path


class Undisturbed(NamedTuple):
    """A run that nothing happened to: its report, its rows, and how long it took."""

    weights: Path
    report: bytes
    rows: list[Row]
    seconds: float


def run_undisturbed(folder: Path) -> Undisturbed:
    """Run twice, since the first child waits for the others' imports; the second one is timed."""
    weights = write_weights(folder)
    for name in ("cold", "warm"):
        started = time.perf_counter()
        assert finish(arguments(weights, folder / f"{name}.run"), folder / "printed") == 0
    seconds = time.perf_counter() - started
    rows = rows_of(folder / "warm.run")
    assert len(rows) == 3 * N_IMAGES
    return Undisturbed(weights, (folder / "warm.run" / "report.json").read_bytes(), rows, seconds)


def rows_of(directory: Path) -> list[Row]:
    """What is in run.db, by machine and image; nothing if it was never begun."""
    if not (directory / "run.db").exists():
        return []
    # Of a copy: looking would change what a killed process has left.
    with tempfile.TemporaryDirectory() as elsewhere:
        copy = shutil.copytree(directory, Path(elsewhere) / "copy")
        return _rows_in(copy / "run.db")


def _rows_in(path: Path) -> list[Row]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not connection.execute("SELECT name FROM sqlite_master").fetchall():
            return []
        return connection.execute("SELECT machine, image, counts, crc FROM images ORDER BY machine, image").fetchall()


def arguments(weights: Path, directory: Path, *more: object) -> list[str]:
    """The command line of the small run; a batch of 4 makes 90 transactions of it."""
    options = ["-w", weights, "-T", T, "--neuron", "both", "--batch", 4, "--threads", 2, "-q", "-o", directory]
    return ["run", *map(str, [*options, *more])]


def call(command: list[str], printed: Path, file_size: int | None = None) -> None:
    """Run the command line in this process, stdout and stderr into a file; files may grow to `file_size` bytes."""
    fd = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    if file_size is not None:
        limit_file_size(file_size)
    main(command)


def limit_file_size(size: int) -> None:
    """Let no file grow beyond `size` bytes once the weight file is read: its reader writes to memory, as to a file."""
    from refsim.runs import run

    run_kept = run.run_kept

    def limited(*arguments: Any, **options: Any) -> Any:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return run_kept(*arguments, **options)

    run.run_kept = limited


def start(command: list[str], printed: Path, file_size: int | None = None) -> multiprocessing.process.BaseProcess:
    """A child that runs the command line."""
    child = FORKS.Process(target=call, args=(command, printed, file_size))
    child.start()
    return child


def finish(command: list[str], printed: Path, file_size: int | None = None) -> int:
    """Run the command line in a child; its exit code."""
    child = start(command, printed, file_size)
    child.join(120)
    assert child.exitcode is not None
    return child.exitcode
