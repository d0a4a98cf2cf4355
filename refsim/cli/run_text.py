"""The report of a run as text for people."""

from __future__ import annotations

from collections.abc import Sequence

from refsim.cli.printing import dim, emphasize
from refsim.cli.quantised_text import render_rounded
from refsim.cli.tables import columns
from refsim.reports.origin import SOP
from refsim.reports.run import SKIPPED, Interval, Run, SnnRun
from refsim.reports.units import count, joules, percent


def render(run: Run, steps: Sequence[int], color: bool) -> list[str]:
    """The report as text, with a row for each of these steps."""
    lines = []
    for each in run.snn.values():
        lines += [_heading(run, each, color), *_table(run, each, steps), _margin(run, each, color), ""]
    skipped = f"; {SKIPPED}" if run.skip_zero_weights else ""
    for text in (f"SOP = {SOP}{skipped}", run.model.footnote(), _first_layer(run)):
        lines.append(dim(text, color))
    return lines


def _heading(run: Run, each: SnnRun, color: bool) -> str:
    kind = "dual threshold" if each.neuron == "dual" else "IF"
    name = emphasize(run.origin.name, color)
    return (
        f"{name}   {len(each.layers)} spiking layers, {kind}   {run.origin.source}   "
        f"sha256 {run.origin.weights_sha256[:12]}"
    )


def _table(run: Run, each: SnnRun, steps: Sequence[int]) -> list[str]:
    n, operations, energies = each.n_images, each.operations, each.energy()
    has_residual = bool(operations.residual[-1] > 0)
    rows = [["t", "accuracy", "95 % interval", "SOPs/image", "negative", *["shortcuts"] * has_residual, "energy"]]
    for t in steps:
        known = each.result.n_labelled > 0
        rows.append(
            [
                str(t),
                percent(each.accuracy[t - 1]) if known else "-",
                _interval(each.interval(t) if known else None),
                count(operations.sop[t - 1] / n),
                count(each.negative_sops[t - 1] / n),
                *[count(operations.residual[t - 1] / n)] * has_residual,
                joules(energies[t - 1]),
            ]
        )
    ann = run.ann
    accuracy = "-" if ann.accuracy is None else percent(ann.accuracy)
    macs = f"{ann.operations.mac_dense:,} MAC"
    rows.append(["ANN", accuracy, _interval(ann.interval), macs, "", *[""] * has_residual, joules(ann.joules)])
    return columns(rows)


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _margin(run: Run, each: SnnRun, color: bool) -> str:
    if run.rounded is not None:
        return dim(f"  {render_rounded(run.rounded, run.dtype)}", color)
    if not each.margins:
        return dim("  no spikes: the network has no spiking layers", color)
    closest = min(each.margins, key=lambda margin: margin.least)
    open_ = [margin.name for margin in each.margins if not margin.certified]
    if not open_:
        verdict = "every spike is certified independent of summation order"
    else:
        verdict = f"not certified independent of summation order: {', '.join(open_)}"
    recomputed = sum(int(layer.recomputed.sum()) for layer in each.layers.values())
    if recomputed:
        verdict += f"; {recomputed:,} decisions recomputed in float64"
    return dim(f"  least decision margin {closest.least:.2g} theta ('{closest.name}'); {verdict}", color)


def _first_layer(run: Run) -> str:
    first = next(iter(run.snn.values()))
    macs = int(first.operations.first_layer_mac[-1]) // first.n_images
    return (
        f"analog first layer: {macs:,} MAC per image (existing taps, once: its input is constant), not among the SOPs"
    )
