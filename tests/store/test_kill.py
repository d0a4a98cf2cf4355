"""kill -9 at any moment of a run: what was finished is kept, and the resumed result is that of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.store.runs import Undisturbed, arguments, finish, rows_of, run_undisturbed, start


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return run_undisturbed(tmp_path_factory.mktemp("undisturbed"))


def kill_and_resume(folder: Path, undisturbed: Undisturbed, wanted: int, seed: int) -> list[int]:
    """Kill runs until `wanted` of them died of it and were resumed; how many rows each kill left behind."""
    draw = random.Random(seed)
    left: list[int] = []
    for attempt in range(5 * wanted):
        if len(left) >= wanted:
            break
        directory, printed = folder / f"{attempt}.run", folder / f"{attempt}.txt"
        command = arguments(undisturbed.weights, directory, "--resume")
        # Some directories are killed twice.
        for _ in range(draw.choice([1, 1, 2])):
            child = start(command, printed)
            begun = directory / "run.db-wal"
            if draw.random() < 0.5:
                # Half of the moments are taken from the time in which results are written.
                while child.is_alive() and not begun.exists():
                    time.sleep(0.001)
                time.sleep(draw.uniform(0, undisturbed.seconds / 2))
            else:
                time.sleep(draw.uniform(0, undisturbed.seconds))
            child.kill()
            child.join()
            if child.exitcode == -signal.SIGKILL:
                there = rows_of(directory)
                assert set(there) <= set(undisturbed.rows)
                left.append(len(there))
        assert finish(command, printed) == 0, printed.read_text()
        assert (directory / "report.json").read_bytes() == undisturbed.report
        assert rows_of(directory) == undisturbed.rows
    return left


def test_runs_killed_at_random_moments_resume_to_the_same_bits(tmp_path: Path, undisturbed: Undisturbed) -> None:
    left = kill_and_resume(tmp_path, undisturbed, wanted=8, seed=int.from_bytes(os.urandom(4)))
    assert len(left) >= 8
    assert any(0 < n < 360 for n in left), "no kill hit a run in the middle"


@pytest.mark.heavy
def test_two_hundred_runs_killed_at_random_moments_resume_to_the_same_bits(
    tmp_path: Path, undisturbed: Undisturbed
) -> None:
    left = kill_and_resume(tmp_path, undisturbed, wanted=200, seed=0)
    print(f"{len(left)} kills, {sum(0 < n < 360 for n in left)} in the middle, all resumed to the same bits")
    assert len(left) >= 200
    assert sum(0 < n < 360 for n in left) > 50
