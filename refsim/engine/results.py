"""Result: what a run counted. Results of batches add up to the result of all images, in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.engine.trace import SynapticOps, Trace
from refsim.exceptions import UsageError

Array = NDArray[Any]
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationCounts:
    """What one population did over all images.

    n_pos, n_neg, reached, recomputed : (T,) int64, as in `PopulationTrace`, summed over images
    margin : (2,), least decision margins over all images, in units of theta
    """

    n_pos: Counts
    n_neg: Counts
    reached: Counts
    recomputed: Counts
    margin: Array

    def __add__(self, other: PopulationCounts) -> PopulationCounts:
        return PopulationCounts(
            n_pos=self.n_pos + other.n_pos,
            n_neg=self.n_neg + other.n_neg,
            reached=self.reached + other.reached,
            recomputed=self.recomputed + other.recomputed,
            margin=np.minimum(self.margin, other.margin),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """Totals of a run. Everything is an integer or a minimum or maximum, so the order of adding does not matter.

    n_labelled
        Images whose label is known; accuracies are `correct / n_labelled`.
    correct : (T,) int64, labelled images whose label has the largest sum of logits after t steps
    ops : by (source, target), summed over images, (T,) arrays
    x_max
        Largest absolute input current; the rounding bound needs it.
    """

    T: int
    n_images: int
    n_labelled: int
    correct: Counts
    populations: dict[str, PopulationCounts]
    ops: dict[tuple[str, str], SynapticOps]
    nonzero_macs: int
    x_max: float

    @classmethod
    def of(cls, trace: Trace, x: Array, labels: Counts | None) -> Result:
        """The result of one batch: its trace, its input currents (B, C, H, W) and labels (B,)."""
        T, n_images, _ = trace.logits.shape
        correct = np.zeros(T, dtype=np.int64)
        if labels is not None:
            correct = (predictions(trace.logits) == labels).sum(axis=1)
        return cls(
            T=T,
            n_images=n_images,
            n_labelled=n_images if labels is not None else 0,
            correct=correct,
            populations={
                name: PopulationCounts(
                    n_pos=each.n_pos.sum(axis=1),
                    n_neg=each.n_neg.sum(axis=1),
                    reached=each.reached.sum(axis=1),
                    recomputed=each.recomputed.sum(axis=1),
                    margin=each.margin,
                )
                for name, each in trace.populations.items()
            },
            ops={key: each.total() for key, each in trace.ops.items()},
            nonzero_macs=int(trace.nonzero_macs.sum()),
            x_max=float(np.abs(x).max(initial=0.0)),
        )

    def __add__(self, other: Result) -> Result:
        if self.T != other.T or self.ops.keys() != other.ops.keys():
            raise UsageError("results of different networks or different T cannot be added")
        return Result(
            T=self.T,
            n_images=self.n_images + other.n_images,
            n_labelled=self.n_labelled + other.n_labelled,
            correct=self.correct + other.correct,
            populations={name: each + other.populations[name] for name, each in self.populations.items()},
            ops={key: each + other.ops[key] for key, each in self.ops.items()},
            nonzero_macs=self.nonzero_macs + other.nonzero_macs,
            x_max=max(self.x_max, other.x_max),
        )


def predictions(logits: Array) -> NDArray[np.int64]:
    """The class after each of t <= T steps (semantics 1.6): (T, B, K) currents to (T, B); ties go to the lowest."""
    return np.asarray(np.argmax(np.cumsum(logits, axis=0), axis=2))
