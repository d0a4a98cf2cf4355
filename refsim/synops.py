"""SynapticOps: exact integer counts of what one projection did. They add."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

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
