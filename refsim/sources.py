"""What the populations so far have sent, on one batch, in the forms in which others want to hear it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.events import Events, Planes, SpikeTrain
from refsim.kernels.listing import Lists
from refsim.kernels.synapse import Synapses
from refsim.model import INPUT, AvgPool2d
from refsim.plan import Projection
from refsim.ports import (
    Port,
    amplitudes_of,
    classes_of,
    flattened,
    numbers_of,
    planes_of,
    sized_windows_of,
    synaptic_ops,
)
from refsim.synops import SynapticOps

Array = NDArray[Any]
Counts = NDArray[np.int64]


class Classes(NamedTuple):
    """Spikes by binary digit and sign (`lists.list_classes`), by projection.

    n_planes, signed : (P,), how many digits, and whether negative numbers are listed apart
    planes
        Where the lists come from.
    """

    synapses: tuple[Synapses, ...]
    events: tuple[Events, ...]
    planes: tuple[Planes, ...]
    n_planes: NDArray[np.int64]
    signed: NDArray[np.bool_]

    def room(self, T: int) -> Lists:
        """Room for lists of the rows they hit."""
        return Lists.of(self.synapses, self.events, self.n_planes * (1 + self.signed), T, None)


class Sources:
    """Spike trains by population, and the planes and lists made of them, each made once.

    image : (B, H, W, C), input currents
    """

    def __init__(self, image: Array, T: int) -> None:
        self.image, self.T = image, T
        self.trains: dict[str, SpikeTrain] = {}
        self._planes: dict[tuple[str, AvgPool2d | None, bool], Planes] = {}
        self._events: dict[tuple[Port, str], Events] = {}

    def planes(self, projection: Projection, flat: bool) -> Planes:
        """The numbers of spikes that arrive, perhaps flattened."""
        port = projection.port
        key = (port.source, port.pool, flat)
        if key not in self._planes:
            if flat:
                self._planes[key] = flattened(self.planes(projection, flat=False), projection.cells[0])
            else:
                self._planes[key] = planes_of(self.trains[port.source], port.pool)
        return self._planes[key]

    def amplitudes(self, projections: Iterable[Projection]) -> tuple[tuple[Synapses, ...], tuple[Events, ...]]:
        """Synapses and events of the projections, as the float kernels take them."""
        synapses, events = [], []
        for each in projections:
            constant = each.port.source == INPUT
            synapses.append(each.synapses._replace(n_steps=1 if constant else self.T, constant=constant))
            key = (each.port, "ones" if each.synapses.ones else "amplitudes")
            if key not in self._events:
                self._events[key] = self._amplitudes(each)
            events.append(self._events[key])
        return tuple(synapses), tuple(events)

    def _amplitudes(self, projection: Projection) -> Events:
        port = projection.port
        if port.source == INPUT:
            return numbers_of(self.image, port)
        if projection.theta is not None:
            train = self.trains[port.source]
            return sized_windows_of(train, port, projection.theta, projection.cells[0])
        assert projection.worth is not None
        return amplitudes_of(
            self.planes(projection, port.flatten), projection.worth, port.cells, projection.synapses.ones
        )

    def classes(self, projections: Iterable[Projection], synapses: Iterable[Synapses]) -> Classes:
        """What the integer kernels take of these projections of spikes, given their tables."""
        chosen = tuple(projections)
        planes = tuple(self.planes(each, each.port.flatten) for each in chosen)
        for each, numbers in zip(chosen, planes):
            if (each.port, "classes") not in self._events:
                self._events[each.port, "classes"] = classes_of(numbers)
        signed = np.array([len(each.negative) > 0 for each in planes], dtype=bool)
        n_planes = np.array([len(each.magnitude) for each in planes], dtype=np.int64)
        return Classes(
            synapses=tuple(
                each._replace(n_steps=self.T * int(n), constant=False)
                for each, n in zip(synapses, n_planes * (1 + signed))
            ),
            events=tuple(self._events[each.port, "classes"] for each in chosen),
            planes=planes,
            n_planes=n_planes,
            signed=signed,
        )

    def count(self, projection: Projection) -> SynapticOps:
        """Synaptic operations of a projection."""
        planes = self.planes(projection, flat=False)
        train = self.trains[projection.port.source]
        return synaptic_ops(train, planes, projection.fan_out, projection.fan_out_spike, projection.windows)

    def forget(self, finished: set[str]) -> None:
        """Drop sources that nobody reads any more."""
        self.trains = {source: train for source, train in self.trains.items() if source not in finished}
        self._planes = {key: planes for key, planes in self._planes.items() if key[0] not in finished}
        self._events = {key: events for key, events in self._events.items() if key[0].source not in finished}
