"""The errors of spiking layers over many images, for several T, each image's ANN run once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.layer_errors import ErrorAccumulator, LayerErrors
from refsim.engine.batches import Images, default_batch, map_batches
from refsim.engine.plan import Plan
from refsim.engine.simulator import forward, simulate
from refsim.model import Spiking

Indices = NDArray[np.int64]

RECORDED = ("spikes", "v", "current", "followed")


def measure_errors(
    plan: Plan,
    ann: Plan | None,
    layers: Sequence[Spiking],
    images: Images,
    indices: Indices,
    T: Sequence[int],
    *,
    per_channel: bool = False,
    batch: int | None = None,
    threads: int = 1,
    on_batch: Callable[[int], object] = lambda n: None,
) -> list[list[LayerErrors]]:
    """The errors of these layers, for each T.

    Parameters
    ----------
    plan, ann
        The SNN and, compiled with fold=False, its source ANN; without it the error against the ANN is left out.
    layers
        Spiking layers of the plan's network.
    images, indices
        The data set, and which images of it.
    per_channel
        Also means per channel.
    batch
        Images computed together, at most; None: what memory allows.
    on_batch
        Told how many images are done, for all T.

    Raises
    ------
    UsageError
        A layer whose neuron does not conserve potential.
    """
    # Potentials are recorded, which whole numbers do not have: a plan of `exact` runs in float64 here.
    plan = plan.in_floats

    def accumulators() -> list[list[ErrorAccumulator]]:
        return [[ErrorAccumulator(plan.network, layer, t, per_channel) for layer in layers] for t in T]

    def work(part: Indices) -> list[list[ErrorAccumulator]]:
        x = images.currents(part)
        z = forward(ann, x, record=True).z if ann is not None else {}
        seen = accumulators()
        for t, row in zip(T, seen):
            trace = simulate(plan, x, t, RECORDED)
            for each in row:
                each.add(trace.populations[each.layer.name], z.get(each.layer.name))
        return seen

    total = accumulators()
    # The ANN's potentials and activations stand beside what the SNN records: half as many images at a time.
    most = batch or max(1, default_batch(plan, max(T), RECORDED) // 2)
    for part, seen in map_batches(work, indices, most, threads):
        for ours, theirs in zip(total, seen):
            for mine, other in zip(ours, theirs):
                mine.merge(other)
        on_batch(len(part))
    return [[each.result() for each in row] for row in total]
