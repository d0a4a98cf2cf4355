"""ANN activation against the SNN's phi(T), neuron by neuron, as a density; and residual histograms (NQ Fig. 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from numpy.typing import NDArray

from refsim.plots.style import BLACK, BLUE, GREY, ORDERED, RED

Array = NDArray[Any]


def plot_density(ax: Axes, counts: Array, a: Array, phi: Array) -> None:
    """How many neurons (times images) have which pair of values; both are discrete, so each pair is one cell.

    Parameters
    ----------
    counts : (len(a), len(phi))
    a, phi
        Values in units of lambda and theta, rising. On the diagonal the SNN says what the ANN says.
    """
    image = ax.pcolormesh(
        _edges(a),
        _edges(phi),
        np.ma.masked_equal(counts.T, 0),
        norm=LogNorm(vmin=1, vmax=max(2, counts.max())),
        cmap=ORDERED,
        edgecolors="white",
        linewidth=0.3,
    )
    ax.plot([a[0], a[-1]], [a[0], a[-1]], color=RED, linewidth=0.8, linestyle="--")
    ax.set_aspect("equal")
    if len(a) <= 9:
        ax.set_xticks(a)
    if len(phi) <= 9:
        ax.set_yticks(phi)
    ax.set_xlabel(r"ANN activation $a/\lambda$")
    ax.set_ylabel(r"SNN $\phi(T)/\theta$")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8)
    bar.set_label("neurons, all images")
    bar.outline.set_visible(False)


def plot_residual(ax: Axes, values: Array, share: Array, expected: Array | None) -> None:
    """Histogram of a residual that lives on an even grid, and what a Gaussian of the same mean and spread would give.

    Parameters
    ----------
    values, share, expected : (N,), grid values, the measured share of each, and the Gaussian's; None: no spread
    """
    ax.bar(values, share, width=0.8 * (values[1] - values[0]), color=GREY, edgecolor=BLACK, label="measured")
    if expected is not None:
        ax.plot(values, expected, color=BLUE, marker="o", linestyle="", label="Gaussian")
    ax.set_yscale("log")
    # Room for the legend above the bars; what the Gaussian expects less than once is not shown.
    least = share[share > 0].min()
    ax.set_yticks([10.0**i for i in range(int(np.floor(np.log10(least))), 1)])
    ax.set_ylim(0.3 * least, 60)
    ax.minorticks_off()
    ax.set_ylabel("share of neurons")


def _edges(centers: Array) -> Array:
    middle = (centers[1:] + centers[:-1]) / 2
    return np.concatenate([[2 * centers[0] - middle[0]], middle, [2 * centers[-1] - middle[-1]]])
