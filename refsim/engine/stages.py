"""One population on one batch, in the numbers that the plan has chosen for it: floats, `exact`, 8 or 16 bits."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.engine.events import Events, SpikeTrain
from refsim.engine.exact import Exact
from refsim.engine.floats import FloatCurrents, FloatNumbers
from refsim.engine.kernels.exact import FAR, Memory, run_exact
from refsim.engine.kernels.lanes import TILE
from refsim.engine.kernels.population import room_for, run_currents, run_spiking
from refsim.engine.kernels.quantised import run_quantised, run_quantised_currents, sum_steady
from refsim.engine.kernels.rows import STRIDE
from refsim.engine.plan import Population, Readout, Target
from refsim.engine.quantised import FLOAT64, LARGEST, Quantised, QuantisedCurrents
from refsim.engine.sources import Classes, Sources
from refsim.engine.tables import aligned_zeros, by_tile, identity_of
from refsim.exceptions import RefsimError
from refsim.model import INPUT

Array = NDArray[Any]
Counts = NDArray[np.int64]

MAX_STEPS = 2**16
"""Steps for which the bound of `exact` holds; longer runs compute in float64."""


class Stage(NamedTuple):
    """What one population did on one batch.

    reached, recomputed : (B, T) int64; margin : (2,), as in `simulator.PopulationTrace`
    recorded : (2, B, H, W, C), final potential and sum of the currents, in the unit of the ANN's activations; 0 images
        long unless wanted
    """

    train: SpikeTrain
    reached: Counts
    recomputed: Counts
    margin: Array
    recorded: Array


def run_population(population: Population, sources: Sources, with_potentials: bool) -> Stage:
    """Run a population of neurons.

    Parameters
    ----------
    with_potentials
        Record potentials and currents; not in `exact`.

    Raises
    ------
    RefsimError
        A current that is not finite.
    """
    match population.numbers:
        case FloatNumbers() as floats:
            done = _room(population, sources, floats.neurons.dual, floats.dtype, with_potentials)
            return _run_floats(population, floats, sources, done)
        case Exact() as exact:
            done = _room(population, sources, exact.neurons.dual, FLOAT64, False)
            return _run_exact(population, exact, sources, done)
        case Quantised() as quantised:
            done = _room(population, sources, quantised.neurons.dual, FLOAT64, with_potentials)
            return _run_quantised(population, quantised, sources, done)
        case never:
            assert_never(never)


def run_readout(readout: Readout, sources: Sources) -> Array:
    """The readout's current at every step, (T, B, K)."""
    shape = (len(sources.image), 1, 1, sources.T, readout.shape[0])
    match readout.numbers:
        case FloatCurrents(dtype=dtype):
            logits = np.zeros(shape, dtype=dtype)
            synapses, events = sources.amplitudes(readout.projections)
            run_currents(readout.layout, synapses, events, room_for(synapses, events, sources.T, dtype), logits)
            check_finite(readout.name, logits)
        case QuantisedCurrents() as currents:
            whole = np.zeros(shape, dtype=np.int64)
            steady, _ = _steady(readout, currents, sources)
            classes = _classes(readout, currents, sources)
            run_quantised_currents(
                readout.layout, classes.synapses, classes.events, classes.n_digits, classes.signed, steady,
                (classes.room(sources.T), np.empty(TILE, np.int64)), whole,
            )  # fmt: skip
            logits = whole * currents.unit
        case never:
            assert_never(never)
    return np.asarray(logits[:, 0, 0].transpose(1, 0, 2))


def _room(population: Population, sources: Sources, dual: bool, dtype: np.dtype[Any], with_potentials: bool) -> Stage:
    """Nothing has happened yet."""
    c, h, w = population.shape
    T, n_images = sources.T, len(sources.image)
    return Stage(
        train=SpikeTrain.empty(n_images, population.shape, T, dual),
        reached=np.zeros((n_images, T), dtype=np.int64),
        recomputed=np.zeros((n_images, T), dtype=np.int64),
        margin=np.full(2, np.inf),
        recorded=np.zeros((2, n_images if with_potentials else 0, h, w, c), dtype=dtype),
    )


def _run_floats(population: Population, floats: FloatNumbers, sources: Sources, done: Stage) -> Stage:
    gaps = np.full((2, len(population.layout.tiles), TILE), np.inf, dtype=floats.dtype)
    gaps[0] = np.finfo(floats.dtype).max  # every neuron makes a decision, whose margin may overflow
    synapses, events = sources.amplitudes(population.projections)
    room = room_for(synapses, events, sources.T, floats.dtype)
    finite = run_spiking(
        population.layout, synapses, events, floats.neurons, room, *done.train, done.recorded, gaps, done.reached
    )
    if not finite:
        fail_overflow(population.name)
    return done._replace(margin=_least(gaps, population.layout.tiles))


