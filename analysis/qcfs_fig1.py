"""QCFS Fig. 1: transfer curves with the three errors marked, and one neuron that fires right, too much, too little.

Claim: in (b), (c), (d) both sources spike 3 and 2 times in 5 steps, so the ANN says 0.4; the neuron says 0.4, 0.8
and 0.2, for the timing alone (unevenness). Printed beside ours; the dual-threshold neuron of ECL for comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from common import new_figure, options, publish, styled, table

from refsim import Neuron
from refsim.analysis.curves import NeuronTrace, estimated_phi, timed_current, trace_neuron
from refsim.plots.neuron import plot_potential, plot_spikes, stack
from refsim.plots.style import BLACK, BLUE, GREY, YELLOW
from refsim.plots.transfer import Curve, plot_difference, plot_transfer, steps_of

T, WEIGHTS = 5, (2.0, -2.0)
EXAMPLES = {"b": ([1, 3, 5], [2, 4]), "c": ([1, 2, 3], [4, 5]), "d": ([3, 4, 5], [1, 2])}
PAPER = {"b": 0.4, "c": 0.8, "d": 0.2}


def trace(panel: str, theta: float = 1.0, dual: bool = False) -> NeuronTrace:
    """The neuron of one panel: v(0) = 0."""
    neuron = Neuron(theta=np.array(theta), v0=np.array(0.0))
    return trace_neuron(timed_current(EXAMPLES[panel], WEIGHTS, T), neuron.as_dual() if dual else neuron)


def rasters(panel: str, neuron: NeuronTrace) -> np.ndarray:
    """Spikes of both sources and of the neuron, (3, T)."""
    sources = [np.isin(np.arange(1, T + 1), steps) for steps in EXAMPLES[panel]]
    return np.stack([*sources, neuron.s]).astype(int)


def draw(axes: dict) -> None:
    """Panel a: curves; panels b to d: spikes above, potential below."""
    z = np.linspace(-0.5, 1.7, 2201)
    steps = estimated_phi(z, 1.0, T, 0.0)
    clipped = np.clip(z, 0, 1)
    plot_difference(axes["a"], z, clipped, np.maximum(z, 0), "clipping error", YELLOW)
    plot_difference(axes["a"], z, steps, clipped, "quantization error", BLUE)
    curves = [
        Curve(z, clipped, "clipped", GREY, width=3),
        Curve(z, np.maximum(z, 0), "ReLU", BLACK, ":"),
        Curve(*steps_of(z, steps), f"IF, $T$ = {T}", BLUE),
    ]
    plot_transfer(axes["a"], curves, y="output")
    for panel in EXAMPLES:
        found = trace(panel)
        plot_spikes(axes[f"{panel} spikes"], rasters(panel, found), ["weight 2", "weight \N{MINUS SIGN}2", "neuron"])
        plot_potential(axes[panel], found.m, found.v, found.s, 0.0, 1.0)
        stack(axes[f"{panel} spikes"], axes[panel])


def main(argv: Sequence[str] | None = None) -> None:
    """Print paper and ours, draw."""
    args = options(__doc__, argv)
    rows: list[list[object]] = [["panel", "paper", "IF", "spikes", "dual threshold", "spikes"]]
    for panel, printed in PAPER.items():
        plain, dual = trace(panel), trace(panel, dual=True)
        rows.append([f"1{panel}", printed, plain.phi, plain.s.tolist(), dual.phi, dual.s.tolist()])
    table(rows)
    print("  ANN: 2 * 3/5 - 2 * 2/5 = 0.4. The dual threshold mends half of (c), spoils (b), cannot help (d).")
    with styled():
        figure = new_figure(2, 4.4)
        names = [["a", "b spikes"], ["a", "b"], ["c spikes", "d spikes"], ["c", "d"]]
        axes = figure.subplot_mosaic(names, height_ratios=[2, 3, 2, 3])
        draw(axes)
        titles = ["three errors", *(f"$\\phi$ = {trace(p).phi:g}, the ANN: 0.4" for p in EXAMPLES)]
        for letter, name, title in zip("abcd", ("a", "b spikes", "c spikes", "d spikes"), titles):
            axes[name].set_title(f"({letter}) {title}", loc="left")
        publish(figure, __file__, args.output)


if __name__ == "__main__":
    main()
