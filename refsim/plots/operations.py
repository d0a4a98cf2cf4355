"""What a network costs, layer by layer: deliveries of spikes, exact and as the literature estimates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from refsim.plots.style import BLACK, BLUE, RED, legend_above, looks_of, name_ticks


def plot_sops(
    ax: Axes,
    names: Sequence[str],
    positive: Sequence[float],
    negative: Sequence[float],
    estimate: Sequence[float | None] = (),
) -> None:
    """Synaptic operations per image into each layer, a row each, the first at the top.

    Parameters
    ----------
    positive, negative
        Of spikes of either sign, one number for each of `names`; stacked.
    estimate
        Rate times MACs, as the literature counts; marked beside the bar. None where there is none.
    """
    rows = np.arange(len(names))
    ax.barh(rows, positive, height=0.65, color=BLUE, label="positive")
    if any(negative):
        ax.barh(
            rows, negative, left=positive, height=0.65, color=RED, hatch="////", edgecolor="white", label="negative"
        )
    known = [(row, value) for row, value in enumerate(estimate) if value is not None]
    if known:
        places, values = zip(*known)
        ax.plot(values, places, "d", color=BLACK, markerfacecolor="white", label="estimate")
    _finish(ax, names)


def plot_sops_side_by_side(ax: Axes, names: Sequence[str], totals: Mapping[str, Sequence[float]]) -> None:
    """Synaptic operations per image into each layer, a row each, with a mark for each of several runs.

    Parameters
    ----------
    totals
        By run, one number for each of `names`.
    """
    # A little above each other, so that equal numbers do not hide each other.
    offsets = 0.5 * (np.arange(len(totals)) - (len(totals) - 1) / 2) / len(totals)
    for (name, values), look, offset in zip(totals.items(), looks_of(len(totals)), offsets):
        ax.plot(values, np.arange(len(names)) + offset, color=look.color, marker=look.marker, linestyle="", label=name)
    _finish(ax, names)


def _finish(ax: Axes, names: Sequence[str]) -> None:
    name_ticks(ax, names, "y")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(left=False)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_xlim(left=0)
    ax.grid(axis="x")
    ax.set_xlabel("SOPs per image")
    legend_above(ax)
