"""The report of a run as text for people, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from refsim.cli.quantised import render_quantised
from refsim.cli.tables import columns, count, dim, emphasize, joules, percent
from refsim.formats.atomic import write_atomically
from refsim.formats.untrusted.text import clean
from refsim.reports.run import SOP


def render(report: dict[str, Any], color: bool) -> list[str]:
    """The report as text for people."""
    lines = []
    for each in report["runs"]:
        lines += [_heading(report, each, color), *_table(report, each), _margin(report, each, color), ""]
    for text in (f"SOP = {SOP}", *report["definitions"]["energy"], _first_layer(report)):
        lines.append(dim(text, color))
    return lines


def _heading(report: dict[str, Any], each: dict[str, Any], color: bool) -> str:
    kind = "dual threshold" if each["neuron"] == "dual" else "IF"
    name = emphasize(clean(report["weights"]["name"]), color)
    return (
        f"{name}   {len(each['layers'])} spiking layers, {kind}   {report['data']['source']}   "
        f"sha256 {report['weights']['sha256'][:12]}"
    )


def _table(report: dict[str, Any], each: dict[str, Any]) -> list[str]:
    n = each["images"]
    has_residual = each["steps"][-1]["residual"] > 0
    head = ["t", "accuracy", "95 %", "SOPs/image", "of them -", *["shortcut ACs"] * has_residual, "energy"]
    negative = _negative_sops(each)
    rows = [head]
    for step, minus in zip(each["steps"], negative):
        rows.append(
            [
                str(step["t"]),
                *_accuracy(step),
                count(step["sop"] / n),
                count(minus / n),
                *[count(step["residual"] / n)] * has_residual,
                joules(step["joules_per_image"]),
            ]
        )
    ann = report["ann"]
    macs = f"{ann['operations']['mac_dense']:,} MAC"
    rows.append(["ANN", *_accuracy(ann), macs, "", *[""] * has_residual, joules(ann["joules"])])
    return columns(rows)


def _negative_sops(each: dict[str, Any]) -> list[int]:
    total, per_step = 0, []
    for t in range(len(each["steps"])):
        total += sum(projection["unit_neg"][t] for projection in each["projections"])
        per_step.append(total)
    return per_step


def _accuracy(facts: dict[str, Any]) -> tuple[str, str]:
    if facts.get("accuracy") is None:
        return "-", ""
    low, high = facts["interval"]
    return percent(facts["accuracy"]), f"[{100 * low:.1f}, {100 * high:.1f}]"


def _margin(report: dict[str, Any], each: dict[str, Any], color: bool) -> str:
    if report["quantised"] is not None:
        return dim(f"  {render_quantised(report['quantised'], report['dtype'])}", color)
    layers = each["layers"]
    if not layers:
        return dim("  no spikes: the network has no spiking layers", color)
    closest = min(layers, key=_least)
    open_ = [layer["name"] for layer in layers if not layer["certified"]]
    if not open_:
        verdict = "every spike is certified independent of summation order"
    else:
        verdict = f"not certified independent of summation order: {', '.join(clean(name) for name in open_)}"
    recomputed = sum(sum(layer["recomputed"]) for layer in layers)
    if recomputed:
        verdict += f"; {recomputed:,} decisions recomputed in float64"
    return dim(f"  least decision margin {_least(closest):.2g} theta ('{clean(closest['name'])}'); {verdict}", color)


def _least(layer: dict[str, Any]) -> float:
    """The lesser of a layer's margins; one that is None knew no decision."""
    return min(float("inf") if layer[key] is None else layer[key] for key in ("margin", "margin_neg"))


def _first_layer(report: dict[str, Any]) -> str:
    macs = report["runs"][0]["steps"][-1]["first_layer_mac"] // report["runs"][0]["images"]
    return (
        f"analog first layer: {macs:,} MAC per image (existing taps, once: its input is constant), not among the SOPs"
    )


def write(output: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON, or its steps as CSV; the file is complete or not there."""
    text = to_json(report) if output.suffix == ".json" else _to_csv(report)
    write_atomically(output, text.encode())


def to_json(report: dict[str, Any]) -> str:
    """The report as a JSON document."""
    return json.dumps(report, indent=2) + "\n"


def _to_csv(report: dict[str, Any]) -> str:
    rows = [{"neuron": each["neuron"], **step} for each in report["runs"] for step in each["steps"]]
    for row in rows:
        if "interval" in row:
            row["low"], row["high"] = row.pop("interval")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
