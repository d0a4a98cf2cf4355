"""ECL Fig. 2: IF and dual-threshold neurons on the three inputs of Fig. 1, which ECL shares with QCFS.

Claim: the negative threshold takes spikes back that were fired too early. It does so at one spike per step, and only
while more positive than negative spikes were fired: it halves the error of (c), makes one in (b), and leaves (d).
"""

from __future__ import annotations

from collections.abc import Sequence

from common import new_figure, options, publish, styled, table
from qcfs_fig1 import EXAMPLES, rasters, trace

from refsim.plots.neuron import plot_potential, plot_spikes, stack


def main(argv: Sequence[str] | None = None) -> None:
    """Print both neurons, draw the dual one."""
    args = options(__doc__, argv)
    rows: list[list[object]] = [["input", "ANN", "IF", "dual", "dual's spikes", "v(T)"]]
    found = {panel: trace(panel, dual=True) for panel in EXAMPLES}
    rows += [[f"1{p}", 0.4, trace(p).phi, each.phi, each.s.tolist(), each.v[-1]] for p, each in found.items()]
    table(rows)
    with styled():
        figure = new_figure(2, 2.6)
        axes = figure.subplots(2, 3, height_ratios=[2, 3])
        for column, (panel, each) in enumerate(found.items()):
            above, below = axes[:, column]
            plot_spikes(above, rasters(panel, each), ["w = 2", "w = \N{MINUS SIGN}2", "neuron"])
            plot_potential(below, each.m, each.v, each.s, 0.0, 1.0, float(each.neuron.theta_neg))
            stack(above, below)
            if column:
                below.set_ylabel("")
            above.set_title(f"({panel}) $\\phi$ = {each.phi:g}, IF: {trace(panel).phi:g}", loc="left")
        publish(figure, __file__, args.output)


if __name__ == "__main__":
    main()
