"""Many images: batches, threads, and the sum of their results.

Batches and threads are a matter of memory and speed only; no bit of any result depends on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from refsim.engine.plan import Plan
from refsim.engine.results import Result
from refsim.engine.simulator import forward, simulate
from refsim.engine.trace import Activations, Trace

Array = NDArray[Any]
Indices = NDArray[np.int64]
R = TypeVar("R")

BATCH_BYTES = 32 * 2**20
"""Working memory that a batch may take, roughly; it sets how many images are computed together."""


class Images(Protocol):
    """A data set: what `currents` returns for the same index never changes."""

    def __len__(self) -> int:
        """Number of images."""

    def currents(self, indices: Indices) -> Array:
        """Input currents (n, C, H, W) of these images."""

    def labels_of(self, indices: Indices) -> NDArray[np.int64] | None:
        """Labels (n,) of these images, or None if the data set has none."""


def default_batch(plan: Plan, T: int, record: Collection[str] = ()) -> int:
    """Images per batch that keep the working memory of one thread near `BATCH_BYTES`."""
    if plan.fold:
        # An event takes 12 bytes, a list 8; a third of the neurons firing at each step is plenty.
        per_image = max(prod(each.shape) * T * 5 + prod(each.shape[1:]) * T * 8 for each in plan.targets)
    else:
        # The ANN's activations, the events that list them, and the weighted inputs they become.
        per_image = 40 * max(prod(each.shape) for each in plan.targets)
    if record:
        # Dense spikes, or a few numbers per neuron, of all populations at once.
        per_image += sum(prod(each.shape) * (T if {"spikes", "n"} & set(record) else 24) for each in plan.targets)
    return int(np.clip(BATCH_BYTES // max(per_image, 1), 1, 32))


def map_batches(
    work: Callable[[Indices], R], indices: Indices, batch: int, threads: int
) -> Iterator[tuple[Indices, R]]:
    """Apply `work` to batches of indices on a pool of threads; results come in order, few are held at a time."""
    batches = iter([indices[i : i + batch] for i in range(0, len(indices), batch)])
    with ThreadPoolExecutor(max_workers=threads) as pool:
        waiting: deque[tuple[Indices, Future[R]]] = deque()
        try:
            for part in batches:
                waiting.append((part, pool.submit(work, part)))
                if len(waiting) > threads:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def run_snn(
    plan: Plan,
    images: Images,
    indices: Indices,
    T: int,
    *,
    batch: int | None = None,
    threads: int = 1,
    record: Collection[str] = (),
    on_batch: Callable[[Indices, Trace, Result], None] | None = None,
) -> Result:
    """Simulate the images with these indices for T steps and add up what happened.

    Parameters
    ----------
    batch
        Images computed together, at most: memory may allow fewer.
    record
        As in `simulator.simulate`; for `on_batch` to use.
    on_batch
        Called in the order of the images, in the calling thread, with each batch's indices, trace and result.
    """

    most = default_batch(plan, T, record)

    def work(part: Indices) -> tuple[Trace, Result]:
        x = images.currents(part)
        trace = simulate(plan, x, T, record)
        return trace, Result.of(trace, x, images.labels_of(part))

    total: Result | None = None
    for part, (trace, result) in map_batches(work, indices, min(batch or most, most), threads):
        total = result if total is None else total + result
        if on_batch is not None:
            on_batch(part, trace, result)
    assert total is not None
    return total


def run_ann(
    plan: Plan,
    images: Images,
    indices: Indices,
    *,
    batch: int | None = None,
    threads: int = 1,
    on_batch: Callable[[Indices, Activations], None] | None = None,
) -> int:
    """Run the source ANN on these images, `batch` at a time at most; returns how many labelled ones it gets right."""
    most = default_batch(plan, 1)

    def work(part: Indices) -> tuple[Activations, int]:
        out = forward(plan, images.currents(part))
        labels = images.labels_of(part)
        return out, 0 if labels is None else int((out.logits.argmax(axis=1) == labels).sum())

    correct = 0
    for part, (activations, n) in map_batches(work, indices, min(batch or most, most), threads):
        correct += n
        if on_batch is not None:
            on_batch(part, activations)
    return correct
