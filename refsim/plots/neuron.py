"""One neuron through time: who spikes at it, its potential, its own spikes (QCFS Fig. 1b-d, ECL Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from refsim.plots.style import BLACK, BLUE, GREY, RED, name_ticks

Array = NDArray[Any]


def plot_spikes(ax: Axes, trains: Array, names: Sequence[str]) -> None:
    """Spike rasters, one row each, the first at the top: positive spikes up in blue, negative ones down in red.

    Parameters
    ----------
    trains : (n_trains, T), in {-1, 0, 1}
    """
    n_trains, T = trains.shape
    for row, train in enumerate(trains):
        ax.axhline(row, color=GREY, linewidth=0.6, zorder=0)
        for sign, color in ((1, BLUE), (-1, RED)):
            steps = np.flatnonzero(train == sign) + 1
            # The y axis points down: row numbers grow downwards.
            ax.vlines(steps, row, row - sign * 0.38, color=color, linewidth=2.2)
    ax.set_ylim(n_trains - 0.5, -0.5)
    ax.set_xlim(0.5, T + 0.5)
    name_ticks(ax, names, "y")
    ax.tick_params(left=False)
    ax.spines["left"].set_visible(False)
    ax.set_xticks(range(1, T + 1))


def plot_potential(ax: Axes, m: Array, v: Array, s: Array, v0: float, theta: float, theta_neg: float = -np.inf) -> None:
    """The membrane potential: up or down to m(t) with the current of step t, then to v(t) where it fires.

    Parameters
    ----------
    m, v, s : (T,), potential before and after firing, and spikes
    """
    T = len(m)
    start = np.concatenate([[v0], v[:-1]])
    for t in range(T):
        # Within step t the current arrives in the first half; a spike resets at the end of it.
        ax.plot([t + 0.5, t + 1, t + 1], [start[t], m[t], m[t]], color=BLACK)
        if s[t]:
            color = BLUE if s[t] > 0 else RED
            ax.plot([t + 1, t + 1], [m[t], v[t]], color=color, linestyle=(0, (2, 1)))
            ax.plot(t + 1, m[t], color=color, marker="^" if s[t] > 0 else "v", linestyle="")
        ax.plot([t + 1, t + 1.5], [v[t], v[t]], color=BLACK)
    ax.axhline(theta, color=BLUE, linewidth=0.8, linestyle="--")
    ax.annotate(r"$\theta$", (1, theta), xycoords=("axes fraction", "data"), xytext=(2, 0), textcoords="offset points",
                va="center", color=BLUE)  # fmt: skip
    lowest, highest = min(m.min(), v.min(), v0, 0.0), max(m.max(), v.max(), v0, theta)
    if np.isfinite(theta_neg):
        ax.axhline(theta_neg, color=RED, linewidth=0.8, linestyle=":")
        ax.annotate(r"$\theta_\mathrm{neg}$", (1, theta_neg), xycoords=("axes fraction", "data"), xytext=(2, 0),
                    textcoords="offset points", va="center", color=RED)  # fmt: skip
    room = 0.12 * (highest - lowest)
    ax.set_ylim(lowest - room, highest + room)
    ax.set_xlim(0.5, T + 0.5)
    ax.set_xticks(range(1, T + 1))
    ax.set_ylabel("potential $v(t)$")


def stack(above: Axes, below: Axes) -> None:
    """Let a raster stand on the potential drawn below it: one time axis for both."""
    above.spines["bottom"].set_visible(False)
    above.tick_params(bottom=False, labelbottom=False)
    below.set_xlabel("time step $t$")
