"""Figures of matplotlib as a part of the page: its colours, its font, its names, and no two alike ids."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING, Any

from refsim.plots.style import BLACK, BLUE, GREY, RED, YELLOW, as_text, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Whatever a figure draws in one of these, the page draws in its own, which are others in the dark.
_COLOURS = {
    BLACK: "ink",
    "#FFFFFF": "paper",
    BLUE: "blue",
    RED: "red",
    YELLOW: "yellow",
    GREY: "grey",
    "#DDDDDD": "line",
}


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an <svg> element.

    Parameters
    ----------
    name
        Of this figure on the page: what its ids begin with.
    label
        What it shows, for those who do not see it.
    """
    buffer = io.StringIO()
    with styled(), as_text():
        figure.savefig(buffer, format="svg", transparent=True, metadata=_nothing())
    text = buffer.getvalue()
    svg = text[text.index("<svg") :].rstrip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    # Inside tags only: the text between them is that of names from files.
    svg = re.sub(r"<[^>]+>", lambda tag: _own(tag[0], name, used), svg)
    head, _, rest = svg.partition(">")
    size = re.search(r'viewBox="([^"]+)"', head)
    assert size is not None
    width = float(size[1].split()[2])
    # As wide as it was drawn, or as the page, whatever is less.
    return (
        f'<svg class="figure" viewBox="{size[1]}" style="max-width:{width / 72:.2f}in" role="img" '
        f'aria-label="{escape(label)}" xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink">{rest}'
    )


def _nothing() -> dict[str, Any]:
    return dict.fromkeys(("Creator", "Date", "Format", "Type"))


def _own(tag: str, name: str, used: set[str]) -> str:
    """A tag in the page's colours and font, its id made this figure's own, or left out if nothing refers to it."""

    def identity(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    tag = re.sub(r' id="([^"]*)"', identity, tag)
    tag = re.sub(r'(url\(#|href="#)([^)"]+)', rf"\g<1>{name}-\g<2>", tag)
    for colour, variable in _COLOURS.items():
        tag = re.sub(rf"{colour}\b", f"var(--{variable})", tag, flags=re.IGNORECASE)
    # Of a colour map: nearer to the ink, so that neither end of it is lost on paper of its own lightness.
    tag = re.sub(r": (#[0-9a-f]{6})\b", r": color-mix(in oklab, \1 60%, var(--ink))", tag)
    return tag.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
