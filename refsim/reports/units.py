"""Numbers as people read them."""

from __future__ import annotations


def count(value: float) -> str:
    """An integer with thousands separators; a mean of counts is rounded to the nearest."""
    return f"{round(value):,}"


def joules(value: float) -> str:
    """An energy with three significant digits and a fitting prefix."""
    for factor, unit in ((1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value / 1e-12:.3g} pJ"


def percent(value: float) -> str:
    """A fraction as a percentage with one digit."""
    return f"{100 * value:.1f} %"
