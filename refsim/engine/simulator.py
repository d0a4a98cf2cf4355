"""The event engine: one batch of images through a plan, population by population, all T steps of each at once.

Bit for bit the specification (`refsim.reference.network`) in the same number type: the additions are made in the
same order. Nothing depends on which other images are in the batch.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.engine.arrivals import numbers_of, pooled
from refsim.engine.border import checked_input, checked_record, checked_steps
from refsim.engine.kernels.population import room_for, run_currents
from refsim.engine.plan import Plan, Population, Projection, Readout, compile_network
from refsim.engine.sources import Sources
from refsim.engine.stages import MAX_STEPS, check_finite, run_population, run_readout
from refsim.engine.trace import Activations, PopulationTrace, SynapticOps, Trace
from refsim.exceptions import NetworkError, UsageError
from refsim.model import INPUT, Network, Shape

Array = NDArray[Any]
Counts = NDArray[np.int64]


def simulate(plan: Plan | Network, x: Array, T: int, record: Collection[str] = ()) -> Trace:
    """Run the SNN on constant input currents.

    Parameters
    ----------
    plan
        From `compile_network`; a network is compiled here, in "exact", anew at every call.
    x : (B, C, H, W), input currents; B >= 1
    T
        Time steps, >= 1.
    record
        Any of "spikes", "n", "v", "current", "followed": kept in the trace for every population.

    Raises
    ------
    UsageError
        T is no whole number >= 1; unknown names in `record`.
    DataError
        x are not input currents of this network.
    RefsimError
        A potential or current that is not finite.
    """
    plan = compile_network(plan, "exact") if isinstance(plan, Network) else plan
    T, wanted = checked_steps(T), checked_record(record)
    if {"v", "current", "followed"} & wanted or T > MAX_STEPS:
        plan = plan.in_floats
    image = checked_input(plan.network, x, plan.dtype)
    sources = Sources(image, T)
    populations: dict[str, PopulationTrace] = {}
    ops: dict[tuple[str, str], SynapticOps] = {}
    nonzero_macs = np.zeros(len(image), dtype=np.int64)
    for index, target in enumerate(plan.targets):
        for projection in target.projections:
            if projection.port.source == INPUT:
                nonzero_macs += _nonzero_macs(image, projection)
            else:
                # Two projections may join the same two layers, e.g. an Add of two pools of one population.
                key, counted = (projection.port.source, projection.target), sources.count(projection)
                ops[key] = ops[key] + counted if key in ops else counted
        match target:
            case Population():
                trace = _run_population(target, sources, wanted)
                if "followed" in wanted and any(each.takes_or for each in target.projections):
                    trace = replace(trace, followed=_followed(plan.following.populations[index], sources))
                populations[target.name] = trace
            case Readout():
                logits = run_readout(target, sources)
            case never:
                assert_never(never)
        sources.forget(plan.finished_after(index))
    return Trace(logits=logits, populations=populations, ops=ops, nonzero_macs=nonzero_macs)


def forward(plan: Plan | Network, x: Array, record: bool = False) -> Activations:
    """Run the source ANN on input currents x (B, C, H, W), by the same kernels: its activations are graded events.

    A network is compiled here, in float64, anew at every call.

    Raises
    ------
    UsageError
        The plan has theta folded into its weights; compile it with fold=False.
    DataError
        x are not input currents of this network.
    NetworkError
        The file does not say with how many steps L the network was trained.
    RefsimError
        An activation that is not finite.
    """
    plan = compile_network(plan, fold=False) if isinstance(plan, Network) else plan
    if plan.fold:
        raise UsageError("the ANN needs a plan compiled with fold=False")
    image = checked_input(plan.network, x, plan.dtype)
    values = {INPUT: image}
    kept_z: dict[str, Array] = {}
    kept_a: dict[str, Array] = {}
    for index, target in enumerate(plan.targets):
        synapses = tuple(each.synapses for each in target.projections)
        events = tuple(numbers_of(values[each.port.source], each.port) for each in target.projections)
        c, h, w = target.shape
        z = np.zeros((len(image), h, w, 1, c), dtype=plan.dtype)
        run_currents(target.layout, synapses, events, room_for(synapses, events, 1, plan.dtype), z)
        if isinstance(target, Population):
            values[target.name] = a = _activate(z[:, :, :, 0], target, plan.dtype)
            if record:
                kept_z[target.name] = _channels_first(z[:, :, :, 0], target.layer_shape)
                kept_a[target.name] = _channels_first(a, target.layer_shape)
        values = {source: a for source, a in values.items() if source not in plan.finished_after(index)}
    check_finite(plan.readout.name, z)
    return Activations(logits=z.reshape(len(image), plan.readout.shape[0]), z=kept_z, a=kept_a)


def _run_population(population: Population, sources: Sources, record: frozenset[str]) -> PopulationTrace:
    done = run_population(population, sources, with_potentials=bool({"v", "current"} & record))
    sources.trains[population.name] = done.train
    n_pos, n_neg = sources.n_spikes(population.name)
    shape = population.layer_shape
    wanted = {"spikes", "n"} & record
    spikes = done.train.dense(population.shape[0]).reshape(sources.T, len(sources.image), *shape) if wanted else None
    return PopulationTrace(
        n_pos=n_pos,
        n_neg=n_neg,
        reached=done.reached.T,
        recomputed=done.recomputed.T,
        margin=done.margin,
        spikes=spikes if "spikes" in record else None,
        n=spikes.sum(axis=0, dtype=np.int32) if spikes is not None and "n" in record else None,
        v=_channels_first(done.recorded[0], shape) if "v" in record else None,
        current=_channels_first(done.recorded[1], shape) if "current" in record else None,
        followed=None,
    )


def _followed(twin: Population, sources: Sources) -> Array:
    """The sum of the currents of a population whose max pools follow the maximum, reading what has been sent."""
    done = run_population(twin, sources, with_potentials=True)
    return _channels_first(done.recorded[1], twin.layer_shape)


def _nonzero_macs(image: Array, projection: Projection) -> Counts:
    nonzero = pooled(image, projection.port.pool) != 0
    weighed = np.where(nonzero, projection.fan_out, 0) if projection.layer is not None else np.zeros((len(image), 1))
    return np.asarray(weighed.reshape(len(image), -1).sum(axis=1), dtype=np.int64)


def _activate(z: Array, population: Population, dtype: np.dtype[Any]) -> Array:
    """QCFS with L steps, or ReLU, clipped or not, where L is None (twin of `reference.activations`)."""
    activation = population.activation
    if activation is None or activation.kind == "unknown":
        raise NetworkError(
            f"layer '{population.name}': the file does not say L, the ANN's quantization steps; convert again with --L"
        )
    lambda_ = activation.bound.astype(dtype)  # one number, or one for each channel: the last axis
    if activation.L is None:
        a = np.maximum(z, dtype.type(0))
        return np.asarray(np.minimum(a, lambda_) if activation.clipped else a)
    L, shift = dtype.type(activation.L), dtype.type(activation.shift)
    level = np.floor(np.clip(z / lambda_, dtype.type(0), dtype.type(1)) * L + shift)
    return np.asarray(level / L * lambda_)


def _channels_first(values: Array, shape: Shape) -> Array:
    """(B, H, W, C) to (B, *shape)."""
    return np.ascontiguousarray(np.moveaxis(values, 3, 1)).reshape(len(values), *shape)
