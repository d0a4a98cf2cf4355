"""What `dtype` int16 and int8 say of the network they simulate: how it differs from the one in the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from refsim.engine.plan import Plan


@dataclass(frozen=True, kw_only=True)
class RoundedLayer:
    """One layer of weights that spikes meet, in the quantised network.

    population, target
        The neurons it drives, and the layer itself (of an identity shortcut the layer that adds).
    bits
        Least and greatest s of the channels' units theta / 2^s; of the readout's unit 2^-s.
    error, saturated, lost
        Root mean square of the weights' rounding errors relative to that of the weights; shares of the weights that
        were saturated, and of those that became 0.
    """

    population: str
    bits: tuple[int, int]
    target: str
    error: float
    saturated: float
    lost: float

    def to_json(self) -> dict[str, Any]:
        """As it stands in a report."""
        return asdict(self)


def rounded_layers(plan: Plan) -> tuple[RoundedLayer, ...] | None:
    """One entry for each layer of weights that spikes meet; None unless the plan is of a quantised network."""
    if plan.mode not in ("int16", "int8"):
        return None
    found = []
    for population in plan.populations:
        quantised = population.quantised
        assert quantised is not None
        bits = int(quantised.bits.min()), int(quantised.bits.max())
        found += [
            RoundedLayer(
                population=population.name,
                bits=bits,
                target=each.target,
                error=each.error,
                saturated=each.saturated,
                lost=each.lost,
            )
            for each in quantised.roundings
        ]
    return tuple(found)
