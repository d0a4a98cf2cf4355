"""A full disk, at any moment: one clear line, nothing corrupted, and the run goes on once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.runs import Undisturbed, arguments, finish, rows_of, run_undisturbed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return run_undisturbed(tmp_path_factory.mktemp("undisturbed"))


def assert_one_clear_line(printed: str) -> None:
    assert printed.startswith("refsim: ")
    assert len(printed.splitlines()) == 1
    assert "Traceback" not in printed


def test_files_that_may_not_grow_stop_the_run_and_not_the_next_one(tmp_path: Path, undisturbed: Undisturbed) -> None:
    kept = []
    for size in (0, 1, 4096, 5000, 20_000, 40_000, 80_000, 120_000, 200_000, 300_000):
        directory, printed = tmp_path / f"{size}.run", tmp_path / f"{size}.txt"
        command = arguments(undisturbed.weights, directory, "--resume")
        code = finish(command, printed, file_size=size)
        if code:
            assert code == 1
            # stderr is a file too, and may not grow either.
            if size > 200:
                assert_one_clear_line(printed.read_text())
                assert "cannot be written" in printed.read_text()
            printed.unlink()
            assert not (directory / "report.json").exists()
        kept.append(len(rows_of(directory)))
        assert set(rows_of(directory)) <= set(undisturbed.rows)
        assert finish(command, printed) == 0, printed.read_text()
        assert (directory / "report.json").read_bytes() == undisturbed.report
        assert rows_of(directory) == undisturbed.rows
    assert kept[0] == 0
    assert any(0 < n < 360 for n in kept), "no limit hit a run in the middle"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a file system needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_file_system_stops_the_run_until_there_is_room(
    tmp_path: Path, tiny_disk: Path, undisturbed: Undisturbed
) -> None:
    ballast, directory, printed = tiny_disk / "ballast", tiny_disk / "a.run", tmp_path / "printed"
    command = arguments(undisturbed.weights, directory, "--resume")
    ballast.write_bytes(bytes(1912 << 10))
    assert finish(command, printed) == 1
    assert_one_clear_line(printed.read_text())
    assert "a.run: cannot be written" in printed.read_text()
    before = rows_of(directory)
    assert 0 < len(before) < 360
    assert set(before) <= set(undisturbed.rows)
    # Still no room: the same line again, and nothing is lost.
    with ballast.open("ab") as file:
        while True:
            try:
                os.write(file.fileno(), bytes(512))
            except OSError:
                break
    printed.unlink()
    assert finish(command, printed) == 1
    assert_one_clear_line(printed.read_text())
    ballast.unlink()
    assert finish(command, printed) == 0, printed.read_text()
    assert (directory / "report.json").read_bytes() == undisturbed.report
    assert rows_of(directory) == undisturbed.rows
