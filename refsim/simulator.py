"""The event engine: one batch of images through a plan, population by population, all T steps of each at once.

Bit for bit the specification (`refsim.reference.network`) in the same number type: the additions are made in the
same order. Nothing depends on which other images are in the batch.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from refsim.errors import NetworkError, RefsimError, UsageError
from refsim.events import Events, Planes, SpikeTrain
from refsim.kernels.integer import FAR, Memory, run_integers
from refsim.kernels.lanes import TILE
from refsim.kernels.population import room_for, run_currents, run_spiking
from refsim.kernels.synapse import Synapses
from refsim.model import INPUT, AvgPool2d, Shape
from refsim.plan import Plan, Population, Projection
from refsim.ports import (
    Port,
    amplitudes_of,
    classes_of,
    flattened,
    numbers_of,
    planes_of,
    pooled,
    sized_windows_of,
    synaptic_ops,
    weigh,
)
from refsim.synops import SynapticOps

Array = NDArray[Any]
Counts = NDArray[np.int64]

MAX_STEPS = 2**16
"""Steps for which the bound of `exact` holds; longer runs compute in float64."""


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


def simulate(plan: Plan, x: Array, T: int, record: Collection[str] = ()) -> Trace:
    """Run the SNN on constant input currents.

    Parameters
    ----------
    x : (B, C, H, W), input currents
    T
        Time steps, >= 1.
    record
        Any of "spikes", "n", "v", "current": kept in the trace for every population.

    Raises
    ------
    UsageError
        T < 1.
    RefsimError
        A potential or current that is not finite.
    """
    if T < 1:
        raise UsageError(f"T must be at least 1, got {T}")
    if plan.mode == "exact" and ({"v", "current"} & set(record) or T > MAX_STEPS):
        plan = plan.in_floats
    sources = _Sources(_as_planes(x, plan.dtype), T)
    populations: dict[str, PopulationTrace] = {}
    ops: dict[tuple[str, str], SynapticOps] = {}
    nonzero_macs = np.zeros(len(x), dtype=np.int64)
    logits = np.zeros((len(x), 1, 1, T, plan.network.n_classes), dtype=plan.dtype)
    for index, population in enumerate(plan.populations):
        for projection in population.projections:
            if projection.port.source == INPUT:
                nonzero_macs += _nonzero_macs(sources.image, projection)
            else:
                # Two projections may join the same two layers, e.g. an Add of two pools of one population.
                key, counted = (projection.port.source, projection.target), sources.count(projection)
                ops[key] = ops[key] + counted if key in ops else counted
        if population.neurons is None and population.integers is None:
            synapses, events = sources.amplitudes(population)
            run_currents(population.tiles, synapses, events, room_for(synapses, plan.dtype), logits)
        else:
            train, populations[population.name] = _run_population(population, sources, plan.dtype, record)
            sources.trains[population.name] = train
        sources.forget(plan.finished_after(index))
    _check_finite(plan.populations[-1].name, logits)
    return Trace(logits=logits[:, 0, 0].transpose(1, 0, 2), populations=populations, ops=ops, nonzero_macs=nonzero_macs)


def forward(plan: Plan, x: Array, record: bool = False) -> Activations:
    """Run the source ANN on input currents x (B, C, H, W), by the same kernels: its activations are graded events.

    Raises
    ------
    UsageError
        The plan has theta folded into its weights; compile it with fold=False.
    NetworkError
        The file does not say with how many steps L the network was trained.
    RefsimError
        An activation that is not finite.
    """
    if plan.fold:
        raise UsageError("the ANN needs a plan compiled with fold=False")
    values = {INPUT: _as_planes(x, plan.dtype)}
    kept_z: dict[str, Array] = {}
    kept_a: dict[str, Array] = {}
    for index, population in enumerate(plan.populations):
        synapses = tuple(each.synapses for each in population.projections)
        events = tuple(numbers_of(values[each.port.source], each.port) for each in population.projections)
        c, h, w = population.shape
        z = np.zeros((len(x), h, w, 1, c), dtype=plan.dtype)
        run_currents(population.tiles, synapses, events, room_for(synapses, plan.dtype), z)
        if population.neurons is not None:
            values[population.name] = a = _activate(z[:, :, :, 0], population, plan.dtype)
            if record:
                shape = plan.network.shapes[population.name]
                kept_z[population.name] = _from_planes(z[:, :, :, 0], shape)
                kept_a[population.name] = _from_planes(a, shape)
        values = {source: a for source, a in values.items() if source not in plan.finished_after(index)}
    _check_finite(plan.populations[-1].name, z)
    return Activations(logits=z.reshape(len(x), -1), z=kept_z, a=kept_a)


class _Sources:
    """What the populations so far have sent, in the forms in which others want to hear it."""

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

    def amplitudes(self, population: Population) -> tuple[tuple[Synapses, ...], tuple[Events, ...]]:
        """Synapses and events of the projections, as the float kernels take them."""
        synapses, events = [], []
        for each in population.projections:
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

    def classes(self, population: Population) -> tuple[tuple[Events, ...], tuple[Planes, ...]]:
        """Events by binary digit and sign, and the planes they come from, for the integer kernels."""
        planes = tuple(self.planes(each, each.port.flatten) for each in population.projections)
        for each, numbers in zip(population.projections, planes):
            if (each.port, "classes") not in self._events:
                self._events[each.port, "classes"] = classes_of(numbers)
        return tuple(self._events[each.port, "classes"] for each in population.projections), planes

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


def _run_population(
    population: Population, sources: _Sources, dtype: np.dtype[Any], record: Collection[str]
) -> tuple[SpikeTrain, PopulationTrace]:
    c, h, w = population.shape
    T, n_images = sources.T, len(sources.image)
    neurons = population.neurons if population.neurons is not None else population.integers.neurons  # type: ignore[union-attr]
    train = SpikeTrain.empty(n_images, population.shape, T, neurons.dual)
    reached = np.zeros((n_images, T), dtype=np.int64)
    recomputed = np.zeros((n_images, T), dtype=np.int64)
    wanted = {"v", "current"} & set(record)
    recorded = np.zeros((2, n_images if wanted else 0, h, w, c), dtype=dtype)
    if population.neurons is not None:
        gaps = np.zeros((2, len(population.tiles), TILE), dtype=dtype)
        synapses, events = sources.amplitudes(population)
        room = room_for(synapses, dtype)
        finite = run_spiking(
            population.tiles, synapses, events, population.neurons, room, *train, recorded, gaps, reached
        )
        if not finite:
            _fail_overflow(population.name)
        margin = _least(gaps, population.tiles)
    else:
        margin = _run_integers(population, sources, train, reached, recomputed)
    n_spikes = weigh(planes_of(train, None), np.ones((h, w, 1), dtype=np.int64))
    shape = population.layer_shape
    spikes = train.dense(c).reshape(T, n_images, *shape) if {"spikes", "n"} & set(record) else None
    return train, PopulationTrace(
        n_pos=n_spikes[0],
        n_neg=n_spikes[1],
        reached=reached.T,
        recomputed=recomputed.T,
        margin=margin,
        spikes=spikes if "spikes" in record else None,
        n=spikes.sum(axis=0, dtype=np.int32) if spikes is not None and "n" in record else None,
        v=_from_planes(recorded[0], shape) if "v" in record else None,
        current=_from_planes(recorded[1], shape) if "current" in record else None,
    )


def _run_integers(
    population: Population, sources: _Sources, train: SpikeTrain, reached: Counts, recomputed: Counts
) -> Array:
    """Run a population in whole numbers; returns its margins, lower bounds in units of theta."""
    integers = population.integers
    assert integers is not None
    events, planes = sources.classes(population)
    signed = np.array([len(each.negative) > 0 for each in planes])
    n_planes = np.array([len(each.magnitude) for each in planes])
    per_step = n_planes * (1 + signed)
    synapses = tuple(
        each._replace(n_steps=sources.T * int(n), constant=False) for each, n in zip(integers.synapses, per_step)
    )
    stored = tuple(
        each._replace(magnitude=one.magnitude, negative=one.negative) for each, one in zip(integers.stored, planes)
    )
    gaps = np.zeros((2, len(population.tiles), TILE), dtype=np.int64)
    asked = np.full(2, np.inf)
    run_integers(
        population.tiles, synapses, events, n_planes, signed, integers.bias, integers.neurons, stored,
        Memory.of(synapses, sources.T), train, gaps, asked, reached, recomputed,
    )  # fmt: skip
    decided = _least(gaps, population.tiles)
    decided = np.where(decided >= FAR // 2, np.inf, decided / 2.0**integers.bits)
    return np.asarray(np.minimum(decided, asked))


def _least(gaps: Array, tiles: Counts) -> Array:
    """The least of the lanes that stand for neurons, (2,)."""
    return np.array([min(row[:width].min() for row, (_, width) in zip(part, tiles)) for part in gaps], dtype=np.float64)


def _nonzero_macs(image: Array, projection: Projection) -> Counts:
    nonzero = pooled(image, projection.port.pool) != 0
    weighed = np.where(nonzero, projection.fan_out, 0) if projection.layer is not None else np.zeros((len(image), 1))
    return np.asarray(weighed.reshape(len(image), -1).sum(axis=1), dtype=np.int64)


def _activate(z: Array, population: Population, dtype: np.dtype[Any]) -> Array:
    """QCFS with L steps, or ReLU where L is None (twin of `reference.activations`)."""
    activation = population.activation
    if activation is None or activation.L == 0:
        raise NetworkError(
            f"layer '{population.name}': the file does not say L, the ANN's quantization steps; convert again with --L"
        )
    if activation.L is None:
        return np.asarray(np.maximum(z, dtype.type(0)))
    lambda_, L, shift = (dtype.type(value) for value in (activation.lambda_, activation.L, activation.shift))
    level = np.floor(np.clip(z / lambda_, dtype.type(0), dtype.type(1)) * L + shift)
    return np.asarray(level / L * lambda_)


def _as_planes(x: Array, dtype: np.dtype[Any]) -> Array:
    """(B, C, H, W) to contiguous (B, H, W, C)."""
    return np.ascontiguousarray(np.moveaxis(x, 1, 3), dtype=dtype)


def _from_planes(values: Array, shape: Shape) -> Array:
    """(B, H, W, C) to (B, *shape)."""
    return np.ascontiguousarray(np.moveaxis(values, 3, 1)).reshape(len(values), *shape)


def _check_finite(name: str, values: Array) -> None:
    if not np.isfinite(values).all():
        _fail_overflow(name)


def _fail_overflow(name: str) -> NoReturn:
    raise RefsimError(f"layer '{name}': a current overflowed or is not a number; check the scale of the input")
