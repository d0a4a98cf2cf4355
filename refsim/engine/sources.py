"""What the populations so far have sent, on one batch, in the forms in which others read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.engine.arrivals import (
    amplitudes_of,
    classes_of,
    counted,
    digits_of,
    flattened,
    numbers_of,
    sized_windows_of,
    weigh,
)
from refsim.engine.events import Digits, Events, SpikeTrain
from refsim.engine.kernels.listing import Lists
from refsim.engine.kernels.synapse import Synapses
from refsim.engine.plan import Projection
from refsim.engine.trace import SynapticOps
from refsim.engine.wiring import Port
from refsim.model import INPUT, Pool

Array = NDArray[Any]
Counts = NDArray[np.int64]


class Classes(NamedTuple):
    """Spikes by binary digit and sign (`lists.list_classes`), by projection.

    n_digits, signed : (P,), how many digits, and whether negative numbers are listed apart
    digits
        Where the lists come from.
    """

    synapses: tuple[Synapses, ...]
    events: tuple[Events, ...]
    digits: tuple[Digits, ...]
    n_digits: NDArray[np.int64]
    signed: NDArray[np.bool_]

    def room(self, T: int) -> Lists:
        """Room for lists of the rows they hit."""
        return Lists.of(self.synapses, self.events, self.n_digits * (1 + self.signed), T, None)


class Sources:
    """Spike trains by population, and the digits and lists made of them, each made once.

    image : (B, H, W, C), input currents
    """

    def __init__(self, image: Array, T: int) -> None:
        self.image, self.T = image, T
        self.trains: dict[str, SpikeTrain] = {}
        self._digits: dict[tuple[str, Pool | None, bool], Digits] = {}
        self._counts: dict[tuple[str, Pool | None], Counts] = {}
        self._events: dict[tuple[Port, str], Events] = {}

    def digits(self, projection: Projection) -> Digits:
        """The numbers of spikes that arrive, flattened where the port says so."""
        port = projection.port
        if not port.flatten:
            return self._numbers(port.source, port.pool)
        key = (port.source, port.pool, True)
        if key not in self._digits:
            self._digits[key] = flattened(self._numbers(port.source, port.pool), projection.pooled_shape[0])
        return self._digits[key]

    def _numbers(self, source: str, pool: Pool | None) -> Digits:
        key = (source, pool, False)
        if key not in self._digits:
            self._digits[key] = digits_of(self.trains[source], pool)
        return self._digits[key]

    def _counted(self, source: str, pool: Pool | None) -> Counts:
        key = (source, pool)
        if key not in self._counts:
            self._counts[key] = counted(self._numbers(source, pool))
        return self._counts[key]

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
            return sized_windows_of(train, port, projection.theta, projection.pooled_shape[0])
        assert projection.psp is not None
        return amplitudes_of(
            self.digits(projection),
            _channels(projection),
            projection.psp,
            port.window_size,
            projection.synapses.ones,
        )

    def classes(self, projections: Iterable[Projection], synapses: Iterable[Synapses]) -> Classes:
        """What the integer kernels take of these projections of spikes, given their tables."""
        chosen = tuple(projections)
        digits = tuple(self.digits(each) for each in chosen)
        ports = [replace(each.port, unit=True, sized=False) for each in chosen]  # whole numbers know no theta
        for port, each, numbers in zip(ports, chosen, digits):
            if (port, "classes") not in self._events:
                self._events[port, "classes"] = classes_of(numbers, _channels(each))
        signed = np.array([len(each.negative) > 0 for each in digits], dtype=bool)
        n_digits = np.array([len(each.magnitude) for each in digits], dtype=np.int64)
        return Classes(
            synapses=tuple(
                each._replace(n_steps=self.T * int(n), constant=False)
                for each, n in zip(synapses, n_digits * (1 + signed))
            ),
            events=tuple(self._events[port, "classes"] for port in ports),
            digits=digits,
            n_digits=n_digits,
            signed=signed,
        )

    def n_spikes(self, source: str) -> Counts:
        """Positive and negative spikes of a population, (2, T, B)."""
        counts = self._counted(source, None)
        return weigh(self._numbers(source, None), counts, np.ones((*counts.shape[2:4], 1), dtype=np.int64))

    def count(self, projection: Projection) -> SynapticOps:
        """Synaptic operations of a projection (semantics 7)."""
        port = projection.port
        numbers, n_numbers = self._numbers(port.source, port.pool), self._counted(port.source, port.pool)
        unit = event = weigh(numbers, n_numbers, projection.fan_out)
        pool_in = np.zeros_like(event[0])
        if projection.windows is not None:
            spikes, n_spikes = self._numbers(port.source, None), self._counted(port.source, None)
            pool_in = weigh(spikes, n_spikes, projection.windows).sum(axis=0)
            if projection.fan_out_spike is not None:
                unit = weigh(spikes, n_spikes, projection.fan_out_spike)
        return SynapticOps(unit_pos=unit[0], unit_neg=unit[1], event_pos=event[0], event_neg=event[1], pool_in=pool_in)

    def forget(self, finished: set[str]) -> None:
        """Drop sources that nobody reads any more."""
        self.trains = {source: train for source, train in self.trains.items() if source not in finished}
        self._digits = {key: digits for key, digits in self._digits.items() if key[0] not in finished}
        self._counts = {key: counts for key, counts in self._counts.items() if key[0] not in finished}
        self._events = {key: events for key, events in self._events.items() if key[0].source not in finished}


def _channels(projection: Projection) -> int:
    """Channels of what the weights read."""
    return projection.synapses.source_channels
