"""QCFS Table S1: theta = lambda (dynamic) against the max-activation rule of Theorem 3, with and without shift.

Claim: the max-activation threshold, theta_l = theta_(l-1) * max_i sum_j max(W_ij, 0), rules out firing too little,
and needs far more steps than theta = lambda. Shift: v(0) = theta / 2; without it v(0) = 0, on the same network.
The first layer reads real numbers and not spikes, so it keeps theta = lambda; the rule leaves out biases, as printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from common import Study, accuracies, new_figure, options, powers_of_two, publish, styled, table

from refsim import Conv2d, Linear, Network, Spiking
from refsim.model import INPUT
from refsim.plots.accuracy import plot_accuracy, plot_ann_line
from refsim.plots.style import LOOKS


def max_activation_thresholds(network: Network) -> dict[str, float]:
    """theta of every spiking layer by Theorem 3's rule; a chain of layers is needed, as in VGG."""
    theta: dict[str, float] = {}
    for layer in network.spiking:
        weighted = network.by_name[layer.inputs[0]]
        if not isinstance(weighted, Conv2d | Linear):
            raise SystemExit(f"layer '{layer.name}' reads '{weighted.name}': the rule is for chains of layers")
        source = weighted.inputs[0]
        # A mean or maximum over a window is no larger than what it is made of.
        while source != INPUT and not isinstance(network.by_name[source], Spiking):
            source = network.by_name[source].inputs[0]
        if source != INPUT:
            positive = np.maximum(weighted.effective_weight(), 0).reshape(len(weighted.weight), -1).sum(axis=1)
            theta[layer.name] = theta[source] * float(positive.max())
        else:
            theta[layer.name] = float(layer.neuron.theta.max())
    return theta


def main(argv: Sequence[str] | None = None) -> None:
    """Print accuracies, draw."""
    args = options(__doc__, argv, T=512, limit=100)
    study = Study.load(args)
    steps, ann = powers_of_two(args.T), study.ann()
    rules = {
        "dynamic": {each.name: each.neuron.theta for each in study.network.spiking},
        "max activation": max_activation_thresholds(study.network),
    }
    print(f"  {study.title}; ANN {100 * ann:.2f} %")
    found = {}
    for rule, theta in rules.items():
        for shift in (0.5, 0.0):
            neurons = {
                each.name: replace(
                    each.neuron.as_if(), theta=np.asarray(theta[each.name]), v0=shift * np.asarray(theta[each.name])
                )
                for each in study.network.spiking
            }
            name = f"{rule}, {'shift' if shift else 'no shift'}"
            found[name] = accuracies(study.run(study.network.with_neurons(neurons), args.T), steps)
    rows: list[list[object]] = [["IF, accuracy in %", *(f"T={t}" for t in steps)]]
    table([*rows, *([name, *(f"{100 * a:.2f}" for a in each.accuracy)] for name, each in found.items())])
    table(
        [
            ["theta", *rules["dynamic"]],
            *([name, *(f"{float(np.max(each)):.4g}" for each in theta.values())] for name, theta in rules.items()),
        ]
    )
    with styled():
        figure = new_figure(1, 2.7)
        ax = figure.subplots()
        looks = [LOOKS["if"], LOOKS["if"]._replace(linestyle=":"), LOOKS["dual"], LOOKS["dual"]._replace(linestyle=":")]
        plot_accuracy(ax, found, dict(zip(found, looks)))
        plot_ann_line(ax, ann)
        ax.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=2)
        publish(figure, __file__, args.output)


if __name__ == "__main__":
    main()
