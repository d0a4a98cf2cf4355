"""One neuron's life as text."""

from __future__ import annotations

import numpy as np

from refsim.analysis.life import Arrival, Life, LifeStep
from refsim.cli.printing import dim, emphasize
from refsim.cli.tables import columns
from refsim.reports.trace import NeuronTrace

SPIKES = {1: "+1", 0: "0", -1: "-1"}


def render(report: NeuronTrace, most: int, color: bool) -> list[str]:
    """The report, with the `most` largest arrivals of each step."""
    life = report.life
    at = ",".join(map(str, life.place))
    label = "" if report.label is None else f", class {report.label}"
    head = (
        f"{emphasize(report.origin.name, color)}   {life.layer} {at} (neuron {life.neuron})   "
        f"image {report.image}{label}   {life.dtype}"
    )
    return [head, f"  {_parameters(life)}", "", *_table(life), *_arrivals(life, most, color)]


def _parameters(life: Life) -> str:
    facts = [f"theta {_number(life, life.theta)}", f"v0 {_number(life, life.v0)}"]
    if not np.isneginf(life.theta_neg):
        facts.append(f"theta_neg {_number(life, life.theta_neg)}")
    facts.append(f"bias and image {_number(life, life.steady)} a step")
    return "   ".join(facts + ([] if life.dtype == "float64" else [f"unit {life.unit:.6g}"]))


def _table(life: Life) -> list[str]:
    rows = [["t", "arrivals", "current u", "v before", "m = v + u", "spike", "v after", "margin/theta"]]
    return columns(rows + [_row(life, step) for step in life.steps])


def _row(life: Life, step: LifeStep) -> list[str]:
    numbers = [_number(life, value) for value in (step.u, step.before, step.m)]
    return [
        str(step.t), str(len(step.arrivals)), *numbers, SPIKES[step.s], _number(life, step.after), f"{step.margin:.3g}",
    ]  # fmt: skip


def _arrivals(life: Life, most: int, color: bool) -> list[str]:
    lines = []
    for step in life.steps:
        if not step.arrivals or not most:
            continue
        lines += ["", f"  t = {step.t}"]
        largest = sorted(step.arrivals, key=lambda each: -abs(each.adds))
        shown = sorted(largest[:most], key=lambda each: (each.source, each.place))
        lines += columns([_arrival(life, each) for each in shown], indent=4)
        if len(largest) > most:
            rest = sum(each.adds for each in largest[most:])
            lines.append(dim(f"    and {len(largest) - most} smaller ones: {_number(life, rest)}", color))
    return lines


def _arrival(life: Life, each: Arrival) -> list[str]:
    at = ",".join(map(str, each.place))
    weight = f"weight {_number(life, each.weight)}"
    return [each.source, at, f"{each.count:+d}", weight, f"adds {_number(life, each.adds)}"]


def _number(life: Life, value: float) -> str:
    return f"{value:.9g}" if life.dtype == "float64" else f"{value:.0f}"
