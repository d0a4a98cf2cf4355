"""QCFS Table S2, ECL Fig. 4, 6 and Table 7: accuracy for every L and T, each L with the network trained for it.

Claims: a small L is better at few steps, a large L in the end (QCFS Sec. 5.3, ECL Sec. 4.4); with T = L the converted
network is close to its ANN. The papers train VGG-16 and ResNet-20 on CIFAR for 300 epochs. Name our networks by -w,
once for each L; `docs/figures.md` has the commands that train them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from common import NEURONS, Study, accuracies, new_figure, options, powers_of_two, publish, source_L, styled, table
from matplotlib import colormaps
from matplotlib.colors import to_hex

from refsim.plots.accuracy import Accuracies, plot_accuracy
from refsim.plots.style import Look, letter_panels

MARKERS = "os^Dv"


def main(argv: Sequence[str] | None = None) -> None:
    """Print accuracies by L and T, draw them."""
    args = options(__doc__, argv, T=32)
    steps = powers_of_two(args.T)
    studies = sorted((Study.load(args, each) for each in args.weights or [None]), key=lambda s: source_L(s.network))
    print(f"  {len(studies[0].images)} images; accuracies in %")
    by_neuron: dict[str, dict[str, Accuracies]] = {label: {} for label in NEURONS}
    rows: list[list[object]] = [["network", "L", "ANN", "neuron", *(f"T={t}" for t in steps)]]
    for study in studies:
        L, ann = source_L(study.network), f"{100 * study.ann():.2f}"
        for label, kind in NEURONS.items():
            found = accuracies(study.run(study.with_neuron(kind), args.T), steps)
            by_neuron[label][f"L = {L}"] = found
            rows.append([study.network.name, L, ann, label, *(f"{100 * a:.2f}" for a in found.accuracy)])
    table(rows)
    shades = [to_hex(each) for each in colormaps["viridis"](np.linspace(0, 0.85, len(studies)))]
    with styled():
        figure = new_figure(2, 2.3)
        axes = figure.subplots(1, 2, sharey=True)
        for ax, found in zip(axes, by_neuron.values()):
            plot_accuracy(
                ax, found, {name: Look(to_hex(shades[i]), "-", MARKERS[i % 5]) for i, name in enumerate(found)}
            )
            ax.label_outer()
        axes[1].legend(loc="lower right")
        letter_panels(axes, list(by_neuron))
        publish(figure, __file__, args.output)


if __name__ == "__main__":
    main()
