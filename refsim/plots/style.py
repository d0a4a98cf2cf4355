"""What all figures share: fonts, sizes in column widths, colours that survive grey print and colour blindness."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from refsim.formats.atomic import write_atomically

COLUMN = 3.4
"""Width of one column of a two-column page, in inches."""

# Tol's "high-contrast" scheme: told apart by the colour blind, and by their lightness in a grey print.
BLACK, BLUE, RED, YELLOW, GREY = "#000000", "#004488", "#BB5566", "#DDAA33", "#BBBBBB"

ORDERED = "cividis"
"""Colour map of quantities: rises evenly in lightness, and looks the same to the colour blind."""


class Look(NamedTuple):
    """How one kind of thing is drawn in every figure: never by colour alone."""

    color: str
    linestyle: str
    marker: str


LOOKS = {
    "ann": Look(BLACK, ":", ""),
    "if": Look(BLUE, "-", "o"),
    "dual": Look(RED, "--", "s"),
    "other": Look(YELLOW, "-.", "^"),
}

PARTS = {
    "clipping": (YELLOW, "...."),
    "quantization": (GREY, ""),
    "unevenness": (RED, "////"),
    "pool": (BLUE, "////"),
    "propagated": (BLUE, ""),
}
"""Colour and hatch of the parts of an error."""

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "hatch.linewidth": 0.5,
    "patch.linewidth": 0.5,
    "figure.dpi": 200,
    "savefig.dpi": 200,
    # Two runs make the same file: no random ids, no date.
    "svg.hashsalt": "refsim",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


@contextmanager
def styled() -> Iterator[None]:
    """The style of refsim's figures, for as long as the block lasts."""
    with mpl.rc_context(RC):
        yield


@contextmanager
def as_text() -> Iterator[None]:
    """Letters of an SVG stay letters, in the font of the page that the figure becomes a part of."""
    with mpl.rc_context({"svg.fonttype": "none"}):
        yield


def new_figure(columns: float = 1, height: float = 2.2) -> Figure:
    """An empty figure, so many columns wide and so many inches high. It needs no display and no pyplot."""
    figure = Figure(figsize=(columns * COLUMN, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes() -> Axes:
    """Axes of their own: in a new figure of pyplot where someone uses that, so that a notebook shows it."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        return pyplot.subplots(layout="constrained")[1]  # type: ignore[no-any-return]
    return new_figure().subplots()


def looks_of(n: int) -> list[Look]:
    """Looks for n lines of one figure, told apart without their colour too."""
    colors, lines, markers = (BLUE, RED, YELLOW, GREY, BLACK), ("-", "--", "-.", ":"), ("o", "s", "^", "D", "v", "P")
    return [
        Look(colors[i % len(colors)], lines[i // len(colors) % len(lines)], markers[i % len(markers)]) for i in range(n)
    ]


def legend_above(ax: Axes, columns: int | None = None) -> None:
    """A legend above the panel, where it covers no data; in so many columns (None: as the figure has room for)."""
    columns = columns or max(1, int(ax.figure.get_figure(root=True).get_figwidth() / 1.1))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.3, columnspacing=1.2)


def space_steps(ax: Axes, T: Sequence[int]) -> None:
    """Time steps along x, spaced by their logarithm, with a number at each of these."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(T), [str(t) for t in T])
    ax.xaxis.set_minor_locator(NullLocator())


def few_ticks(axis: Axis) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 times the powers of ten, and none between."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_locator(NullLocator())


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, whole or not at all; the ending says how: .png, .svg or .pdf. Equal figures give equal files."""
    kind = os.fspath(path).rsplit(".", 1)[-1].lower()
    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    drawn = io.BytesIO()
    with styled():  # which embeds fonts as TrueType: journals refuse Type 3
        figure.savefig(drawn, format=kind, metadata=undated)
    write_atomically(path, drawn.getvalue())


def letter_panels(axes: Iterable[Axes], titles: Sequence[str]) -> None:
    """Titles (a), (b), ... to the left above the panels; a name from a file goes through `literal` first."""
    for letter, ax, title in zip("abcdefghijklmnopqrstuvwxyz", axes, titles, strict=False):
        ax.set_title(f"({letter}) {title}", loc="left")


def name_ticks(ax: Axes, names: Sequence[str], axis: str = "x", rotation: float = 0) -> None:
    """One tick for each name, at 0, 1, ...; names come from files, so a "$" in them is no formula."""
    turned: Any = {"rotation": rotation, "ha": "right", "rotation_mode": "anchor"} if rotation else {}
    if axis == "y":
        ax.set_yticks(range(len(names)), names, parse_math=False)
    else:
        ax.set_xticks(range(len(names)), names, parse_math=False, **turned)


def literal(text: str) -> str:
    r"""A name from a file for a legend, which takes no `parse_math`: "$" is written "\$"."""
    return text.replace("$", r"\$")
