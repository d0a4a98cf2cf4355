"""`refsim info --plan`: how the engine would run a network."""

from __future__ import annotations

from typing import Any, assert_never

from refsim.cli.tables import columns
from refsim.engine.exact import Exact
from refsim.engine.floats import FloatCurrents, FloatNumbers
from refsim.engine.kernels.lanes import TILE
from refsim.engine.plan import Population, Projection, Readout, compile_network
from refsim.engine.quantised import Quantised, QuantisedCurrents
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
        _projection(target, each) for target in compile_network(network, dtype).targets for each in target.projections
    ]


def _projection(target: Population | Readout, projection: Projection) -> dict[str, Any]:
    pool = projection.port.pool
    reads = "graded" if pool else "spikes" if projection.psp is not None else "image"
    return {
        "source": projection.port.source,
        "target": projection.target,
        "population": target.name,
        "reads": reads,
        "pool": pool.kernel if pool else None,
        "flattened": projection.port.flatten,
        "mode": target.mode,
        "bits": _bits(target),
        "reason": target.reason,
        "tiles": len(target.layout.tiles),
        "tile": TILE,
        "columns": target.layout.columns,
        "rows": projection.synapses.weight.shape[1],
        "dtype": projection.synapses.weight.dtype.name,
        "bytes": projection.synapses.weight.nbytes,
    }


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
