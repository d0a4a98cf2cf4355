"""`refsim info --plan`: how the engine would run a network."""

from __future__ import annotations

from typing import Any

from refsim.cli.tables import columns
from refsim.engine.kernels.lanes import TILE
from refsim.engine.plan import Population, Projection, compile_network
from refsim.formats.untrusted.text import clean
from refsim.model import Network


def describe_plan(network: Network, dtype: str = "exact") -> list[dict[str, Any]]:
    """One entry for each projection, in the order in which they run.

    mode, bits, reason
        Numbers in which the target computes; theta / 2^bits as their unit, from the coarsest channel's bits to the
        finest's (of the readout, in int16 and int8, 2^-bits); why not `exact`.
    tiles, tile, columns
        How many groups of lanes, how many lanes each, and how many neighbouring positions share a tile, side by side.
    rows, bytes
        Rows of a tile's weight table, one for each synapse of a neuron, and bytes of all tables.
    """
    return [
        _projection(population, each)
        for population in compile_network(network, dtype).populations
        for each in population.projections
    ]


def _projection(population: Population, projection: Projection) -> dict[str, Any]:
    pool = projection.port.pool
    reads = "graded" if projection.port.graded else "spikes" if projection.psp is not None else "image"
    return {
        "source": projection.port.source,
        "target": projection.target,
        "population": population.name,
        "reads": reads,
        "pool": pool.kernel if pool else None,
        "flattened": projection.port.flatten,
        "mode": population.mode,
        "bits": _bits(population),
        "reason": population.reason,
        "tiles": len(population.layout.tiles),
        "tile": TILE,
        "columns": population.layout.columns,
        "rows": projection.synapses.weight.shape[1],
        "dtype": projection.synapses.weight.dtype.name,
        "bytes": projection.synapses.weight.nbytes,
    }


def _bits(population: Population) -> tuple[int, int] | None:
    if population.integers is not None:
        return population.integers.bits, population.integers.bits
    if population.quantised is not None:
        return int(population.quantised.bits.min()), int(population.quantised.bits.max())
    return None


def _unit(each: dict[str, Any]) -> str:
    if each["bits"] is None:
        return str(each["reason"])
    least, most = each["bits"]
    return f"theta / 2^{least}" if least == most else f"theta / 2^{least}..{most}"


def render_plan(plan: list[dict[str, Any]]) -> str:
    """The plan as text for people."""
    rows = [["projection", "reads", "table", "MB", "mode"]]
    for each in plan:
        shared = f", {each['columns']} columns" if each["columns"] > 1 else ""
        pool = f" of {each['pool'][0]}x{each['pool'][1]} windows" if each["pool"] else ""
        rows.append(
            [
                f"{clean(each['source'], 30)} -> {clean(each['target'], 30)}",
                f"{each['reads']}{pool}",
                f"{each['tiles']} x {each['rows']} x {each['tile']} {each['dtype']}{shared}",
                f"{each['bytes'] / 2**20:.1f}",
                f"{each['mode']}: {_unit(each)}".removesuffix(": "),
            ]
        )
    total = sum(each["bytes"] for each in plan) / 2**20
    table = (
        "tile by tile, tables of tiles x rows x lanes; a row is one synapse of each lane's neuron, columns are "
        "positions that share a tile"
    )
    return "\n".join([*columns(rows), f"{total:.1f} MB of weight tables: {table}"])
