"""What `dtype` int16 and int8 say of the network they simulate: how it differs from the one in the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, assert_never

from refsim.engine.exact import Exact
from refsim.engine.floats import FloatCurrents, FloatNumbers
from refsim.engine.modes import KINDS, QuantisedMode
from refsim.engine.plan import Plan
from refsim.engine.quantised import Quantised, QuantisedCurrents


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
    if not isinstance(KINDS[plan.mode], QuantisedMode):
        return None
    found: list[RoundedLayer] = []
    for target in plan.targets:
        match target.numbers:
            case Quantised(currents=currents) | (QuantisedCurrents() as currents):
                bits = int(currents.bits.min()), int(currents.bits.max())
                found += [
                    RoundedLayer(
                        population=target.name,
                        bits=bits,
                        target=each.target,
                        error=each.error,
                        saturated=each.saturated,
                        lost=each.lost,
                    )
                    for each in currents.roundings
                ]
            case FloatNumbers() | FloatCurrents() | Exact():
                pass  # nothing of it is rounded
            case never:
                assert_never(never)
    return tuple(found)
