"""The event engine: one batch of images through a plan, population by population, all T steps of each at once.

Bit for bit the specification (`refsim.reference.network`) in the same number type: the additions are made in the
same order. Nothing depends on which other images are in the batch.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.errors import NetworkError, RefsimError, UsageError
from refsim.events import Events, SpikeTrain
from refsim.kernels import events as lists
from refsim.kernels.population import run_activation, run_readout, run_spiking
from refsim.kernels.synapse import Synapses
from refsim.model import INPUT, AvgPool2d, Shape
from refsim.plan import Plan, Population, Port, Projection
from refsim.synops import SynapticOps

Array = NDArray[Any]
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationTrace:
    """What one population did on one batch.

    n_pos, n_neg : (T, B) int64, spikes of either sign
    reached : (T, B) int64, neurons that received at least one delivery (all of them, if an image drives them)
    margin : (2,), least |m - theta| / theta, and least |m - theta_neg| / theta where the gate was open
    spikes : (T, B, *shape) int8, where recorded
    n : (B, *shape) int32, net spike counts, where recorded
    v, current : (B, *shape), final potential and sum of the input current over the T steps, where recorded
    """

    n_pos: Counts
    n_neg: Counts
    reached: Counts
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
    image = _as_planes(x, plan.dtype)
    n_images = len(image)
    trains: dict[str, SpikeTrain] = {}
    heard: dict[Port, Events] = {}
    populations: dict[str, PopulationTrace] = {}
    ops: dict[tuple[str, str], SynapticOps] = {}
    nonzero_macs = np.zeros(n_images, dtype=np.int64)
    logits = np.zeros((n_images, T, plan.network.n_classes), dtype=plan.dtype)
    for index, population in enumerate(plan.populations):
        for projection in population.projections:
            port = projection.port
            train = trains.get(port.source)
            if port not in heard:
                heard[port] = _list_values(image, port) if train is None else _list_spikes(train, projection)
            if train is None:
                nonzero_macs += _nonzero_macs(image, projection)
            else:
                # Two projections may join the same two layers, e.g. an Add of two pools of one population.
                key, counted = (port.source, projection.target), _count(train, projection)
                ops[key] = ops[key] + counted if key in ops else counted
        synapses = tuple(_timed(each, T) for each in population.projections)
        events = tuple(heard[each.port] for each in population.projections)
        if population.neurons is None:
            run_readout(population.tiles, synapses, events, logits)
        else:
            trains[population.name], populations[population.name] = _run_population(
                population, synapses, events, n_images, T, plan.dtype, record
            )
        finished = plan.finished_after(index)
        trains = {source: train for source, train in trains.items() if source not in finished}
        heard = {port: events for port, events in heard.items() if port.source not in finished}
    _check_finite(plan.populations[-1].name, logits)
    return Trace(logits=logits.transpose(1, 0, 2), populations=populations, ops=ops, nonzero_macs=nonzero_macs)


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
    logits = np.zeros((len(x), 1, plan.network.n_classes), dtype=plan.dtype)
    for index, population in enumerate(plan.populations):
        synapses = tuple(each.synapses for each in population.projections)
        events = tuple(_list_values(values[each.port.source], each.port) for each in population.projections)
        if population.neurons is None:
            run_readout(population.tiles, synapses, events, logits)
        else:
            c, h, w = population.shape
            z, a = (np.zeros((len(x), h, w, c), dtype=plan.dtype) for _ in range(2))
            run_activation(population.tiles, synapses, events, *_activation(population, plan.dtype), z, a)
            values[population.name] = a
            if record:
                shape = plan.network.shapes[population.name]
                kept_z[population.name], kept_a[population.name] = _from_planes(z, shape), _from_planes(a, shape)
        values = {source: a for source, a in values.items() if source not in plan.finished_after(index)}
    _check_finite(plan.populations[-1].name, logits)
    return Activations(logits=logits[:, 0], z=kept_z, a=kept_a)


def _run_population(
    population: Population,
    synapses: tuple[Synapses, ...],
    events: tuple[Events, ...],
    n_images: int,
    T: int,
    dtype: np.dtype[Any],
    record: Collection[str],
) -> tuple[SpikeTrain, PopulationTrace]:
    assert population.neurons is not None
    c, h, w = population.shape
    train = SpikeTrain.empty(n_images, population.shape, T, population.neurons.dual)
    v, current = (np.zeros((n_images, h, w, c), dtype=dtype) for _ in range(2))
    margin = np.full(2, np.inf)
    reached = np.zeros((n_images, T), dtype=np.int64)
    run_spiking(population.tiles, synapses, events, population.neurons, *train, v, current, margin, reached)
    _check_finite(population.name, current)
    one = np.ones((h, w, 1), dtype=np.int64)
    shape = population.layer_shape
    spikes = train.dense(c).reshape(T, n_images, *shape) if {"spikes", "n"} & set(record) else None
    return train, PopulationTrace(
        n_pos=_weigh(train.positive, one, n_images),
        n_neg=_weigh(train.negative, one, n_images),
        reached=reached.T,
        margin=margin,
        spikes=spikes if "spikes" in record else None,
        n=spikes.sum(axis=0, dtype=np.int32) if spikes is not None and "n" in record else None,
        v=_from_planes(v, shape) if "v" in record else None,
        current=_from_planes(current, shape) if "current" in record else None,
    )


def _timed(projection: Projection, T: int) -> Synapses:
    constant = projection.port.source == INPUT
    return projection.synapses._replace(n_steps=1 if constant else T, constant=constant)


def _list_spikes(train: SpikeTrain, projection: Projection) -> Events:
    """List a spike train as the projection's port asks for it."""
    worth, pool, port = projection.worth, projection.port.pool, projection.port
    assert worth is not None
    n_images, h, w, T, _ = train.positive.shape
    start = np.zeros(n_images * h * w * T + 1, dtype=np.int64)
    lists.count_spikes(*train, start)
    n_spikes = int(start[-1])
    if pool is None:
        events = _room(start, n_spikes, worth.dtype)
        lists.list_spikes(*train, worth, events.channel, events.amplitude)
    else:
        overlap = prod(-(-k // s) for k, s in zip(pool.kernel, pool.stride))
        _, h, w = projection.cells
        start = np.zeros(n_images * h * w * T + 1, dtype=np.int64)
        events = _room(start, n_spikes * overlap, worth.dtype)
        lists.list_pooled_spikes(*train, worth, pool.kernel, pool.stride, (h, w), *events)
    return _flattened(events, n_images, projection.cells, T) if port.flatten else events


def _list_values(values: Array, port: Port) -> Events:
    """List the nonzero entries of an image or of ANN activations, (B, H, W, C), as the port asks for them."""
    values = _pooled(values, port.pool)
    n_images, h, w, c = values.shape
    start = np.zeros(n_images * h * w + 1, dtype=np.int64)
    events = _room(start, int(np.count_nonzero(values)), values.dtype)
    lists.list_values(values, *events)
    return _flattened(events, n_images, (c, h, w), 1) if port.flatten else events


def _room(start: Counts, n: int, dtype: np.dtype[Any]) -> Events:
    return Events(start, np.empty(n, dtype=np.int32), np.empty(n, dtype=dtype))


def _flattened(events: Events, n_images: int, cells: Shape, T: int) -> Events:
    c, h, w = cells
    flat = _room(np.zeros(n_images * T + 1, dtype=np.int64), len(events.channel), events.amplitude.dtype)
    lists.flatten_lists(n_images, h * w, c, T, events, *flat)
    return flat


def _pooled(values: Array, pool: AvgPool2d | None) -> Array:
    """Mean over windows of (B, H, W, C), added up in the order of `reference.synapses.sum_pool2d`."""
    if pool is None:
        return values
    out_h = (values.shape[1] - pool.kernel[0]) // pool.stride[0] + 1
    out_w = (values.shape[2] - pool.kernel[1]) // pool.stride[1] + 1
    total = np.zeros((len(values), out_h, out_w, values.shape[3]), dtype=values.dtype)
    for i in range(pool.kernel[0]):
        for j in range(pool.kernel[1]):
            rows = i + pool.stride[0] * np.arange(out_h)
            columns = j + pool.stride[1] * np.arange(out_w)
            total += values[:, rows[:, None], columns]
    return np.asarray(total / values.dtype.type(prod(pool.kernel)))


def _count(train: SpikeTrain, projection: Projection) -> SynapticOps:
    n_images, _, _, T, _ = train.positive.shape
    unit_pos, unit_neg = (_weigh(mask, projection.fan_out_spike, n_images) for mask in train)
    pool = projection.port.pool
    if pool is None or projection.windows is None:
        nothing = np.zeros_like(unit_pos)
        return SynapticOps(
            unit_pos=unit_pos, unit_neg=unit_neg, event_pos=unit_pos, event_neg=unit_neg, pool_in=nothing
        )
    event = np.zeros((2, n_images, T), dtype=np.int64)
    lists.count_pooled_ops(*train, pool.kernel, pool.stride, projection.cells[1:], projection.fan_out, event)
    pool_in = _weigh(train.positive, projection.windows, n_images) + _weigh(
        train.negative, projection.windows, n_images
    )
    return SynapticOps(
        unit_pos=unit_pos, unit_neg=unit_neg, event_pos=event[0].T, event_neg=event[1].T, pool_in=pool_in
    )


def _weigh(mask: NDArray[np.uint64], fan_out: Counts, n_images: int) -> Counts:
    """Spikes of a mask, each counted with its position's fan-out: (T, B) int64."""
    ops = np.zeros((n_images, mask.shape[3]), dtype=np.int64)
    lists.count_ops(mask, fan_out, ops)
    return ops.T


def _nonzero_macs(image: Array, projection: Projection) -> Counts:
    nonzero = _pooled(image, projection.port.pool) != 0
    weighed = np.where(nonzero, projection.fan_out, 0) if projection.layer is not None else np.zeros((len(image), 1))
    return np.asarray(weighed.reshape(len(image), -1).sum(axis=1), dtype=np.int64)


def _activation(population: Population, dtype: np.dtype[Any]) -> tuple[Any, int, Any]:
    activation = population.activation
    if activation is None or activation.L == 0:
        raise NetworkError(
            f"layer '{population.name}': the file does not say L, the ANN's quantization steps; convert again with --L"
        )
    return dtype.type(activation.lambda_), activation.L or 0, dtype.type(activation.shift)


def _as_planes(x: Array, dtype: np.dtype[Any]) -> Array:
    """(B, C, H, W) to contiguous (B, H, W, C)."""
    return np.ascontiguousarray(np.moveaxis(x, 1, 3), dtype=dtype)


def _from_planes(values: Array, shape: Shape) -> Array:
    """(B, H, W, C) to (B, *shape)."""
    return np.ascontiguousarray(np.moveaxis(values, 3, 1)).reshape(len(values), *shape)


def _check_finite(name: str, values: Array) -> None:
    if not np.isfinite(values).all():
        raise RefsimError(f"layer '{name}': a current overflowed or is not a number; check the scale of the input")
