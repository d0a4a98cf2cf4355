"""The error of layers, split: stacked per layer, against time, and as spikes too many or too few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter

from refsim.plots.style import BLACK, BLUE, GREY, ORDERED, PARTS, RED, literal, name_ticks


def plot_split(ax: Axes, names: Sequence[str], parts: Mapping[str, Sequence[float]], total: Sequence[float]) -> None:
    """Mean errors, stacked: what is positive upwards, what is negative downwards; a diamond marks the sum.

    Parameters
    ----------
    parts
        By name (a key of `style.PARTS`), one mean for each of `names`, in units of theta.
    """
    up, down = np.zeros(len(names)), np.zeros(len(names))
    for key, means in parts.items():
        color, hatch = PARTS[key]
        heights = np.asarray(means, dtype=np.float64)
        bottom = np.where(heights >= 0, up, down)
        ax.bar(
            range(len(names)),
            heights,
            bottom=bottom,
            label=key,
            color=color,
            hatch=hatch,
            edgecolor="white",
            width=0.7,
        )
        up, down = up + np.maximum(heights, 0), down + np.minimum(heights, 0)
    ax.plot(range(len(names)), total, "D", color=BLACK, markerfacecolor="white", label="total")
    ax.axhline(0, color=BLACK, linewidth=0.6)
    name_ticks(ax, names, rotation=_slant(names))
    ax.set_ylabel(r"mean error / $\theta$")


def plot_counts(ax: Axes, names: Sequence[str], shares: Mapping[str, Sequence[float]]) -> None:
    """Share of neurons that fire k spikes too many (upwards) or too few (downwards), stacked from the nearest out.

    Parameters
    ----------
    shares
        "-1", "<= -2", "+1", ">= 2": one share in [0, 1] for each of `names`.
    """
    up, down = np.zeros(len(names)), np.zeros(len(names))
    looks = {
        "+1": (RED, "", "$k = 1$"),
        ">= 2": (RED, "////", r"$k \geq 2$"),
        "-1": (BLUE, "", "$k = -1$"),
        "<= -2": (BLUE, "////", r"$k \leq -2$"),
    }
    for key, (color, hatch, label) in looks.items():
        few = key in ("-1", "<= -2")
        heights = np.asarray(shares[key], dtype=np.float64) * (-1 if few else 1)
        bottom = down if few else up
        bars = {"color": color, "hatch": hatch, "edgecolor": "white", "label": label, "width": 0.7}
        ax.bar(range(len(names)), heights, bottom=bottom, **bars)  # type: ignore[arg-type]
        up, down = up + np.maximum(heights, 0), down + np.minimum(heights, 0)
    ax.axhline(0, color=BLACK, linewidth=0.6)
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(100 * value):g} %")
    name_ticks(ax, names, rotation=_slant(names))
    ax.set_ylabel("share of neurons")


def plot_error_over_time(ax: Axes, T: Sequence[int], errors: Mapping[str, Sequence[float]]) -> None:
    """An error against the number of time steps, one line for each name (a layer, or a part of the error)."""
    styles = ["-", "--", "-.", ":"]
    for i, (name, values) in enumerate(errors.items()):
        color: Any = PARTS[name][0] if name in PARTS else BLACK if name in ("total", "local") else None
        if color is None:
            color = colormaps[ORDERED](0.85 * i / max(len(errors) - 1, 1))
        linestyle, marker = styles[i % len(styles)], "osD^v"[i % 5]
        ax.plot(T, values, color=color, linestyle=linestyle, marker=marker, label=literal(name))
    ax.axhline(0, color=BLACK, linewidth=0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("time steps $T$")
    ax.set_ylabel(r"error / $\theta$")


def plot_spike_counts(ax: Axes, k: Mapping[int, int]) -> None:
    """Histogram of k, spikes too many or too few, over neurons and images; on a logarithmic scale."""
    n = sum(k.values())
    colors = [GREY if each == 0 else RED if each > 0 else BLUE for each in k]
    ax.bar(list(k), [count / n for count in k.values()], color=colors, width=0.7, edgecolor=BLACK)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("$k$, spikes too many")
    ax.set_ylabel("neurons")


def _slant(names: Sequence[str]) -> float:
    return 45 if len(names) > 6 or max(map(len, names), default=0) > 10 or sum(map(len, names)) > 30 else 0


def plot_spread(
    ax: Axes,
    names: Sequence[str],
    low: Sequence[float],
    mean: Sequence[float],
    high: Sequence[float],
    rms: Sequence[float],
) -> None:
    """One row for each part of an error: its mean, the interval from low to high, and its RMS.

    Parameters
    ----------
    low, high
        Quantiles, e.g. 5 % and 95 %.
    """
    rows = range(len(names))
    ax.barh(rows, np.subtract(high, low), left=low, height=0.5, color=GREY, label="5 % to 95 %")
    ax.plot(rms, rows, "|", color=BLUE, markersize=9, markeredgewidth=1.5, label="RMS")
    ax.plot(mean, rows, "D", color=RED, label="mean")
    ax.axvline(0, color=BLACK, linewidth=0.6)
    name_ticks(ax, names, "y")
    # Downwards, with room for a legend below the last row.
    ax.set_ylim(len(names) + 1.6, -0.5)
    ax.tick_params(left=False)
    ax.set_xlabel(r"error / $\theta$")
