"""One population on one batch, in the numbers that the plan has chosen for it: floats, `exact`, 8 or 16 bits."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from refsim.engine.events import Events, SpikeTrain
from refsim.engine.exact import Exact
from refsim.engine.kernels.exact import FAR, Memory, run_exact
from refsim.engine.kernels.lanes import TILE
from refsim.engine.kernels.population import room_for, run_currents, run_spiking
from refsim.engine.kernels.quantised import run_quantised, run_quantised_currents, sum_steady
from refsim.engine.kernels.rows import STRIDE
from refsim.engine.plan import Population
from refsim.engine.quantised import FLOAT64, LARGEST, Quantised
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


def run_population(population: Population, sources: Sources, dtype: np.dtype[Any], with_potentials: bool) -> Stage:
    """Run a population of neurons.

    Parameters
    ----------
    dtype
        Of floats.
    with_potentials
        Record potentials and currents; not in `exact`.

    Raises
    ------
    RefsimError
        A current that is not finite.
    """
    c, h, w = population.shape
    T, n_images = sources.T, len(sources.image)
    neurons = population.neurons or (population.integers or population.quantised).neurons  # type: ignore[union-attr]
    done = Stage(
        train=SpikeTrain.empty(n_images, population.shape, T, neurons.dual),  # type: ignore[union-attr]
        reached=np.zeros((n_images, T), dtype=np.int64),
        recomputed=np.zeros((n_images, T), dtype=np.int64),
        margin=np.full(2, np.inf),
        recorded=np.zeros((2, n_images if with_potentials else 0, h, w, c), dtype=dtype),
    )
    if population.quantised is not None:
        return _run_quantised(population, population.quantised, sources, done)
    if population.integers is not None:
        return done._replace(margin=_run_integers(population, population.integers, sources, done))
    gaps = np.full((2, len(population.layout.tiles), TILE), np.inf, dtype=dtype)
    synapses, events = sources.amplitudes(population.projections)
    room = room_for(synapses, events, sources.T, dtype)
    finite = run_spiking(
        population.layout, synapses, events, population.neurons, room, *done.train, done.recorded, gaps, done.reached
    )
    if not finite:
        fail_overflow(population.name)
    return done._replace(margin=_least(gaps, population.layout.tiles))


def run_readout(population: Population, sources: Sources, dtype: np.dtype[Any]) -> Array:
    """The readout's current at every step, (T, B, K)."""
    shape = (len(sources.image), 1, 1, sources.T, population.shape[0])
    quantised = population.quantised
    if quantised is None:
        logits = np.zeros(shape, dtype=dtype)
        synapses, events = sources.amplitudes(population.projections)
        run_currents(population.layout, synapses, events, room_for(synapses, events, sources.T, dtype), logits)
        check_finite(population.name, logits)
    else:
        whole = np.zeros(shape, dtype=np.int64)
        steady, _ = _steady(population, quantised, sources)
        classes = _classes(population, quantised, sources)
        run_quantised_currents(
            population.layout, classes.synapses, classes.events, classes.n_digits, classes.signed, steady,
            (classes.room(sources.T), np.empty(TILE, np.int64)), whole,
        )  # fmt: skip
        logits = whole * quantised.unit
    return np.asarray(logits[:, 0, 0].transpose(1, 0, 2))


def _run_integers(population: Population, integers: Exact, sources: Sources, done: Stage) -> Array:
    """Run a population in `exact`; returns its margins, lower bounds in units of theta."""
    classes = sources.classes(population.projections, integers.synapses)
    stored = tuple(
        each._replace(magnitude=one.magnitude, negative=one.negative)
        for each, one in zip(integers.stored, classes.digits)
    )
    gaps = np.full((2, len(population.layout.tiles), TILE), FAR, dtype=np.int64)
    gaps64 = np.full(2, np.inf)
    run_exact(
        population.layout, classes.synapses, classes.events, classes.n_digits, classes.signed, integers.bias,
        integers.neurons, stored, classes.room(sources.T), Memory.of(classes.synapses, sources.T), done.train, gaps,
        gaps64, done.reached, done.recomputed,
    )  # fmt: skip
    decided = _least(gaps, population.layout.tiles)
    decided = np.where(decided >= FAR // 2, np.inf, decided / 2.0**integers.bits)
    return np.asarray(np.minimum(decided, gaps64))


def _run_quantised(population: Population, quantised: Quantised, sources: Sources, done: Stage) -> Stage:
    steady, largest = _steady(population, quantised, sources)
    classes = _classes(population, quantised, sources)
    neurons = quantised.neurons
    assert neurons is not None
    dtype = np.dtype(np.int32 if quantised.fits_32_bits(sources.T, largest) else np.int64)
    whole = np.zeros(done.recorded.shape, dtype=np.int64)
    run_quantised(
        population.layout, classes.synapses, classes.events, classes.n_digits, classes.signed, steady,
        any(each.port.source == INPUT for each in population.projections),
        neurons._replace(**{key: getattr(neurons, key).astype(dtype) for key in ("theta", "theta_neg", "v0")}),
        (classes.room(sources.T), np.empty(TILE, dtype)), done.train, whole, done.reached,
    )  # fmt: skip
    return done._replace(recorded=whole * quantised.unit)


def _steady(population: Population, quantised: Quantised, sources: Sources) -> tuple[NDArray[np.int32], float]:
    """The current of bias and image by tile, in units, and the largest of the image."""
    layout = population.layout
    from_image = [each for each in population.projections if each.port.source == INPUT]
    if not from_image:
        return by_tile(quantised.bias.astype(np.int32)[None], layout, 0), 0.0
    synapses, events = sources.amplitudes(from_image)
    room = room_for(synapses, events, 1, FLOAT64)
    n_cells = len(sources.image) * layout.height * layout.across
    steady = aligned_zeros((n_cells, len(layout.tiles), TILE), np.dtype(np.int32))
    unit, bias = by_tile(quantised.unit[None], layout, 1), by_tile(quantised.bias.astype(np.float64)[None], layout, 0)
    largest, finite = sum_steady(layout, synapses, events, room, unit, bias, float(LARGEST), steady)
    if not finite:
        fail_overflow(population.name)
    return steady, largest


def _classes(population: Population, quantised: Quantised, sources: Sources) -> Classes:
    """The projections of spikes; where there are none, one that nothing is sent through."""
    chosen = [(each, table) for each, table in zip(population.projections, quantised.synapses) if table is not None]
    if chosen:
        return sources.classes(*zip(*chosen))
    c, h, w = population.shape
    nobody = identity_of(np.zeros(c, quantised.dtype), population.layout, (c, h, w))
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
