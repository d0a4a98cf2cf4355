"""Reports as figures: what `.plot()` and `--plot` draw."""

from __future__ import annotations

from os import PathLike
from typing import Any, Literal

import numpy as np

from refsim.formats.untrusted.text import clean
from refsim.plots.accuracy import Accuracies, plot_accuracy, plot_ann_line, plot_energy_front
from refsim.plots.errors import plot_counts, plot_error_over_time, plot_spike_counts, plot_split, plot_spread
from refsim.plots.operations import plot_sops
from refsim.plots.rates import plot_by_layer_and_step
from refsim.plots.style import (
    LOOKS,
    few_ticks,
    legend_above,
    letter_panels,
    literal,
    looks_of,
    new_axes,
    new_figure,
    save_figure,
    space_steps,
    styled,
)
from refsim.reports.compare import Comparison
from refsim.reports.costs import layer_costs, layer_rates
from refsim.reports.errors import SHARES, ErrorReport, over_time
from refsim.reports.run import Run, SnnRun, shown_steps

MOST_LETTERS = 20
"""Of a layer's name in a figure."""


def short(name: str) -> str:
    """A layer's name with an ellipsis in its middle, if it is long: often only the ends tell layers apart."""
    name = clean(name, None)
    if len(name) <= MOST_LETTERS:
        return name
    tail = MOST_LETTERS // 2
    return f"{name[: MOST_LETTERS - tail - 1]}\N{HORIZONTAL ELLIPSIS}{name[-tail:]}"


def plot_run(run: Run, ax: Any, x: Literal["t", "energy"]) -> Any:
    """Accuracy against time steps, or against energy per image, the ANN beside it; returns the Axes."""
    runs = {key: each for key, each in run.snn.items() if each.result.n_labelled}
    looks = {key: LOOKS["dual" if each.neuron == "dual" else "if"] for key, each in runs.items()}
    steps = list(range(1, run.T + 1))
    with styled():
        ax = ax if ax is not None else new_axes()
        if x == "energy":
            few = np.array(shown_steps(run.T))
            front = {key: (few, each.energy()[few - 1], each.accuracy[few - 1]) for key, each in runs.items()}
            plot_energy_front(ax, front, looks)
        else:
            bands = {}
            for key, each in runs.items():
                low, high = zip(*(each.interval(t) for t in steps))
                bands[key] = Accuracies(steps, list(each.accuracy), low, high)
            plot_accuracy(ax, bands, looks)
        if run.ann.accuracy is not None:
            plot_ann_line(ax, run.ann.accuracy)
        legend_above(ax)
    return ax


def plot_run_sops(run: SnnRun, ax: Any) -> Any:
    """Synaptic operations per image into every layer, with the literature's estimate beside them; returns the Axes."""
    costs = layer_costs(run)
    with styled():
        ax = ax if ax is not None else new_axes()
        plot_sops(
            ax,
            [short(each.target) for each in costs],
            [float(each.positive.sum()) for each in costs],
            [float(each.negative.sum()) for each in costs],
            [each.estimate for each in costs],
        )
    return ax


def plot_run_rates(run: SnnRun, ax: Any) -> Any:
    """Firing rates by layer and step; returns the Axes."""
    rates = layer_rates(run)
    with styled():
        ax = ax if ax is not None else new_axes()
        shares = np.array([each.rate for each in rates])
        plot_by_layer_and_step(ax, shares, [short(each.name) for each in rates], "firing rate")
    return ax


def plot_comparison(comparison: Comparison, ax: Any, x: Literal["t", "sops"]) -> Any:
    """Accuracy of every method against T, or against synaptic operations per image; returns the Axes."""
    names = [each.method for each in comparison.methods]
    with styled():
        ax = ax if ax is not None else new_axes()
        for each, look in zip(comparison.methods, looks_of(len(names))):
            accuracies = [100 * step.accuracy for step in each.steps]
            places = list(comparison.T) if x == "t" else [step.sop / step.n_images for step in each.steps]
            ax.plot(
                places,
                accuracies,
                color=look.color,
                linestyle=look.linestyle,
                marker=look.marker,
                label=literal(each.method),
            )
        if comparison.ann.accuracy is not None:
            ax.axhline(100 * comparison.ann.accuracy, color=LOOKS["ann"].color, linestyle=":", label="ANN")
        if x == "t":
            space_steps(ax, comparison.T)
        else:
            ax.set_xscale("log")
            few_ticks(ax.xaxis)
        ax.set_xlabel("time steps $T$" if x == "t" else "SOPs per image")
        ax.set_ylabel("accuracy (%)")
        ax.grid(axis="y")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def plot_layer_counts(report: ErrorReport, ax: Any) -> Any:
    """Neurons of every layer that fire too often or too seldom, at the largest T; returns the Axes."""
    with styled():
        ax = ax if ax is not None else new_axes()
        names = [short(layer.name) for layer in report.layers]
        shares = {key: [layer.share(*limits) for layer in report.layers] for key, limits in SHARES.items()}
        plot_counts(ax, names, shares)
        legend_above(ax)
    return ax


