"""Figures of reports as they are stored, JSON objects, from one or several files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError, UsageError
from refsim.formats.untrusted.text import clean
from refsim.plots.accuracy import Accuracies, plot_accuracy, plot_ann_line
from refsim.plots.errors import plot_counts, plot_split
from refsim.plots.operations import plot_sops, plot_sops_side_by_side
from refsim.plots.rates import plot_by_layer_and_step
from refsim.plots.style import LOOKS, Look, legend_above, literal, looks_of
from refsim.reports.errors import SHARES
from refsim.reports.figures import short

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One report, as JSON, with the name by which a legend calls it; "" where it is the only one."""

    name: str
    content: Json

    def snns(self, neuron: str | None) -> list[tuple[str, Json]]:
        """The SNNs of a run's report by how a legend calls them, or only those of this kind of neuron."""
        found = []
        for each in self.content["runs"]:
            if neuron in (None, "both", each["neuron"]):
                kind = "dual threshold" if each["neuron"] == "dual" else "IF"
                found.append((f"{self.name} {kind}".strip(), each))
        if not found:
            raise UsageError(f"{self.name or 'the report'}: no {neuron} neurons in it")
        return found


def draw_accuracy(axes: Sequence[Any], reports: Sequence[Stored], neuron: str | None) -> None:
    """Accuracy against T, a line for each SNN of each report, and the ANN's."""
    lines = [line for report in reports for line in report.snns(neuron)]
    if not all("accuracy" in step for _, each in lines for step in each["steps"]):
        raise UsageError("a run without labels has no accuracy to draw")
    bands = {}
    for name, each in lines:
        steps = each["steps"]
        low, high = zip(*(step["interval"] for step in steps))
        bands[literal(clean(name, 40))] = Accuracies(
            [step["t"] for step in steps], [step["accuracy"] for step in steps], low, high
        )
    known = {"IF": "if", "dual threshold": "dual"}
    looks: dict[str, Look] = dict(zip(bands, looks_of(len(bands))))
    if len(reports) == 1:
        looks = {name: LOOKS[known[name]] for name in bands}
    plot_accuracy(axes[0], bands, looks)
    for i, accuracy in enumerate(sorted({report.content["ann"]["accuracy"] for report in reports} - {None})):
        # One entry of the legend for the lines of all networks.
        plot_ann_line(axes[0], accuracy, "_" * (i > 0) + "ANN")
    legend_above(axes[0], 2)


def draw_sops(axes: Sequence[Any], reports: Sequence[Stored], neuron: str | None) -> None:
    """Synaptic operations per image by layer: by sign for one SNN, side by side for several of one network."""
    lines = [line for report in reports for line in report.snns(neuron)]
    by_layer = [_sops(each) for _, each in lines]
    targets = list(by_layer[0])
    if any(list(each) != targets for each in by_layer):
        raise UsageError("these runs are of networks with other layers, which stand in no common rows")
    names = [short(name) for name in targets]
    if len(lines) == 1:
        plot_sops(axes[0], names, *zip(*by_layer[0].values()))
    else:
        totals = {
            literal(clean(name, 40)): [sum(pair) for pair in each.values()] for (name, _), each in zip(lines, by_layer)
        }
        plot_sops_side_by_side(axes[0], names, totals)


def _sops(run: Json) -> dict[str, tuple[float, float]]:
    """Deliveries of either sign, per image and of all steps, by the layer that they reach."""
    found: dict[str, tuple[float, float]] = {}
    for each in run["projections"]:
        pos, neg = (sum(each[f"unit_{sign}"]) / run["images"] for sign in ("pos", "neg"))
        before = found.get(each["target"], (0.0, 0.0))
        found[each["target"]] = before[0] + pos, before[1] + neg
    return found


def draw_rates(axes: Sequence[Any], reports: Sequence[Stored], neuron: str | None) -> None:
    """Firing rates by layer and step, a panel for each SNN."""
    lines = [line for report in reports for line in report.snns(neuron)]
    for ax, (name, each) in zip(axes, lines, strict=True):
        rates: NDArray[np.float64] = np.array([layer["rate"] for layer in each["layers"]], dtype=np.float64)
        plot_by_layer_and_step(ax, rates, [short(layer["name"]) for layer in each["layers"]], "firing rate")
        if len(lines) > 1:
            ax.set_title(clean(name, 40), loc="left", parse_math=False)


def draw_errors(axes: Sequence[Any], reports: Sequence[Stored], neuron: str | None) -> None:
    """Mean errors by layer, their parts stacked, at the largest T; a panel for each report."""
    for ax, report in zip(axes, reports, strict=True):
        layers = report.content["steps"][-1]["layers"]
        parts = [each["against_qcfs"] or each["against_relu"] for each in layers]
        total = next(key for key in ("total", "local") if all(key in each for each in parts))
        shown = ("clipping", "quantization", "unevenness", "pool", "propagated")
        keys = [key for key in shown if any(key in each for each in parts)]
        means = {key: [each[key]["mean"] if key in each else 0.0 for each in parts] for key in keys}
        plot_split(ax, [short(each["name"]) for each in layers], means, [each[total]["mean"] for each in parts])
        _finish(ax, report, len(reports))


def draw_counts(axes: Sequence[Any], reports: Sequence[Stored], neuron: str | None) -> None:
    """Neurons that fire too often or too seldom, by layer, at the largest T; a panel for each report."""
    for ax, report in zip(axes, reports, strict=True):
        layers = report.content["steps"][-1]["layers"]
        shares = {key: [_share(each, *limits) for each in layers] for key, limits in SHARES.items()}
        plot_counts(ax, [short(each["name"]) for each in layers], shares)
        _finish(ax, report, len(reports))


def _share(layer: Json, low: int | None, high: int | None) -> float:
    counts = {int(k): n for k, n in layer["spike_count"]["k"].items()}
    chosen = (n for k, n in counts.items() if (low is None or k >= low) and (high is None or k <= high))
    return float(sum(chosen) / sum(counts.values()))


def _finish(ax: Any, report: Stored, n_panels: int) -> None:
    if n_panels > 1:
        ax.set_title(clean(report.name, 40), loc="right", parse_math=False)
    legend_above(ax)


def n_panels(kind: str, reports: Sequence[Stored], neuron: str | None) -> int:
    """How many panels a figure of this kind has."""
    if kind == "rates":
        return sum(len(report.snns(neuron)) for report in reports)
    return len(reports) if kind in ("errors", "counts") else 1


def check_schema(content: Any, schema: str, where: str) -> Json:
    """The content, if it is a report of this kind.

    Raises
    ------
    FormatError
        It is another thing.
    """
    found = content.get("schema") if isinstance(content, dict) else None
    if found != schema:
        raise FormatError(
            f"{where}: a '{schema}' report is needed, this is {clean(repr(found), 60) if found else 'none'}"
        )
    return content  # type: ignore[no-any-return]
