"""NQ Fig. 2: the residual error g' = phi(T) - a of every layer at T = L, with the Gaussian NQ takes it for.

Claim: g' is close to a Gaussian of mean 0 in every layer, which is why Gaussian noise in training stands for it. Here
phi and a are multiples of lambda / L, so g' has at most 2 L + 1 values; most of it is exactly 0 (peak: share of 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from common import Study, new_figure, options, publish, styled, table

import refsim
from refsim.analysis.residual import Residual, describe_residual, gaussian_shares
from refsim.analysis.statistics import Moments
from refsim.engine.batches import map_batches
from refsim.plots.density import plot_density, plot_residual
from refsim.plots.style import letter_panels, literal


def pairs(study: Study, L: int) -> dict[str, np.ndarray]:
    """How many neurons (all images) have ANN level i and N = j at T = L, for IF: (L + 1, L + 1) by layer."""
    snn = refsim.compile_network(study.neurons(lambda neuron: neuron.as_if()))
    ann = refsim.compile_network(study.network, fold=False)
    counts = {each.name: np.zeros((L + 1) ** 2, dtype=np.int64) for each in study.network.spiking}

    def work(part: np.ndarray) -> dict[str, np.ndarray]:
        x = study.images.data.currents(part)
        trace, exact = refsim.simulate(snn, x, L, ("n",)), refsim.forward(ann, x, record=True)
        found = {}
        for each in study.network.spiking:
            level = np.rint(exact.a[each.name] * L / each.neuron.activation.lambda_).astype(np.int64)
            found[each.name] = np.bincount(
                (level * (L + 1) + trace.populations[each.name].n).ravel(), minlength=(L + 1) ** 2
            )
        return found

    for _, found in map_batches(work, study.images.indices, 8, study.threads):
        for name, each in found.items():
            counts[name] += each
    return {name: each.reshape(L + 1, L + 1) for name, each in counts.items()}


def residuals(counts: np.ndarray, L: int) -> tuple[np.ndarray, np.ndarray, Residual]:
    """Values of g' / lambda, how often each occurs, and the shape of the distribution."""
    k = np.arange(-L, L + 1)
    number = np.array([np.trace(counts, offset=i) for i in k])
    moments = Moments()
    moments.add(np.repeat(k / L, number)[None])
    return k / L, number, describe_residual(moments)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the shape of g' in every layer, draw the last three layers that have any."""
    args = options(__doc__, argv, T=0)
    study = Study.load(args)
    activations = [each.neuron.activation for each in study.network.spiking]
    L = activations[0].L
    if not L or any(each.L != L for each in activations):
        raise SystemExit("needs a network with one and the same L in every layer")
    counts = pairs(study, L)
    print(f"  {study.title}; IF, T = L = {L}; g' in units of lambda")
    rows: list[list[object]] = [["layer", "mean", "std", "skewness", "excess kurtosis", "share of g' = 0"]]
    for name, each in counts.items():
        _, number, shape = residuals(each, L)
        row = [f"{shape.mean:+.5f}", f"{shape.std:.5f}", "-", "-"]
        if shape.std > 0:
            row[2:] = f"{shape.skewness:+.2f}", f"{shape.excess_kurtosis:+.1f}"
        rows.append([name, *row, f"{100 * number[L] / number.sum():.2f} %"])
    table(rows)
    print("  paper: mean 0, Gaussian (excess kurtosis 0, skewness 0)")
    # The first layer has no residual, its input is constant: there is nothing to draw.
    spread = {name: each for name, each in counts.items() if residuals(each, L)[2].std > 0}
    if not spread:
        return
    shown = dict(list(spread.items())[-3:])
    with styled():
        figure = new_figure(2, 2 * 2.1)
        axes = figure.subplots(2, len(shown), squeeze=False)
        for column, each in enumerate(shown.values()):
            values, number, shape = residuals(each, L)
            expected = gaussian_shares(values, shape.mean, shape.std)
            plot_residual(axes[0, column], values, number / number.sum(), expected)
            axes[0, column].set_xlabel(r"residual $g'/\lambda$")
            plot_density(axes[1, column], each, np.arange(L + 1) / L, np.arange(L + 1) / L)
        axes[0, 0].legend(loc="upper center", ncols=2)
        letter_panels(axes.flat, [*(literal(name) for name in shown), *(literal(name) for name in shown)])
        publish(figure, __file__, args.output)


if __name__ == "__main__":
    main()
