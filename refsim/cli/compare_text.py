"""The report of `compare` as text and as Markdown: the ANN first, a row for each method, a column for each T."""

from __future__ import annotations

from refsim.cli.printing import dim, emphasize
from refsim.cli.tables import columns
from refsim.reports.compare import Comparison, MethodReport
from refsim.reports.origin import SOP
from refsim.reports.units import count

Rows = list[list[str]]


def as_text(report: Comparison, color: bool) -> list[str]:
    """Aligned tables."""
    name = emphasize(report.origin.name, color)
    lines = [f"{name}   {report.origin.source}   sha256 {report.origin.weights_sha256[:12]}"]
    lines += ["", "accuracy in %", *columns(_accuracies(report))]
    lines += ["", _sop_title(report), *columns(_sops(report)), ""]
    return [*lines, *(dim(text, color) for text in _notes(report))]


def as_markdown(report: Comparison) -> list[str]:
    """Markdown tables."""
    lines = [f"{_escaped(report.origin.name)}, {_escaped(report.origin.source)}. Accuracy in %:", ""]
    lines += _markdown(_accuracies(report))
    lines += ["", f"{_sop_title(report)}:", "", *_markdown(_sops(report)), ""]
    return [*lines, *(f"- {_escaped(text)}" for text in _notes(report))]


def _accuracies(report: Comparison) -> Rows:
    ann = report.ann
    blank = [""] * (len(report.T) - 1)
    shown = "-" if ann.accuracy is None else _percent(ann.accuracy)
    rows = [_head(report), ["ANN", "", shown, *blank]]
    for each in report.methods:
        rows.append([each.method, _extra(each), *(_percent(step.accuracy) for step in each.steps)])
    return rows


def _sop_title(report: Comparison) -> str:
    return f"SOPs/image{' in millions' if _in_millions(report) else ''}, those of extra steps included"


def _sops(report: Comparison) -> Rows:
    n = report.origin.n_images
    rows = [_head(report)]
    for each in report.methods:
        means = [step.sop / n for step in each.steps]
        cells = [f"{mean / 1e6:,.1f}" if _in_millions(report) else count(mean) for mean in means]
        rows.append([each.method, _extra(each), *cells])
    return rows


def _in_millions(report: Comparison) -> bool:
    n = report.origin.n_images
    return any(step.sop >= 1e8 * n for each in report.methods for step in each.steps)


def _head(report: Comparison) -> list[str]:
    return ["method", "extra steps", *(f"T={t}" for t in report.T)]


def _extra(each: MethodReport) -> str:
    return str(each.extra_steps or "")


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _notes(report: Comparison) -> list[str]:
    calibration = report.calibration or "no images"
    lines = [
        f"calibration: {calibration}",
        f"SOP = {SOP}; the ANN: {report.ann.operations.mac_dense:,} MAC",
        "extra steps: taken for every image besides the T counted ones; the latency is T + extra steps",
    ]
    n = report.origin.n_images
    widest = max(
        (high - low for each in report.methods for step in each.steps for low, high in [step.interval]),
        default=0.0,
    )
    lines.append(f"95 % intervals of {n} images are at most {50 * widest:.1f} points either way")
    return [*lines, *(f"left out: {text}" for text in report.left_out.values())]


def _markdown(rows: Rows) -> list[str]:
    head, *rest = rows
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in (head, rule, *rest)]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
