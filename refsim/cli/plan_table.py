"""`refsim info --plan`: how the engine would run a network in mode `exact`."""

from __future__ import annotations

from typing import Any

from refsim.cli.tables import columns
from refsim.formats.text import clean
from refsim.kernels.lanes import TILE
from refsim.model import Network
from refsim.plan import Population, Projection, compile_network


def describe_plan(network: Network) -> list[dict[str, Any]]:
    """One entry for each projection, in the order in which they run.

    mode, bits, reason
        Numbers in which the target computes, theta / 2^bits as their unit, why not `exact`.
    tiles, tile
        How many groups of output channels, and how many channels each.
    rows, bytes
        Rows of a tile's weight table, one for each synapse of a neuron, and bytes of all tables.
    """
    return [
        _projection(population, each)
        for population in compile_network(network, "exact").populations
        for each in population.projections
    ]


def _projection(population: Population, projection: Projection) -> dict[str, Any]:
    pool = projection.port.pool
    reads = "graded" if pool else "spikes" if projection.worth is not None else "image"
    return {
        "source": projection.port.source,
        "target": projection.target,
        "population": population.name,
        "reads": reads,
        "pool": pool.kernel if pool else None,
        "flattened": projection.port.flatten,
        "mode": population.mode,
        "bits": population.integers.bits if population.integers else None,
        "reason": population.reason,
        "tiles": len(population.tiles),
        "tile": TILE,
        "rows": projection.synapses.weight.shape[1],
        "dtype": projection.synapses.weight.dtype.name,
        "bytes": projection.synapses.weight.nbytes,
    }


def render_plan(plan: list[dict[str, Any]]) -> str:
    """The plan as text for people."""
    rows = [["projection", "reads", "table", "MB", "mode"]]
    for each in plan:
        pool = f" of {each['pool'][0]}x{each['pool'][1]} windows" if each["pool"] else ""
        mode = f"theta / 2^{each['bits']}" if each["bits"] else each["reason"]
        rows.append(
            [
                f"{clean(each['source'], 30)} -> {clean(each['target'], 30)}",
                f"{each['reads']}{pool}",
                f"{each['tiles']} x {each['rows']} x {each['tile']} {each['dtype']}",
                f"{each['bytes'] / 2**20:.1f}",
                f"{each['mode']}: {mode}",
            ]
        )
    total = sum(each["bytes"] for each in plan) / 2**20
    table = "tile by tile, tables of tiles x rows x lanes; a row is one synapse of each lane's neuron"
    return "\n".join([*columns(rows), f"{total:.1f} MB of weight tables: {table}"])