def plot_errors_over_time(report: ErrorReport, ax: Any) -> Any:
    """RMS of the error against T, by layer, or by part where there is one layer; returns the Axes."""
    with styled():
        ax = ax if ax is not None else new_axes()
        plot_error_over_time(ax, [step.T for step in report.steps], _over_time(report))
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def _over_time(report: ErrorReport) -> dict[str, list[float]]:
    """`over_time` by names that may be shown; a number in front tells alike ones apart."""
    errors = over_time(report.steps)
    if len(report.layers) == 1:
        return errors
    return {f"{layer.number} {short(layer.name)}": errors[layer.name] for layer in report.layers}


def plot_layers(report: ErrorReport, ax: Any) -> Any:
    """Mean error of every layer at the largest T, its parts stacked; returns the Axes."""
    with styled():
        ax = ax if ax is not None else new_axes()
        _stack(report, ax)
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def _stack(report: ErrorReport, ax: Any) -> None:
    every = [layer.parts for layer in report.layers]
    total = next(key for key in ("total", "local") if all(key in parts for parts in every))
    keys = dict.fromkeys(key for parts in every for key in parts if key != total)
    # A part that a layer does not have is 0: clipping, where its ANN clips too; pool, without max pools.
    means = {key: [parts[key].mean if key in parts else 0.0 for parts in every] for key in keys}
    plot_split(ax, [short(layer.name) for layer in report.layers], means, [parts[total].mean for parts in every])


def save_errors(report: ErrorReport, path: str | PathLike[str]) -> None:
    """Draw the errors at the last T; with several T, also against T; the ending says how: .png, .svg or .pdf."""
    layers, steps = report.layers, report.steps
    names = [short(layer.name) for layer in layers]
    wide = len(layers) > 6
    n_panels = 2 + (len(steps) > 1)
    # Many layers leave no room inside the panels.
    beside: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if wide else {}
    titles = ["error, split", "spike counts", r"error (RMS) against $T$"]
    with styled():
        figure = new_figure(2, 2.3 * (n_panels if wide else 1))
        axes = figure.subplots(*((n_panels, 1) if wide else (1, n_panels)))
        if len(layers) == 1:
            parts = layers[0].parts
            quantiles = [part.quantiles for part in parts.values()]
            plot_spread(
                axes[0],
                list(parts),
                [each[0.05] for each in quantiles],
                [part.mean for part in parts.values()],
                [each[0.95] for each in quantiles],
                [part.rms for part in parts.values()],
            )
            plot_spike_counts(axes[1], layers[0].errors.k)
            titles[0] = f"{literal(names[0])}: error, split"
        else:
            _stack(report, axes[0])
            plot_counts(
                axes[1], names, {key: [layer.share(*limits) for layer in layers] for key, limits in SHARES.items()}
            )
            axes[1].legend(**beside)
        solid = {"loc": "lower right", "frameon": True, "framealpha": 1, "edgecolor": "none"}
        axes[0].legend(**(solid if len(layers) == 1 else beside))
        if len(steps) > 1:
            plot_error_over_time(axes[2], [step.T for step in steps], _over_time(report))
            axes[2].legend(**beside)
        letter_panels(axes, titles)
        kind = "dual threshold" if report.neuron == "dual" else "IF"
        figure.suptitle(
            f"{clean(report.origin.name, 40)}, {kind}, T = {report.T}, {report.origin.n_images} images",
            parse_math=False,
            fontsize=8,
        )
        save_figure(figure, path)
