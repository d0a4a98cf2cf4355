"""The report of how the engine would run a network: tiles, tables, numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, assert_never

from refsim.engine.exact import Exact
from refsim.engine.floats import FloatCurrents, FloatNumbers
from refsim.engine.kernels.lanes import TILE
from refsim.engine.modes import Mode
from refsim.engine.plan import Plan, Population, Projection, Readout
from refsim.engine.quantised import Quantised, QuantisedCurrents
from refsim.model import Pair


@dataclass(frozen=True, kw_only=True)
class ProjectionReport:
    """One projection of a plan.

    population
        The neurons (or the readout) that it drives; `target` is the layer whose weights act.
    reads
        Single spikes, graded numbers of spikes behind a pool, or the image.
    pool
        Window of the pool in between; None without one.
    mode, bits, reason
        Numbers in which the target computes; theta / 2^bits as their unit, from the coarsest channel's bits to the
        finest's (of the readout, in int16 and int8, 2^-bits); why not the numbers that were asked for.
    tiles, tile, columns
        How many groups of lanes, how many lanes each, and how many neighbouring positions share a tile, side by side.
    rows, bytes
        Rows of a tile's weight table, one for each synapse of a neuron, and bytes of all tables.
    """

    source: str
    target: str
    population: str
    reads: Literal["graded", "spikes", "image"]
    pool: Pair | None
    flattened: bool
    mode: Mode
    bits: tuple[int, int] | None
    reason: str
    tiles: int
    tile: int
    columns: int
    rows: int
    dtype: str
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """As it stands in a report."""
        return asdict(self)


def describe_plan(plan: Plan) -> tuple[ProjectionReport, ...]:
    """One entry for each projection, in the order in which they run."""
    return tuple(_projection(target, each) for target in plan.targets for each in target.projections)


def _projection(target: Population | Readout, projection: Projection) -> ProjectionReport:
    pool = projection.port.pool
    return ProjectionReport(
        source=projection.port.source,
        target=projection.target,
        population=target.name,
        reads="graded" if projection.port.graded else "spikes" if projection.psp is not None else "image",
        pool=pool.kernel if pool else None,
        flattened=projection.port.flatten,
        mode=target.mode,
        bits=_bits(target),
        reason=target.reason,
        tiles=len(target.layout.tiles),
        tile=TILE,
        columns=target.layout.columns,
        rows=projection.synapses.weight.shape[1],
        dtype=projection.synapses.weight.dtype.name,
        bytes=projection.synapses.weight.nbytes,
    )


def _bits(target: Population | Readout) -> tuple[int, int] | None:
    match target.numbers:
        case FloatNumbers() | FloatCurrents():
            return None
        case Exact(bits=bits):
            return bits, bits
        case Quantised(currents=currents) | (QuantisedCurrents() as currents):
            return int(currents.bits.min()), int(currents.bits.max())
        case never:
            assert_never(never)
