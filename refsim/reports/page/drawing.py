"""The figures of the page in which nothing moves, as SVG."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from refsim.plots.density import plot_residual
from refsim.plots.style import new_figure, styled
from refsim.reports.figures import (
    plot_errors_over_time,
    plot_layer_counts,
    plot_layers,
    plot_run,
    plot_run_rates,
    plot_run_sops,
)
from refsim.reports.page.page import Page
from refsim.reports.page.svg import inline_svg
from refsim.reports.residuals import ResidualShares

WIDE = 1.35
"""Columns (`refsim.plots.style.COLUMN`) that a figure is wide: on a phone its letters are still large enough."""


def draw(page: Page) -> dict[str, str]:
    """Every figure by its name; those that have nothing to show are left out."""
    run = page.run
    found: dict[str, str] = {}

    def add(name: str, label: str, height: float, plot: Callable[[Any], object]) -> None:
        with styled():
            figure = new_figure(WIDE, height)
            plot(figure.subplots())
            found[name] = inline_svg(figure, name, label)

    for kind, snn in run.snn.items():
        if not snn.network.spiking:
            continue
        height = 0.9 + 0.2 * len(snn.result.ops)
        add(f"sops-{kind}", "synaptic operations per image, by layer", height, partial(plot_run_sops, snn))
        height = 0.8 + 0.2 * len(snn.network.spiking)
        add(f"rates-{kind}", "firing rate of every layer at every step", height, partial(plot_run_rates, snn))
    if page.answers:
        add("accuracy", "accuracy against time steps, with 95 % intervals", 2.6, partial(plot_run, run, x="t"))
        add("energy", "accuracy against energy per image", 2.6, partial(plot_run, run, x="energy"))
    if page.errors is not None:
        add("split", "mean error of every layer, its parts", 2.8, partial(plot_layers, page.errors))
        label = "neurons that fire too often or too seldom, by layer"
        add("counts", label, 2.8, partial(plot_layer_counts, page.errors))
        if len(page.errors.steps) > 1:
            label = "error (RMS) against the number of steps, by layer"
            add("over-time", label, 3.0, partial(plot_errors_over_time, page.errors))
    for i, each in enumerate(page.residuals):
        found[f"residual-{i}"] = _residual(f"residual-{i}", each)
    return found


def _residual(name: str, each: ResidualShares) -> str:
    with styled():
        figure = new_figure(0.85, 1.9)
        ax = figure.subplots()
        plot_residual(ax, each.values, each.shares, each.expected)
        ax.set_xlabel(r"$(\phi - a)\,/\,\theta$")
        return inline_svg(figure, name, "distribution of the residual, and a Gaussian of the same mean and spread")
