"""Small pieces of text output: aligned columns, and whether there are colours."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence


def use_color(flag: bool | None) -> bool:
    """Colour if asked for; by default on a terminal, unless NO_COLOR is set (no-color.org)."""
    if flag is not None:
        return flag
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def columns(rows: Sequence[Sequence[str]], gap: int = 3, indent: int = 2, keys: int = 1) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell, numbers to the right.

    A table wider than the terminal (elsewhere: than 80 characters) is folded by columns: those that do not fit come
    again below, behind the first ones.

    Parameters
    ----------
    keys
        How many of the first columns are repeated in every part.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines: list[str] = []
    for part in _parts(widths, gap, indent, keys):
        for row in rows:
            cells = [row[i].rjust(widths[i]) for i in part]
            lines.append(" " * indent + (" " * gap).join(cells).rstrip())
        lines.append("")
    return lines[:-1]


def _parts(widths: Sequence[int], gap: int, indent: int, keys: int) -> list[list[int]]:
    """Which columns stand side by side."""
    room = shutil.get_terminal_size().columns
    first = list(range(keys))
    parts = [first.copy()]
    for i in range(keys, len(widths)):
        if len(parts[-1]) > keys and indent + sum(widths[j] + gap for j in [*parts[-1], i]) - gap > room:
            parts.append(first.copy())
        parts[-1].append(i)
    return parts
