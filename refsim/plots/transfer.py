"""Transfer curves: what comes out of an activation or a neuron against what goes in (QCFS Fig. 1a, 2; NQ Fig. 3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from refsim.plots.style import GREY

Array = NDArray[Any]


class Curve(NamedTuple):
    """A curve with its look.

    z, a : (N,), input and output; steps between neighbouring z are drawn as steps
    """

    z: Array
    a: Array
    label: str
    color: str
    linestyle: str = "-"
    width: float = 1.3


def plot_transfer(
    ax: Axes, curves: list[Curve], unit: str = r"\theta", x: str = "mean input", y: str = "output"
) -> None:
    """Draw transfer curves; `unit` is what z and a are divided by, in the notation of the axis labels."""
    for curve in curves:
        ax.plot(
            curve.z,
            curve.a,
            label=curve.label,
            color=curve.color,
            linestyle=curve.linestyle,
            linewidth=curve.width,
            solid_joinstyle="miter",
        )
    ax.set_xlabel(f"{x} / ${unit}$")
    ax.set_ylabel(f"{y} / ${unit}$")
    ax.legend(loc="upper left", borderaxespad=0.2)


def plot_difference(ax: Axes, z: Array, low: Array, high: Array, label: str, color: str, hatch: str = "") -> None:
    """Shade what lies between two curves, an error."""
    ax.fill_between(z, low, high, label=label, facecolor=color, alpha=0.35, hatch=hatch, linewidth=0, edgecolor=color)


def plot_noise_band(ax: Axes, z: Array, a: Array, delta: float) -> None:
    """Shade a - delta .. a + delta, one standard deviation of NQ's training noise (NQ Eq. 13)."""
    ax.fill_between(z, a - delta, a + delta, facecolor=GREY, alpha=0.6, linewidth=0, label=r"$\pm\,\delta$")


def steps_of(z: Array, a: Array) -> tuple[Array, Array]:
    """The same curve with both ends of every jump, so that a jump is drawn upright and not as a slope."""
    jump = np.flatnonzero(np.diff(a) != 0)
    at = (z[jump] + z[jump + 1]) / 2
    places = np.repeat(jump + 1, 2)
    return (
        np.insert(z, places, np.repeat(at, 2)),
        np.insert(a, places, np.column_stack([a[jump], a[jump + 1]]).ravel()),
    )