def _run_exact(population: Population, exact: Exact, sources: Sources, done: Stage) -> Stage:
    """Run a population in `exact`; its margins are lower bounds."""
    classes = sources.classes(population.projections, exact.synapses)
    stored = tuple(
        each._replace(magnitude=one.magnitude, negative=one.negative) for each, one in zip(exact.stored, classes.digits)
    )
    gaps = np.full((2, len(population.layout.tiles), TILE), FAR, dtype=np.int64)
    gaps64 = np.full(2, np.inf)
    run_exact(
        population.layout, classes.synapses, classes.events, classes.n_digits, classes.signed, exact.bias,
        exact.neurons, stored, classes.room(sources.T), Memory.of(classes.synapses, sources.T), done.train, gaps,
        gaps64, done.reached, done.recomputed,
    )  # fmt: skip
    decided = _least(gaps, population.layout.tiles)
    decided = np.where(decided >= FAR // 2, np.inf, decided / 2.0**exact.bits)
    return done._replace(margin=np.minimum(decided, gaps64))


def _run_quantised(population: Population, quantised: Quantised, sources: Sources, done: Stage) -> Stage:
    steady, largest = _steady(population, quantised.currents, sources)
    classes = _classes(population, quantised.currents, sources)
    neurons = quantised.neurons
    dtype = np.dtype(np.int32 if quantised.fits_32_bits(sources.T, largest) else np.int64)
    whole = np.zeros(done.recorded.shape, dtype=np.int64)
    run_quantised(
        population.layout, classes.synapses, classes.events, classes.n_digits, classes.signed, steady,
        any(each.port.source == INPUT for each in population.projections),
        neurons._replace(**{key: getattr(neurons, key).astype(dtype) for key in ("theta", "theta_neg", "v0")}),
        (classes.room(sources.T), np.empty(TILE, dtype)), done.train, whole, done.reached,
    )  # fmt: skip
    return done._replace(recorded=whole * quantised.currents.unit)


def _steady(target: Target, currents: QuantisedCurrents, sources: Sources) -> tuple[NDArray[np.int32], float]:
    """The current of bias and image by tile, in units, and the largest of the image."""
    layout = target.layout
    from_image = [each for each in target.projections if each.port.source == INPUT]
    if not from_image:
        return by_tile(currents.bias.astype(np.int32)[None], layout, 0), 0.0
    synapses, events = sources.amplitudes(from_image)
    room = room_for(synapses, events, 1, FLOAT64)
    n_cells = len(sources.image) * layout.height * layout.across
    steady = aligned_zeros((n_cells, len(layout.tiles), TILE), np.dtype(np.int32))
    unit, bias = by_tile(currents.unit[None], layout, 1), by_tile(currents.bias.astype(np.float64)[None], layout, 0)
    largest, finite = sum_steady(layout, synapses, events, room, unit, bias, float(LARGEST), steady)
    if not finite:
        fail_overflow(target.name)
    return steady, largest


def _classes(target: Target, currents: QuantisedCurrents, sources: Sources) -> Classes:
    """The projections of spikes; where there are none, one that nothing is sent through."""
    chosen = [(each, table) for each, table in zip(target.projections, currents.synapses) if table is not None]
    if chosen:
        return sources.classes(*zip(*chosen))
    c, h, w = target.shape
    nobody = identity_of(np.zeros(c, currents.dtype), target.layout, (c, h, w))
    nothing = np.zeros(STRIDE, dtype=np.int32)
    return Classes(
        synapses=(nobody._replace(n_steps=0, constant=False, ones=True),),
        events=(Events(np.zeros(1, dtype=np.int64), nothing, np.empty(0)),),
        digits=(),
        n_digits=np.zeros(1, dtype=np.int64),
        signed=np.zeros(1, dtype=bool),
    )


def _least(gaps: Array, tiles: Counts) -> Array:
    """The least of the lanes that stand for neurons, (2,)."""
    return np.array(
        [min(row[:lanes].min() for row, lanes in zip(part, tiles[:, 1])) for part in gaps], dtype=np.float64
    )


def check_finite(name: str, values: Array) -> None:
    """Refuse currents that are not finite.

    Raises
    ------
    RefsimError
        There are some.
    """
    if not np.isfinite(values).all():
        fail_overflow(name)


def fail_overflow(name: str) -> NoReturn:
    """Say that the currents of a layer are not finite."""
    raise RefsimError(f"layer '{name}': a current overflowed or is not a number; check the scale of the input")
