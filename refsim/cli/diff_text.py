"""A comparison of two simulations as text."""

from __future__ import annotations

from refsim.cli.printing import emphasize
from refsim.cli.tables import columns
from refsim.cli.trace_text import SPIKES
from refsim.formats.untrusted.text import clean
from refsim.reports.diff import Difference
from refsim.reports.units import count


def render(report: Difference, explain: bool, color: bool) -> list[str]:
    """The report: what was compared, the first difference, the table, the explanation."""
    what = "spikes" if report.by_neuron else "numbers of spikes"
    lines = [f"{report.a} (a) and {report.b} (b)   T={report.T}, {report.n_images} images, {what} compared"]
    if report.first is None:
        n = sum(each.n_a for each in report.layers)
        return [*lines, f"  equal: {count(n)} spikes of {len(report.layers)} layers"]
    lines += ["", *_first(report, color), "", *_table(report)]
    return [*lines, "", *_explanation(report)] if explain else lines


def _first(report: Difference, color: bool) -> list[str]:
    first = report.first
    assert first is not None
    where = f"layer '{clean(first.layer)}', t={first.t}, image {first.image}"
    if first.neuron is None:
        return [f"  {emphasize('first difference', color)}: {where}: {first.a:,} spikes in a, {first.b:,} in b"]
    signs = f"{SPIKES[first.a]} in a, {SPIKES[first.b]} in b"
    lines = [f"  {emphasize('first difference', color)}: {where}, neuron {first.neuron}: {signs}"]
    if report.decision is not None:
        each = report.decision
        tie = ": a tie, which another order of summation may decide otherwise" if each.tie else ""
        lines.append(
            f"  refsim has v + u = {each.m:.9g} there, theta = {each.theta:.9g}; margin {each.margin:.3g} theta{tie}"
        )
    return lines


def _table(report: Difference) -> list[str]:
    steps = [str(t) for t in range(1, report.T + 1)][:16]
    rows = [["layer", "spikes a", "spikes b", "differing", *(f"t={t}" for t in steps)]]
    for each in report.layers:
        differing = [count(n) for n in each.differing[: len(steps)].tolist()]
        rows.append([clean(each.layer), count(each.n_a), count(each.n_b), count(int(each.differing.sum())), *differing])
    return columns(rows)


def _explanation(report: Difference) -> list[str]:
    if not report.suspects:
        return ["  no explanation was tried: the network (--weights) and single spikes are needed"]
    best = report.suspects[0]
    lines = [f"  explained ({best.kind}): b {best.what}"] if best.left == 0 else ["  no usual mistake explains it"]
    rows = [["mistake", "left differing", ""]]
    rows += [[each.kind, count(each.left), each.what] for each in report.suspects[:8]]
    return [*lines, *columns(rows)]
