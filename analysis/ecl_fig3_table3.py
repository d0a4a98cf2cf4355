"""ECL Fig. 3, 5 and Tables 3, 5: IF against the dual threshold, on the same network and the same images.

Claim: the dual threshold raises accuracy, most at few steps (VGG-16: by 2.35, 1.19, 0.46 points on CIFAR-10 and 8.79,
6.88, 3.17 on CIFAR-100 at T = 2, 4, 8). Those gains compare ECL's networks with numbers copied from QCFS's; here only
the neuron changes. "Only IF", "only dual": images that one of them gets right; p: exact McNemar test of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from common import NEURONS, Study, accuracies, new_figure, options, powers_of_two, publish, styled, table
from scipy.stats import binomtest

import refsim
from refsim.analysis.energy import BUILT_IN
from refsim.analysis.operations import ann_operations, snn_operations
from refsim.plots.accuracy import plot_accuracy, plot_ann_line, plot_energy_front
from refsim.plots.rates import plot_by_layer_and_step
from refsim.plots.style import LOOKS, letter_panels
from refsim.reports.units import joules

CLAIMED = {2: (2.35, 8.79), 4: (1.19, 6.88), 8: (0.46, 3.17)}


def mcnemar(only_one: int, only_other: int) -> float:
    """Two-sided exact probability of a split at least this uneven, if both were equally good."""
    n = only_one + only_other
    return float(binomtest(only_one, n).pvalue) if n else 1.0


def run(study: Study, network: refsim.Network, T: int) -> tuple[refsim.Result, np.ndarray]:
    """The result, and for every t which images are right, (T, n)."""
    right: list[np.ndarray] = []

    def keep(part: Any, trace: refsim.Trace, _: refsim.Result) -> None:
        right.append(refsim.predictions(trace.logits) == study.images.data.labels_of(part))

    return study.run(network, T, on_batch=keep), np.concatenate(right, axis=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the ablation, draw."""
    args = options(__doc__, argv, T=16)
    study = Study.load(args)
    steps, ann = powers_of_two(args.T), study.ann()
    networks = {kind: study.with_neuron(kind) for kind in NEURONS.values()}
    results, right = {}, {}
    for kind, network in networks.items():
        results[kind], right[kind] = run(study, network, args.T)
    print(f"  {study.title}; ANN {100 * ann:.2f} %")
    rows: list[list[object]] = [["T", "IF %", "dual %", "gain", "only IF", "only dual", "p", "ECL C-10", "ECL C-100"]]
    for t in steps:
        plain, dual = right["if"][t - 1], right["dual"][t - 1]
        only = int((plain & ~dual).sum()), int((dual & ~plain).sum())
        gain = 100 * (dual.mean() - plain.mean())
        claimed = [f"+{each}" for each in CLAIMED[t]] if t in CLAIMED else ["", ""]
        row = [t, f"{100 * plain.mean():.2f}", f"{100 * dual.mean():.2f}", f"{gain:+.2f}", *only]
        rows.append([*row, f"{mcnemar(*only):.2g}", *claimed])
    table(rows)
    draw(study, networks, results, ann, steps, args.output)


def draw(study: Study, networks: Any, results: Any, ann: float, steps: list[int], output: str | None) -> None:
    """Accuracy, energy, rates, and the share of negative spikes."""
    model = BUILT_IN["qcfs2022"]
    points = {}
    at = np.array(steps) - 1
    for kind, network in networks.items():
        energy = model.snn(snn_operations(network, results[kind]))
        points[kind] = (steps, energy[at], results[kind].correct[at] / results[kind].n_labelled)
    ann_energy = model.ann(ann_operations(study.network))
    spikes = {kind: list(each.populations.values()) for kind, each in results.items()}
    neurons = [np.prod(study.network.shapes[each.name]) for each in study.network.spiking]
    rates = np.array([each.n_pos / (n * len(study.images)) for each, n in zip(spikes["if"], neurons)])
    with np.errstate(invalid="ignore"):
        negative = np.array([each.n_neg / (each.n_pos + each.n_neg) for each in spikes["dual"]])
    names = [each.name for each in study.network.spiking]
    with styled():
        figure = new_figure(2, 4.2)
        axes = figure.subplots(2, 2)
        plot_accuracy(axes[0, 0], {kind: accuracies(each, steps) for kind, each in results.items()})
        plot_ann_line(axes[0, 0], ann)
        axes[0, 0].legend(loc="lower right")
        plot_energy_front(axes[0, 1], points, LOOKS)
        plot_ann_line(axes[0, 1], ann, f"ANN: {joules(ann_energy)}")
        axes[0, 1].legend(loc="lower right")
        plot_by_layer_and_step(axes[1, 0], rates, names, "spikes per neuron and step")
        plot_by_layer_and_step(axes[1, 1], negative, names, "negative among all spikes")
        titles = [
            "accuracy, 95 % interval",
            "accuracy against energy, by $T$",
            "IF: firing rates",
            "dual: negative spikes",
        ]
        letter_panels(axes.flat, titles)
        publish(figure, __file__, output)


if __name__ == "__main__":
    main()
