"""The client's side: shards are submitted a few at a time, and again until their rows have come."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import RefsimError
from refsim.runs.cluster.worker import Job, run_shard
from refsim.runs.store.rows import Batch

Indices = NDArray[np.int64]

SHARD_SECONDS = 1.0
"""Work in one task: a task costs the cluster about 5 ms, and one that is lost costs this."""

LEAST_SECONDS = 0.1
"""No shard is made shorter than this to let the workers finish together."""

MAX_SHARD = 4096
ATTEMPTS = 5
"""How often a shard may fail before the run does."""

WORKER_TIMEOUT = 60.0
"""Seconds without any worker before the run gives up."""

TRANSFER_SECONDS = 15.0
"""A result that takes longer than this to come is on a worker that is gone."""

PATIENCE = (10.0, 5.0)
"""A task is late after this many seconds, and this many times the usual; it is then given to another worker too."""


@dataclass(eq=False)
class _Task:
    """One shard on its way.

    futures
        dask's futures that may bring its rows, each with the transfer of its result once that has begun.
    """

    indices: Indices
    since: float
    failures: int = 0
    copies: int = 0
    futures: dict[Any, Future[tuple[Batch, float]] | None] = field(default_factory=dict)


class Cluster:
    """Runs machines on a dask cluster; used by one thread."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self._submitted = 0
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="refsim-transfer")
        self._workers: dict[str, int] = {}
        self._looked = self._seen = 0.0

    def run(self, job: Job, indices: Indices, on_batch: Callable[[Batch], Any]) -> None:
        """Compute the rows of these images; `on_batch` gets every image, in any order, possibly more than once.

        Raises
        ------
        RefsimError
            What a worker found wrong with files or images; a shard failed too often; no workers, or no scheduler.
        """
        self._seen = time.monotonic()
        todo = deque([indices])
        tasks: list[_Task] = []
        rates: deque[float] = deque(maxlen=16)
        ages: deque[float] = deque(maxlen=64)
        try:
            while tasks or todo:
                self._look_for_workers()
                while todo and len(tasks) < self._window():
                    task = _Task(indices=self._cut(todo, rates), since=time.monotonic())
                    self._submit(job, task)
                    tasks.append(task)
                progressed = False
                for task in list(tasks):
                    batch_seconds = self._collect(job, task)
                    if batch_seconds is None:
                        self._hurry(job, task, ages)
                        continue
                    batch, seconds = batch_seconds
                    on_batch(batch)
                    rates.append(len(batch.images) / max(seconds, 1e-6))
                    ages.append(time.monotonic() - task.since)
                    _release(task)
                    tasks.remove(task)
                    progressed = True
                if not progressed:
                    # Statuses are kept up to date here by the client's own thread; looking at them costs nothing.
                    time.sleep(0.02)
        finally:
            for task in tasks:
                _release(task)

    def _window(self) -> int:
        """Tasks under way at a time: enough that nobody waits for us, few enough to be submitted again."""
        return 2 * sum(self._workers.values()) + 1

    def _look_for_workers(self) -> None:
        now = time.monotonic()
        if now - self._looked < 1:
            return
        self._looked = now
        if self._client.status not in ("running", "connecting"):
            raise RefsimError(
                f"--scheduler {self._address}: the connection is lost; --resume goes on with what -o NAME.run keeps"
            )
        try:
            self._workers = self._client.nthreads() if self._client.status == "running" else {}
        except (OSError, TimeoutError, ValueError):
            self._workers = {}
        if self._workers:
            self._seen = now
        elif now - self._seen > WORKER_TIMEOUT:
            raise RefsimError(
                f"--scheduler {self._address}: no workers for {WORKER_TIMEOUT:.0f} s; "
                "--resume goes on with what -o NAME.run keeps"
            )

    def _cut(self, todo: deque[Indices], rates: deque[float]) -> Indices:
        """Take a shard off the images that are left: about a second of work, once it is known how many that are."""
        left = todo.popleft()
        rate = statistics.median(rates) if rates else 8 / SHARD_SECONDS
        # Towards the end shards shrink, so that the workers finish together.
        fair = -(-len(left) // max(1, 2 * sum(self._workers.values())))
        fair = max(fair, int(rate * min(LEAST_SECONDS, SHARD_SECONDS)))
        size = max(1, min(int(rate * SHARD_SECONDS), fair, MAX_SHARD))
        if len(left) > size:
            todo.appendleft(left[size:])
        return left[:size]

    def _submit(self, job: Job, task: _Task, workers: list[str] | None = None) -> None:
        # A key of its own for every submission: dask would answer a known key with the result it failed to keep.
        self._submitted += 1
        key = f"refsim-{job.name}-{task.indices[0]}-{self._submitted}-{id(self):x}"
        future = self._client.submit(run_shard, job, task.indices, key=key, pure=False, retries=0, workers=workers)
        task.futures[future] = None

    def _collect(self, job: Job, task: _Task) -> tuple[Batch, float] | None:
        """The rows of a task if they are there; a copy that failed is replaced."""
        for future, transfer in list(task.futures.items()):
            failure: BaseException | None = None
            if future.status == "pending":
                continue
            if future.status == "finished":
                # In a thread: the result may be on a worker that has stopped answering.
                if transfer is None:
                    task.futures[future] = self._threads.submit(future.result, timeout=TRANSFER_SECONDS)
                    continue
                if not transfer.done():
                    continue
                failure = transfer.exception()
                if failure is None:
                    return transfer.result()
            elif future.status == "error":
                failure = _failure(future)
            if isinstance(failure, RefsimError):
                raise failure
            why = future.status if failure is None else f"{type(failure).__name__}: {failure}"
            del task.futures[future]
            task.failures += 1
            if task.failures >= ATTEMPTS:
                first, last = task.indices[[0, -1]]
                raise RefsimError(f"images {first} to {last} failed {ATTEMPTS} times on {self._address} ({why})")
            if not task.futures:
                task.since = time.monotonic()
                self._submit(job, task)
        return None

    def _hurry(self, job: Job, task: _Task, ages: deque[float]) -> None:
        """Give a late task to another worker as well; whichever is first counts."""
        least, times = PATIENCE
        usual = statistics.median(ages) if ages else WORKER_TIMEOUT / times
        if time.monotonic() - task.since < max(least, times * usual) * (1 + task.copies) or task.copies >= ATTEMPTS:
            return
        task.copies += 1
        try:
            processing = self._client.processing()
        except (OSError, ValueError):
            return
        keys = {future.key for future in task.futures}
        holders = {worker for worker, names in processing.items() if keys & set(map(str, names))}
        others = [worker for worker in self._workers if worker not in holders]
        if others:
            self._submit(job, task, others)


def _release(task: _Task) -> None:
    """Let the cluster forget the shard."""
    for future in task.futures:
        future.release()
    task.futures.clear()


def _failure(future: Any) -> BaseException:
    """What a future that ended in an error ended in."""
    try:
        error: BaseException = future.exception(timeout=TRANSFER_SECONDS)
    except Exception as lost:
        return lost
    return error
