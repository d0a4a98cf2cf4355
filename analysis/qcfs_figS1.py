"""QCFS Fig. S1: panel (c) of Fig. 1 again with theta = 2, the max-activation threshold; and all 100 timings.

Claim: a threshold that no input exceeds keeps the potential below it, so no neuron fires too little (Theorem 3). It
does fire too much. The paper prints 0.6 for phi; that is the firing rate 3/5, and phi = theta N / T = 1.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
from common import new_figure, options, publish, styled, table
from qcfs_fig1 import WEIGHTS, T, rasters, trace

from refsim import Neuron
from refsim.analysis.curves import timed_current, trace_neuron
from refsim.plots.neuron import plot_potential, plot_spikes, stack


def all_timings(theta: float, dual: bool) -> Counter[int]:
    """Net spike counts over all ways to time 3 and 2 spikes in 5 steps; 2 / theta is right."""
    neuron = Neuron(theta=np.array(theta), v0=np.array(0.0))
    neuron = neuron.as_dual() if dual else neuron
    timings = product(combinations(range(1, T + 1), 3), combinations(range(1, T + 1), 2))
    return Counter(trace_neuron(timed_current(each, WEIGHTS, T), neuron).n for each in timings)


def main(argv: Sequence[str] | None = None) -> None:
    """Print paper and ours, draw."""
    args = options(__doc__, argv)
    plain, dual = trace("c", theta=2.0), trace("c", theta=2.0, dual=True)
    rows = [["theta = 2", "paper", "IF", "dual threshold"], ["spikes", "3", plain.s.tolist(), dual.s.tolist()]]
    table([*rows, ["rate N / T", 0.6, plain.n / T, dual.n / T], ["phi = theta N / T", "-", plain.phi, dual.phi]])
    print("  the 100 timings of 3 and 2 spikes in 5 steps, by net spike count (the right one has *):")
    rows = [["theta", "neuron", *range(5)]]
    for theta in (1.0, 2.0):
        for kind in ("IF", "dual"):
            counts = all_timings(theta, kind == "dual")
            rows.append([theta, kind, *(f"{counts[n]}{'*' * (n == 2 / theta)}" for n in range(5))])
    table(rows)
    with styled():
        figure = new_figure(2, 2.4)
        axes = figure.subplots(2, 2, height_ratios=[2, 3])
        for column, (name, found) in enumerate({"IF": plain, "dual threshold": dual}.items()):
            above, below = axes[:, column]
            plot_spikes(above, rasters("c", found), ["weight 2", "weight \N{MINUS SIGN}2", "neuron"])
            limit = float(found.neuron.theta_neg)
            plot_potential(below, found.m, found.v, found.s, 0.0, 2.0, limit)
            stack(above, below)
            above.set_title(f"({'ab'[column]}) {name}: $\\phi$ = {found.phi:g}, the ANN: 0.4", loc="left")
        publish(figure, __file__, args.output)


if __name__ == "__main__":
    main()
