"""Small pieces of text output: numbers, aligned columns, colours."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click


def use_color(flag: bool | None) -> bool:
    """Colour if asked for; by default on a terminal, unless NO_COLOR is set (no-color.org)."""
    if flag is not None:
        return flag
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def columns(rows: Sequence[Sequence[str]], gap: int = 3, indent: int = 2) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths)]
        lines.append(" " * indent + (" " * gap).join(cells).rstrip())
    return lines


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


def emphasize(text: str, color: bool) -> str:
    """Bold, where colours are on."""
    return click.style(text, bold=True) if color else text


def dim(text: str, color: bool) -> str:
    """Less prominent, where colours are on."""
    return click.style(text, dim=True) if color else text
