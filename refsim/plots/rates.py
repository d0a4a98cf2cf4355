"""Firing rates and the share of negative spikes, by layer and time step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from refsim.plots.style import ORDERED, name_ticks

Array = NDArray[Any]


def plot_by_layer_and_step(ax: Axes, shares: Array, names: Sequence[str], label: str) -> None:
    """A map of layers (downwards) and steps (to the right), e.g. of firing rates or shares of negative spikes.

    Parameters
    ----------
    shares : (n_layers, T), in [0, 1]; nan where there is nothing to divide by
    """
    n_layers, T = shares.shape
    highest = float(np.nanmax(shares)) if np.isfinite(shares).any() else 0.0
    image = ax.imshow(
        np.ma.masked_invalid(shares),
        aspect="auto",
        cmap=ORDERED,
        vmin=0,
        vmax=highest or 1,
        extent=(0.5, T + 0.5, n_layers - 0.5, -0.5),
        interpolation="nearest",
    )
    name_ticks(ax, names, "y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.tick_params(left=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_xlabel("time step $t$")
    bar = ax.figure.colorbar(image, ax=ax, format=lambda value, _: f"{100 * value:g} %")
    bar.set_label(label)
    bar.outline.set_visible(False)
