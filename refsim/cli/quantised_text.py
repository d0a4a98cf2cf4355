"""What int16 and int8 did to the weights, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from refsim.reports.quantised import RoundedLayer
from refsim.reports.units import percent


def render_rounded(layers: Sequence[RoundedLayer], dtype: str) -> str:
    """How far the quantised network is from that of the file."""
    text = f"{dtype}: the quantised network; no order of summation can change a spike; "
    if not layers:
        return f"{text}no weights to round"
    worst = max(layers, key=lambda each: each.error)
    saturated, lost = max(each.saturated for each in layers), max(each.lost for each in layers)
    return (
        f"{text}weights rounded to {dtype[3:]} bits, RMS error at most {100 * worst.error:.2g} % "
        f"('{worst.target}'), saturated at most {percent(saturated)}, lost at most {percent(lost)}"
    )
