"""Accuracy against time steps and against energy (QCFS Fig. 4, 5; ECL Fig. 3-6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FixedLocator, LogLocator, NullLocator
from numpy.typing import NDArray

from refsim.plots.style import LOOKS, Look

Array = NDArray[Any]


class Accuracies(NamedTuple):
    """Accuracy after each of some numbers of steps.

    T, accuracy, low, high : (n,), steps, and accuracy in [0, 1] with its confidence interval
    """

    T: Sequence[int]
    accuracy: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def plot_accuracy(ax: Axes, runs: Mapping[str, Accuracies], looks: Mapping[str, Look] | None = None) -> None:
    """Accuracy against T, one line for each run with a band for its confidence interval; steps are spaced by log 2.

    Parameters
    ----------
    looks
        By run; by default those of "if" and "dual" from `style.LOOKS`.
    """
    looks = looks or LOOKS
    for name, run in runs.items():
        look = looks[name]
        ax.fill_between(run.T, run.low, run.high, color=look.color, alpha=0.15, linewidth=0)
        ax.plot(
            run.T,
            run.accuracy,
            color=look.color,
            linestyle=look.linestyle,
            marker=look.marker,
            label=_title(name),
        )
    steps = sorted({t for run in runs.values() for t in run.T})
    ax.set_xscale("log", base=2)
    powers = [t for t in steps if t & (t - 1) == 0]
    ax.xaxis.set_major_locator(FixedLocator(powers))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    ax.grid(axis="y")
    ax.set_xlabel("time steps $T$")
    ax.set_ylabel("accuracy (%)")


def plot_ann_line(ax: Axes, accuracy: float, label: str = "ANN") -> None:
    """A line across the whole panel at the ANN's accuracy."""
    look = LOOKS["ann"]
    ax.axhline(accuracy, color=look.color, linestyle=look.linestyle, label=label)


def plot_energy_front(ax: Axes, runs: Mapping[str, tuple[Array, Array, Array]], looks: Mapping[str, Look]) -> None:
    """Accuracy against energy per image, each point labelled with its T; points that nothing beats are filled.

    Parameters
    ----------
    runs
        By name: T, joules per image, accuracy in [0, 1]; (n,) each.
    """
    everything = np.array([(e, a) for _, energy, accuracy in runs.values() for e, a in zip(energy, accuracy)])
    highest: dict[int, str] = {}
    for name, (T, _, accuracy) in runs.items():
        for t, a in zip(T, accuracy):
            if t not in highest or a > dict(zip(*runs[highest[t]][::2]))[t]:
                highest[t] = name
    for name, (T, energy, accuracy) in runs.items():
        look = looks[name]
        ax.plot(energy, accuracy, color=look.color, linestyle=look.linestyle, linewidth=0.8, zorder=1)
        for t, e, a in zip(T, energy, accuracy):
            face = "white" if _beaten(e, a, everything) else look.color
            ax.plot(e, a, linestyle="", marker=look.marker, color=look.color, markerfacecolor=face, markersize=4.5)
            # Of two runs with the same T, the better one has its label above: labels do not meet.
            up = highest[t] == name
            ax.annotate(
                f"{t}",
                (e, a),
                xytext=(0, 4 if up else -4),
                textcoords="offset points",
                ha="center",
                va="bottom" if up else "top",
                fontsize=6,
                color=look.color,
            )
        ax.plot([], [], color=look.color, linestyle=look.linestyle, marker=look.marker, label=_title(name))
    ax.set_xscale("log")
    ax.margins(y=0.12)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(EngFormatter(unit="J", sep="\u2009"))
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    ax.grid(axis="y")
    ax.set_xlabel("energy per image")
    ax.set_ylabel("accuracy (%)")


def _title(name: str) -> str:
    return {"if": "IF", "dual": "dual threshold"}.get(name, name)


def _beaten(energy: float, accuracy: float, points: Array) -> bool:
    """Whether another point costs no more and is right at least as often, and is better in one of the two."""
    no_worse = (points[:, 0] <= energy) & (points[:, 1] >= accuracy)
    better = (points[:, 0] < energy) | (points[:, 1] > accuracy)
    return bool((no_worse & better).any())
