"""Methods side by side: accuracy and operations of each at several T, extra steps charged, on the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.operations import snn_operations
from refsim.engine.batches import Images, map_batches, run_snn
from refsim.engine.modes import Mode
from refsim.engine.plan import compile_network
from refsim.engine.results import predictions
from refsim.exceptions import UsageError
from refsim.methods.base import Calibration, ConvertedNetwork, Method
from refsim.model import Network

Counts = NDArray[np.int64]
Indices = NDArray[np.int64]
OnBatch = Callable[[int], Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodOutcome:
    """What a method did at each of some numbers of steps; all arrays are over `T`.

    T
        Counted steps.
    correct : labelled images that are classified correctly after T steps
    sop, residual : operations of all images up to T through weights and through shortcuts, the extra ones included
    extra_sop : those of `sop` that the extra steps cost
    extra_steps
        Steps that every image takes besides: its latency is T + extra_steps.
    origins
        Where the thresholds come from.
    """

    method: str
    source: str
    summary: str
    T: tuple[int, ...]
    n_images: int
    correct: Counts
    sop: Counts
    residual: Counts
    extra_sop: Counts
    extra_steps: int
    origins: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Arena:
    """The images on which all methods are compared, and how to compute."""

    images: Images
    indices: Indices
    dtype: Mode = "exact"
    batch: int | None = None
    threads: int = 1


def compare_method(
    method: Method,
    network: Network,
    calibration: Calibration | None,
    T: tuple[int, ...],
    arena: Arena,
    on_batch: OnBatch = lambda n: None,
) -> MethodOutcome:
    """Convert the network by this method and run it for every T.

    Methods whose parameters depend on T are converted and run anew for each; of the others one run at the largest T
    holds all of them (semantics 1.6).

    Parameters
    ----------
    T
        In increasing order.
    on_batch
        Told how many images have been run, `passes` times over for a method that runs anew for each T.

    Raises
    ------
    UsageError
        The method is not for this network, or the images have no labels.
    """
    labels = arena.images.labels_of(arena.indices)
    if labels is None:
        raise UsageError("methods are compared by accuracy, and these images have no labels")
    converted = []
    columns = []
    for steps in _runs(method, T):
        made = replace(method, T=steps[-1]).calibrate(network, calibration)
        converted.append(made)
        columns += _run(made, steps, arena, on_batch)
    correct, sop, residual, extra = np.array(columns, dtype=np.int64).T
    return MethodOutcome(
        method=method.name,
        source=method.source,
        summary=method.summary,
        T=T,
        n_images=len(arena.indices),
        correct=correct,
        sop=sop,
        residual=residual,
        extra_sop=extra,
        extra_steps=converted[0].extra_steps,
        origins=tuple(dict.fromkeys(each.origin for each in converted)),
    )


def passes(method: Method, T: tuple[int, ...]) -> int:
    """How many times the images go through the network."""
    return len(_runs(method, T))


def _runs(method: Method, T: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [(each,) for each in T] if method.per_T else [T]


Column = tuple[int, int, int, int]


def _run(made: ConvertedNetwork, T: tuple[int, ...], arena: Arena, on_batch: OnBatch) -> list[Column]:
    """For every T: images that are right, operations through weights, through shortcuts, of extra steps."""
    if made.per_image is not None:
        return _run_per_image(made, T, arena, on_batch)
    plan = compile_network(made.network, arena.dtype)
    result = run_snn(
        plan,
        arena.images,
        arena.indices,
        T[-1],
        batch=arena.batch,
        threads=arena.threads,
        on_batch=lambda part, trace, _: on_batch(len(part)),
    )
    operations = snn_operations(made.network, result)
    return [(int(result.correct[t - 1]), int(operations.sop[t - 1]), int(operations.residual[t - 1]), 0) for t in T]


PER_IMAGE_BATCH = 8


def _run_per_image(made: ConvertedNetwork, T: tuple[int, ...], arena: Arena, on_batch: OnBatch) -> list[Column]:
    machine = made.per_image
    assert machine is not None
    rows = np.array(T) - 1
    total = np.zeros((len(T), 4), dtype=np.int64)

    def work(part: Indices) -> Counts:
        run = machine.simulate(arena.images.currents(part), T[-1])
        right = (predictions(run.logits) == arena.images.labels_of(part)).sum(axis=1)
        extra = int(run.extra_sop.sum())
        sop = np.cumsum(run.sop.sum(axis=1)) + extra
        residual = np.cumsum(run.residual.sum(axis=1)) + int(run.extra_residual.sum())
        return np.asarray(np.stack([right, sop, residual, np.full(T[-1], extra)], axis=1)[rows])

    for part, counted in map_batches(work, arena.indices, arena.batch or PER_IMAGE_BATCH, arena.threads):
        total += counted
        on_batch(len(part))
    return [(int(a), int(b), int(c), int(d)) for a, b, c, d in total]
