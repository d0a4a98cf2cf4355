"""What happened on one batch: spikes, potentials, logits, and exact counts of synaptic operations."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class SynapticOps:
    """Synaptic operations of one projection by sign of the spike, for each step and image (semantics 7).

    All arrays are (T, N) int64, or (T,) after `total`.

    unit_pos, unit_neg
        Deliveries of single spikes through existing synapses; behind a pool every spike passes through (C1-C3).
        Their sum is the headline SOP.
    event_pos, event_neg
        Deliveries of nonzero window sums, by their sign; without a pool the same as `unit` (C3).
    pool_in
        Spikes entering pool windows (C3); 0 without a pool.
    """

    unit_pos: Counts
    unit_neg: Counts
    event_pos: Counts
    event_neg: Counts
    pool_in: Counts

    @property
    def unit(self) -> Counts:
        """Deliveries of single spikes of both signs."""
        return self.unit_pos + self.unit_neg

    @property
    def event(self) -> Counts:
        """Deliveries of nonzero window sums of both signs."""
        return self.event_pos + self.event_neg

    def total(self) -> SynapticOps:
        """Summed over images: (T,)."""
        return SynapticOps(**{each.name: getattr(self, each.name).sum(axis=1) for each in fields(self)})

    def __add__(self, other: SynapticOps) -> SynapticOps:
        return SynapticOps(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationTrace:
    """What one population did on one batch.

    n_pos, n_neg : (T, B) int64, spikes of either sign
    reached : (T, B) int64, neurons that received at least one delivery (all of them, if an image drives them)
    recomputed : (T, B) int64, decisions that whole numbers could not make and float64 made (`exact`; else 0)
    margin : (2,), least |m - theta| / theta, and least |m - theta_neg| / theta where the gate was open; in `exact`
        a lower bound of it, exact for recomputed decisions
    spikes : (T, B, *shape) int8, where recorded
    n : (B, *shape) int32, net spike counts, where recorded
    v, current : (B, *shape), final potential and sum of the input current over the T steps, where recorded
    followed : (B, *shape), what `current` would be if the max pools in mode "or" that it is read through had followed
        the maximum, given the same spikes before them; where recorded, and None if there are none
    """

    n_pos: Counts
    n_neg: Counts
    reached: Counts
    recomputed: Counts
    margin: Array
    spikes: NDArray[np.int8] | None
    n: NDArray[np.int32] | None
    v: Array | None
    current: Array | None
    followed: Array | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """What the network did on one batch.

    logits : (T, B, K), the readout's input current of each step (decide on their sum over steps: semantics 1.6)
    populations : by spiking layer
    ops : by (source, target), the synaptic operations of every projection that spikes travel through
    nonzero_macs : (B,) int64, multiply-accumulates of nonzero inputs in the layers that read the image (C4)
    """

    logits: Array
    populations: dict[str, PopulationTrace]
    ops: dict[tuple[str, str], SynapticOps]
    nonzero_macs: Counts


@dataclass(frozen=True, kw_only=True, eq=False)
class Activations:
    """The ANN on one batch: logits (B, K); where recorded, weighted inputs z and activations a, (B, *shape)."""

    logits: Array
    z: dict[str, Array]
    a: dict[str, Array]
