"""QCFS Fig. 4 and 5 : accuracy against T, with and without the shift, and for every L there is a net of.

Claims: v(0) = theta / 2 is better than v(0) = 0 at few steps; accuracy grows with T towards the ANN's; a small L is
better at small T. The paper's networks are trained for each L and shift. Ours are those given by -w (repeat it for
several L); without the shift here means v(0) = 0 on the same network, whose ANN keeps its shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from common import Study, accuracies, new_figure, options, powers_of_two, publish, source_L, styled, table

from refsim.plots.accuracy import plot_accuracy, plot_ann_line
from refsim.plots.style import LOOKS, letter_panels, literal

SHIFTS = {r"$v(0) = \theta/2$": 0.5, "$v(0) = 0$": 0.0}


def main(argv: Sequence[str] | None = None) -> None:
    """Print accuracies, draw."""
    args = options(__doc__, argv, T=16)
    steps = powers_of_two(args.T)
    studies = [Study.load(args, each) for each in args.weights or [None]]
    first, ann = studies[0], studies[0].ann()
    print(f"  {first.title}; ANN {100 * ann:.2f} %")
    by_shift = {}
    for name, shift in SHIFTS.items():
        network = first.neurons(lambda neuron, shift=shift: replace(neuron.as_if(), v0=shift * neuron.theta))
        by_shift[name] = accuracies(first.run(network, args.T), steps)
    rows: list[list[object]] = [["IF, accuracy in %", *(f"T={t}" for t in steps)]]
    for name, each in zip(("v(0) = theta/2", "v(0) = 0"), by_shift.values()):
        rows.append([name, *(f"{100 * a:.2f}" for a in each.accuracy)])
    by_net = {}
    for study in studies:
        name = f"L = {source_L(study.network) or '?'}, {study.network.name}"
        by_net[name] = accuracies(study.run(study.neurons(lambda neuron: neuron.as_if()), args.T), steps)
        rows.append([name, *(f"{100 * a:.2f}" for a in by_net[name].accuracy)])
    table(rows)
    with styled():
        figure = new_figure(min(len(studies), 2), 2.3)
        axes = figure.subplots(1, min(len(studies), 2), sharey=True, squeeze=False)[0]
        plot_accuracy(axes[0], by_shift, dict(zip(by_shift, (LOOKS["if"], LOOKS["other"]))))
        if len(studies) > 1:
            looks = [LOOKS[each] for each in ("if", "other", "dual")]
            shown = {literal(name): each for name, each in by_net.items()}
            plot_accuracy(axes[1], shown, {name: looks[i % 3] for i, name in enumerate(shown)})
            letter_panels(axes, [f"initial potential, {literal(first.network.name)}", "networks"])
        plot_ann_line(axes[0], ann)
        for ax in axes:
            ax.legend(loc="lower right")
            ax.label_outer()
        publish(figure, __file__, args.output)


if __name__ == "__main__":
    main()
