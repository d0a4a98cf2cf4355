"""The client's bookkeeping, on a cluster that does what the test says; no dask needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refsim.exceptions import DataError, RefsimError, UsageError
from refsim.formats.images.currents import InputCurrents
from refsim.formats.weights.hdf5 import load
from refsim.runs.cluster import client as bookkeeping
from refsim.runs.cluster.client import ATTEMPTS, Cluster
from refsim.runs.cluster.connection import require_dask
from refsim.runs.cluster.worker import Job, run_shard
from refsim.runs.runner import Runner
from refsim.runs.store.rows import Batch
from refsim.version import __version__
from tests.cli.conftest import Call
from tests.simulation.networks import raw_images, small_network
from tests.store.support import batch_of, spec_of

Outcome = str | BaseException
IMAGES = np.arange(40)


class FakeFuture:
    """A future that ended as it was told."""

    def __init__(self, key: str, outcome: Outcome, indices: np.ndarray) -> None:
        self.key, self._outcome, self._indices = key, outcome, indices
        self.status = "error" if isinstance(outcome, BaseException) else outcome.split()[0]

    def result(self, timeout: float) -> tuple[Batch, float]:
        if self._outcome == "finished lost":
            raise TimeoutError("the worker does not answer")
        return batch_of(*self._indices), 0.5

    def exception(self, timeout: float) -> Outcome:
        return self._outcome

    def release(self) -> None:
        self.status = "released"


class FakeClient:
    """Answers the n-th submission with the n-th outcome, and "finished" after the last one."""

    def __init__(self, outcomes: Iterator[Outcome]) -> None:
        self.status = "running"
        self.submitted: list[tuple[np.ndarray, list[str] | None]] = []
        self._outcomes = outcomes
        self.keys: set[str] = set()

    def nthreads(self) -> dict[str, int]:
        return {"tcp://a": 1, "tcp://b": 1}

    def processing(self) -> dict[str, tuple[str, ...]]:
        return {"tcp://a": tuple(self.keys), "tcp://b": ()}

    def submit(self, task: object, job: Any, indices: np.ndarray, *, key: str, workers: Any, **_: Any) -> FakeFuture:
        assert key not in self.keys, "dask answers a key it knows with what it has"
        self.keys.add(key)
        self.submitted.append((indices, workers))
        return FakeFuture(key, next(self._outcomes, "finished"), indices)


def run(*outcomes: Outcome) -> tuple[list[int], FakeClient]:
    client = FakeClient(iter(outcomes))
    images: list[int] = []
    Cluster(client, "tcp://here").run(recipe_of(Path("x")), IMAGES, lambda batch: images.extend(batch.images))
    return images, client


def recipe_of(weights: Path, **changes: Any) -> Job:
    neurons = {layer.name: layer.neuron for layer in small_network(dual=True).spiking}
    job = Job(name="dual", spec=spec_of(), weights=str(weights), data=None, neurons=neurons, batch=None)
    return replace(job, **changes)


@pytest.mark.parametrize(
    "outcome",
    ["cancelled", "lost", "finished lost", OSError("stale handle"), RuntimeError("KilledWorker")],
    ids=str,
)
def test_whatever_did_not_finish_is_submitted_again_and_counted_once(outcome: Outcome) -> None:
    images, client = run("finished", outcome, outcome, "finished", outcome)
    assert sorted(images) == list(range(40))
    undisturbed = run()[1]
    assert len(client.submitted) == len(undisturbed.submitted) + 3


def test_a_shard_that_always_fails_ends_the_run() -> None:
    with pytest.raises(
        RefsimError, match=rf"images 0 to 7 failed {ATTEMPTS} times on tcp://here \(OSError: no such device\)"
    ):
        run(*[OSError("no such device")] * 100)


def test_what_a_worker_finds_wrong_with_an_image_ends_the_run_at_once() -> None:
    with pytest.raises(DataError, match="image 2 holds values"):
        run(DataError("image 2 holds values that are not finite"))


def test_a_late_task_is_given_to_another_worker_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookkeeping, "PATIENCE", (0.1, 0.1))
    monkeypatch.setattr(bookkeeping, "WORKER_TIMEOUT", 0.1)
    images, client = run("pending")
    assert sorted(images) == list(range(40))
    (first, anywhere), *_ = client.submitted
    again = [workers for indices, workers in client.submitted[1:] if indices[0] == first[0]]
    assert (anywhere, again[0]) == (None, ["tcp://b"])


def test_shards_become_a_second_long_and_leave_nothing_out() -> None:
    client = FakeClient(iter(()))
    cluster = Cluster(client, "tcp://here")
    sizes: list[int] = []
    images: list[int] = []

    def count(batch: Batch) -> None:
        sizes.append(len(batch.images))
        images.extend(batch.images)

    cluster.run(recipe_of(Path("x")), np.arange(2000), count)
    assert sorted(images) == list(range(2000))
    # Eight images at first; then what half a second for eight promises; a few at the end.
    assert sizes[0] == 8
    assert max(sizes) > 100
    assert sizes[-1] < max(sizes) / 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda client: setattr(client, "nthreads", dict), "no workers for 0 s; --resume goes on"),
        (lambda client: setattr(client, "status", "closed"), "the connection is lost; --resume goes on"),
    ],
    ids=["no workers", "no scheduler"],
)
def test_a_cluster_that_is_gone_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[FakeClient], None], message: str
) -> None:
    monkeypatch.setattr(bookkeeping, "WORKER_TIMEOUT", 0.1)
    client = FakeClient(iter(["pending"] * 1000))
    change(client)
    with pytest.raises(RefsimError, match=message):
        Cluster(client, "tcp://here").run(recipe_of(Path("x")), IMAGES, lambda batch: None)


def test_a_task_computes_the_rows_of_a_local_run(weights: Path) -> None:
    file = load(weights)
    job = recipe_of(weights, spec=replace(spec_of(T=5), engine=__version__, weights=file.sha256))
    actual, seconds = run_shard(job, np.array([3, 1, 4]))
    expected: list[Batch] = []
    images = InputCurrents(small_network().input, raw_images(20), np.arange(20) % 5)
    Runner.compile("dual", small_network(dual=True), job.spec).run(images, np.array([3, 1, 4]), expected.append)
    np.testing.assert_array_equal(actual.rows, expected[0].rows)
    np.testing.assert_array_equal(actual.bounds, expected[0].bounds)
    assert actual.images.tolist() == [3, 1, 4]
    assert seconds > 0
    assert actual.rows[:, 8:].any()


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"engine": "0.0"}, UsageError, "the run was started with refsim 0.0, the worker has"),
        ({"weights": "b" * 64}, UsageError, r"small\.h5: sha256 .*, the run has bbbbbbbbbbbb\.\.\."),
        ({"data": "c" * 64}, UsageError, r"x\.npz: sha256 .*, the run has cccccccccccc\.\.\."),
    ],
)
def test_a_worker_with_other_files_or_another_version_says_so(
    weights: Path, tmp_path: Path, change: dict[str, str], kind: type[Exception], message: str
) -> None:
    np.savez(tmp_path / "x.npz", x=raw_images(3))
    spec = spec_of(**{"engine": __version__, "weights": load(weights).sha256} | change)
    with pytest.raises(kind, match=rf"worker on \S+: .*{message}"):
        run_shard(recipe_of(weights, spec=spec, data=str(tmp_path / "x.npz")), np.arange(2))


def test_a_worker_without_the_file_says_where_it_looked(tmp_path: Path) -> None:
    spec = spec_of(engine=__version__)
    with pytest.raises(RefsimError, match=r"worker on \S+: .*missing\.h5: cannot be opened"):
        run_shard(recipe_of(tmp_path / "missing.h5", spec=spec), np.arange(2))


def test_a_missing_extra_is_named_before_anything_is_read(
    refsim: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError):
        require_dask()
    done = refsim("run", "-w", tmp_path / "missing.h5", "--scheduler", "local")
    assert done.code == 2
    assert done.err == "refsim: --scheduler needs dask.distributed: pip install 'refsim[dask]'\n"
