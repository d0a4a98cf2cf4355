"""Reports as figures: what `.plot()` and `--plot` draw."""

from __future__ import annotations

from os import PathLike
from typing import Any, Literal

import numpy as np

from refsim.formats.untrusted.text import clean
from refsim.plots.accuracy import Accuracies, plot_accuracy, plot_ann_line, plot_energy_front
from refsim.plots.errors import plot_counts, plot_error_over_time, plot_spike_counts, plot_split, plot_spread
from refsim.plots.style import LOOKS, letter_panels, literal, looks_of, new_axes, new_figure, save_figure, styled
from refsim.reports.compare import Comparison
from refsim.reports.errors import SHARES, ErrorReport, over_time
from refsim.reports.run import Run


def plot_run(run: Run, ax: Any, x: Literal["t", "energy"]) -> Any:
    """Accuracy against time steps, or against energy per image, the ANN beside it; returns the Axes."""
    runs = {key: each for key, each in run.snn.items() if each.result.n_labelled}
    looks = {key: LOOKS["dual" if each.neuron == "dual" else "if"] for key, each in runs.items()}
    steps = list(range(1, run.T + 1))
    with styled():
        ax = ax if ax is not None else new_axes()
        if x == "energy":
            front = {key: (np.array(steps), each.energy(), each.accuracy) for key, each in runs.items()}
            plot_energy_front(ax, front, looks)
        else:
            bands = {}
            for key, each in runs.items():
                low, high = zip(*(each.interval(t) for t in steps))
                bands[key] = Accuracies(steps, list(each.accuracy), low, high)
            plot_accuracy(ax, bands, looks)
        if run.ann.accuracy is not None:
            plot_ann_line(ax, run.ann.accuracy)
        ax.legend()
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
        ax.set_xscale("log", base=2 if x == "t" else 10)
        ax.set_xlabel("time steps $T$" if x == "t" else "SOPs per image")
        ax.set_ylabel("accuracy (%)")
        ax.grid(axis="y")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


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
    plot_split(ax, [clean(layer.name, 24) for layer in report.layers], means, [parts[total].mean for parts in every])


def save_errors(report: ErrorReport, path: str | PathLike[str]) -> None:
    """Draw the errors at the last T; with several T, also against T; the ending says how: .png, .svg or .pdf."""
    layers, steps = report.layers, report.steps
    names = [clean(layer.name, 24) for layer in layers]
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
            plot_error_over_time(axes[2], [step.T for step in steps], over_time(steps))
            axes[2].legend(**beside)
        letter_panels(axes, titles)
        kind = "dual threshold" if report.neuron == "dual" else "IF"
        figure.suptitle(
            f"{clean(report.origin.name, 40)}, {kind}, T = {report.T}, {report.origin.n_images} images",
            parse_math=False,
            fontsize=8,
        )
        save_figure(figure, path)
