"""Runner: an SNN, or its source ANN, made ready to turn images into rows (`refsim.runs.store.rows`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.engine.batches import Images, run_ann, run_snn
from refsim.engine.plan import Plan, compile_network
from refsim.engine.results import Result
from refsim.engine.trace import Activations, Trace
from refsim.exceptions import FormatError
from refsim.model import INPUT, Network
from refsim.runs.settings import ANN, Settings
from refsim.runs.store.rows import Batch, ann_batch, snn_batch

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Runner:
    """What computes rows: a compiled network and for how long it runs.

    name
        `ANN`, or which neurons the SNN has.
    T
        Time steps; the ANN takes none.
    """

    name: str
    plan: Plan
    T: int

    @classmethod
    def compile(cls, name: str, network: Network, settings: Settings) -> Runner:
        """The machine of this name for a network that has its neurons."""
        if name == ANN:
            return cls(name=name, plan=compile_network(network, settings.dtype, fold=False), T=1)
        plan = compile_network(network, settings.dtype, skip_zero_weights=settings.skip_zero_weights)
        return cls(name=name, plan=plan, T=settings.T)

    def run(
        self,
        images: Images,
        indices: Indices,
        on_batch: Callable[[Batch], Any],
        *,
        batch: int | None = None,
        threads: int = 1,
    ) -> None:
        """Compute these images and hand over their rows, in their order, in the calling thread."""

        def keep_ann(part: Indices, activations: Activations) -> None:
            on_batch(ann_batch(part, activations, images.labels_of(part)))

        def keep_snn(part: Indices, trace: Trace, result: Result) -> None:
            on_batch(snn_batch(part, trace, result, images.labels_of(part)))

        if not len(indices):
            return
        if self.name == ANN:
            run_ann(self.plan, images, indices, batch=batch, threads=threads, on_batch=keep_ann)
        else:
            run_snn(self.plan, images, indices, self.T, batch=batch, threads=threads, on_batch=keep_snn)


def check_result(name: str, network: Network, T: int, result: Result) -> None:
    """Check that a result read from a file is one of this machine.

    Raises
    ------
    FormatError
        Another number of steps, or other layers.
    """
    steps, layers = (1, []) if name == ANN else (T, [layer.name for layer in network.spiking])
    known = {layer.name for layer in network.layers} | {INPUT}
    edges = {end for edge in result.ops for end in edge}
    if steps != result.T or list(result.populations) != layers or not edges <= known:
        raise FormatError(f"the rows ({name}) are not those of this network and T={T}; they were made by another run")
