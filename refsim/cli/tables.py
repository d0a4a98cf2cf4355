"""Small pieces of text output: aligned columns, and whether there are colours."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


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
