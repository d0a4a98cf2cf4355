"""A real cluster on loopback: scheduler and workers are processes, and processes die, stop and come back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refsim.runs.cluster import client, connection
from refsim.runs.store.directory import RunDirectory
from tests.cli.conftest import Call, heed_sigint
from tests.simulation.networks import raw_images

pytest.importorskip("distributed")

ROOT = Path(__file__).resolve().parents[2]


class LocalProcesses:
    """A scheduler and three workers of one thread, without anything that would start them again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = os.environ | {"PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "8s"}
        file = folder / "scheduler.json"
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file]
        self.scheduler = self._start("dask_scheduler", *options)
        self._wait(file.exists)
        self.address = str(json.loads(file.read_text())["address"])
        self.workers = [
            self._start("dask_worker", self.address, "--no-nanny", "--no-dashboard", "--nthreads", "1")
            for _ in range(3)
        ]

    def _start(self, module: str, *options: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *map(str, options)]
        log = (self._folder / f"{module}.log").open("ab")
        return subprocess.Popen(command, cwd=self._folder, env=self._environment, stdout=log, stderr=log)

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 600
        while not done():
            assert time.monotonic() < deadline, "the cluster did not start"
            time.sleep(0.05)

    def close(self) -> None:
        """End what is still there."""
        for process in [*self.workers, self.scheduler]:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalProcesses]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    processes = LocalProcesses(folder)
    yield processes
    processes.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "x.npz"
    np.savez(path, x=raw_images(3000), y=np.arange(3000) % 5)
    return path


def interfere(monkeypatch: pytest.MonkeyPatch, after: int, what: Callable[[], None]) -> list[int]:
    """Do something between two commits of the client; returns the list of how many images each commit brought."""
    commit = RunDirectory.commit
    commits: list[int] = []

    def counted(self: RunDirectory, machine: str, batch: Any) -> int:
        new = commit(self, machine, batch)
        commits.append(new)
        if len(commits) == after:
            what()
        return new

    monkeypatch.setattr(RunDirectory, "commit", counted)
    return commits


def test_a_run_survives_a_killed_and_a_stopped_worker_bit_for_bit(
    refsim: Call,
    weights: Path,
    data: Path,
    cluster: LocalProcesses,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = ("run", "-w", weights, "--data", data, "-T", 8, "--neuron", "both", "--json", "-q")
    expected = refsim(*command).out
    # Short shards and little patience: there are faults in the middle, and the test is not all waiting.
    monkeypatch.setattr(client, "SHARD_SECONDS", 0.05)
    monkeypatch.setattr(client, "MAX_SHARD", 100)
    monkeypatch.setattr(client, "PATIENCE", (2.0, 3.0))
    wake = threading.Timer(10, lambda: cluster.workers[1].send_signal(signal.SIGCONT))

    def hurt() -> None:
        cluster.workers[0].kill()
        cluster.workers[1].send_signal(signal.SIGSTOP)
        wake.start()

    commits = interfere(monkeypatch, 20, hurt)
    try:
        actual = refsim(*command, "--scheduler", cluster.address, "-o", tmp_path / "a.run")
    finally:
        wake.cancel()
    assert actual.code == 0, actual.err
    assert actual.out == expected
    assert cluster.workers[0].poll() == -signal.SIGKILL
    assert sum(commits) == 9000
    assert len(commits) > 40, "everything was over before anything happened"


def test_a_worker_that_never_wakes_does_not_stall_the_rest(
    refsim: Call, weights: Path, data: Path, cluster: LocalProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("run", "-w", weights, "--data", data, "-T", 4, "--no-ann", "--json", "-q")
    expected = refsim(*command).out
    monkeypatch.setattr(client, "SHARD_SECONDS", 0.05)
    monkeypatch.setattr(client, "MAX_SHARD", 100)
    monkeypatch.setattr(client, "PATIENCE", (2.0, 3.0))
    commits = interfere(monkeypatch, 8, lambda: cluster.workers[2].send_signal(signal.SIGSTOP))
    # No directory: the ledger is a temporary one.
    actual = refsim(*command, "--scheduler", cluster.address)
    assert (actual.code, actual.err) == (0, "")
    assert actual.out == expected
    assert sum(commits) == 3000
    assert len(commits) > 16
    assert cluster.workers[2].poll() is None


def test_a_local_cluster_gives_the_same_bits(refsim: Call, weights: Path) -> None:
    command = ("run", "-w", weights, "--dtype", "float32", "--json", "-q")
    expected = refsim(*command).out
    actual = refsim(*command, "--scheduler", "local", "--threads", 2)
    assert (actual.code, actual.err) == (0, "")
    assert actual.out == expected


def test_ctrl_c_ends_a_local_cluster_and_all_its_workers(weights: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=raw_images(20000))
    directory = tmp_path / "a.run"
    command = [sys.executable, "-m", "refsim", "run", "-w", weights, "--data", tmp_path / "x.npz", "-T", 64, "-q"]
    command += ["--scheduler", "local", "--threads", 2, "-o", directory]
    # A terminal sends the signal to all processes of the group.
    with subprocess.Popen(
        [*map(str, command)], stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heed_sigint
    ) as child:
        log, deadline = directory / "run.db-wal", time.monotonic() + 600
        while not (log.exists() and log.stat().st_size > 200_000) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(child.pid, signal.SIGINT)
        _, printed = child.communicate(timeout=600)
    assert child.returncode == 130
    # A busy machine may let dask say something in between.
    stopping, *_, interrupted = printed.strip().splitlines()
    assert stopping == "refsim: stopping when the batch in flight is done; Ctrl-C again stops at once"
    assert interrupted.endswith(f"are in {directory}, the same command with --resume goes on")
    deadline = time.monotonic() + 600
    while group_exists(child.pid):
        assert time.monotonic() < deadline, "workers are left behind"
        time.sleep(0.1)


def group_exists(number: int) -> bool:
    """Whether any process of the group is left."""
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("host:8786", 2, "--scheduler host:8786: write it as tcp://host:8786, tls://host:8786 or local"),
        ("tcp://127.0.0.1:1", 1, "--scheduler tcp://127.0.0.1:1: no scheduler answers"),
    ],
)
def test_an_address_that_cannot_be_reached_is_one_line(
    refsim: Call, weights: Path, monkeypatch: pytest.MonkeyPatch, address: str, code: int, message: str
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1)
    done = refsim("run", "-w", weights, "-q", "--scheduler", address)
    assert done.code == code
    assert message in done.err
    assert len(done.err.splitlines()) == 1
