"""What `--dtype int16` and `int8` say of the network they simulate: how it differs from the one in the file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, assert_never

from refsim.cli.tables import percent
from refsim.engine.modes import KINDS, QuantisedMode, mode_of


def describe_quantised(network: Any, dtype: str) -> list[dict[str, Any]] | None:
    """One entry for each layer of weights that spikes meet; None unless the network is quantised.

    bits
        Least and greatest s of the channels' units theta / 2^s; of the readout's unit 2^-s.
    error, saturated, lost
        Root mean square of the weights' rounding errors relative to that of the weights; shares of the weights that
        were saturated, and of those that became 0.
    """
    if not isinstance(KINDS[mode_of(dtype)], QuantisedMode):
        return None
    from refsim.engine.exact import Exact
    from refsim.engine.floats import FloatCurrents, FloatNumbers
    from refsim.engine.plan import compile_network
    from refsim.engine.quantised import Quantised, QuantisedCurrents

    found: list[dict[str, Any]] = []
    for target in compile_network(network, dtype).targets:
        match target.numbers:
            case Quantised(currents=currents) | (QuantisedCurrents() as currents):
                bits = [int(currents.bits.min()), int(currents.bits.max())]
                found += [{"population": target.name, "bits": bits} | asdict(each) for each in currents.roundings]
            case FloatNumbers() | FloatCurrents() | Exact():
                pass  # nothing of it is rounded
            case never:
                assert_never(never)
    return found


def render_quantised(layers: list[dict[str, Any]], dtype: str) -> str:
    """The same in a sentence."""
    text = f"{dtype}: the quantised network; no order of summation can change a spike; "
    if not layers:
        return f"{text}no weights to round"
    error = max(each["error"] for each in layers)
    worst = next(each["target"] for each in layers if each["error"] == error)
    saturated, lost = (max(each[key] for each in layers) for key in ("saturated", "lost"))
    return (
        f"{text}weights rounded to {dtype[3:]} bits, RMS error at most {100 * error:.2g} % ('{worst}'), "
        f"saturated at most {percent(saturated)}, lost at most {percent(lost)}"
    )
