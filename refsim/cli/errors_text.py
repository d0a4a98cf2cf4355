"""The report of `refsim errors` as text for people."""

from __future__ import annotations

from math import isfinite

from refsim.analysis.layer_errors import Summary
from refsim.cli.printing import dim, emphasize
from refsim.cli.quantised_text import render_rounded
from refsim.cli.tables import columns
from refsim.formats.untrusted.text import clean
from refsim.reports.accuracy_if import AS_ANN
from refsim.reports.errors import ErrorReport, LayerReport
from refsim.reports.units import percent


def render(report: ErrorReport, detailed: bool, color: bool) -> list[str]:
    """The report as text for people: a table with one line per layer, or a paragraph for each layer asked for."""
    kind = "dual threshold" if report.neuron == "dual" else "IF"
    lines = [
        f"{emphasize(report.origin.name, color)}   {kind}   mean over "
        f"{report.origin.source}, in units of theta   sha256 {report.origin.weights_sha256[:12]}"
    ]
    if report.rounded is not None:
        lines.append(dim(render_rounded(report.rounded, report.dtype), color))
    for step in report.steps:
        if detailed:
            for layer in step.layers:
                lines += ["", *_paragraph(layer, step.T, color)]
        else:
            rows = [_head(step.has_pool), *(_row(layer, step.has_pool) for layer in step.layers)]
            lines += ["", f"T={step.T}", *columns(rows, gap=2, keys=2)]
    lines += ["", emphasize(report.verdict, color)]
    for each in report.as_ann:
        lines.append(
            f"if layer {each.number} '{clean(each.layer, 40)}' made no error of its own: {each.before} -> {each.after} "
            f"of {each.n_images} images correct ({each.gain:+.1f} points)"
        )
    if report.as_ann:
        lines.append(dim(f"no error of its own = {AS_ANN}", color))
    return [*lines, "", *(dim(f"{key} = {text}", color) for key, text in report.definitions.items())]


def _head(pool: bool) -> list[str]:
    return [
        *("#", "layer", "theta", "clipping", "quantization", "unevenness", "against", "quantization"),
        *(["pool"] * pool),
        *("propagated", "total", "RMS", "exact", "1 more", "1 less", "2 or more off"),
    ]


def _row(layer: LayerReport, pool: bool) -> list[str]:
    relu, qcfs, count = layer.errors.against_relu, layer.errors.against_qcfs, layer.spike_count
    # What the source ANN computes: QCFS_L where it is known, else ReLU, if the ANN was run.
    ann = qcfs or (relu if "total" in relu else {})
    return [
        str(layer.number),
        clean(layer.name, 24),
        _theta(layer),
        *(_signed(relu[key].mean) for key in ("clipping", "quantization", "unevenness")),
        _bounded(layer) if qcfs else "ReLU" if ann else "?",
        *(
            _signed(ann[key].mean) if key in ann else "-"
            for key in ("quantization", *(["pool"] * pool), "propagated", "total")
        ),
        f"{ann['total'].rms:.4f}" if ann else "-",
        *(percent(count[key]) for key in ("exact", "plus_1", "minus_1", "more")),
    ]


_PARTS = ("clipping", "quantization", "unevenness", "local", "pool", "propagated", "total")


def _paragraph(layer: LayerReport, T: int, color: bool) -> list[str]:
    errors = layer.errors
    L = _bounded(layer) if layer.clipped else {None: "ReLU", 0: "L unknown"}.get(layer.L, f"L={layer.L}")
    name = emphasize(f"layer {layer.number} '{layer.name}'", color)
    after = ", ".join(layer.reads)
    rows: list[list[str]] = []
    for title, parts in (("against ReLU", errors.against_relu), (f"against {_bounded(layer)}", errors.against_qcfs)):
        if parts:
            rows.append([title, "mean", "RMS", "5 %", "median", "95 %"])
            rows += [[f"  {key}", *_spread(parts[key])] for key in _PARTS if key in parts]
    width = max(len(row[0]) for row in rows)
    table = columns([[row[0].ljust(width), *row[1:]] for row in rows])
    n = errors.n_images * errors.n_neurons
    count, residual = layer.spike_count, layer.residual
    lines = [
        f"{name} after {after}   theta {_theta(layer)}   T={T} {L}   {errors.n_neurons:,} neurons",
        *table,
        f"  spike count vs expected:  exact {percent(count['exact'])}   1 more {percent(count['plus_1'])}   "
        f"1 less {percent(count['minus_1'])}   2 or more off {percent(count['more'])}",
        f"  silent {percent(errors.n_silent / n)} ({errors.n_never:,} neurons in every image)   "
        f"saturated {percent(errors.n_saturated / n)} ({errors.n_always:,} in every image)",
        f"  v(T)/theta: mean {_signed(errors.potential.mean)}   below 0 {percent(errors.n_below / n)}   "
        f"1 or more {percent(errors.n_above / n)}",
    ]
    if residual is not None:
        shape = "no spread"
        if isfinite(residual.skewness):
            shape = f"skewness {residual.skewness:+.2f}   excess kurtosis {residual.excess_kurtosis:+.2f}"
        lines.append(f"  g' = phi - a: mean {residual.mean:+.4g}   std {residual.std:.4g} (NQ's delta)   {shape}")
    return lines


def _bounded(layer: LayerReport) -> str:
    """The ANN's activation, if it has a bound."""
    return "clip" if layer.clipped else f"QCFS_{layer.L}"


def _spread(part: Summary) -> list[str]:
    return [_signed(part.mean), f"{part.rms:.4f}", *(_signed(part.quantiles[q]) for q in (0.05, 0.5, 0.95))]


def _theta(layer: LayerReport) -> str:
    low, high = layer.theta
    return f"{low:.3g}" if low == high else f"{low:.3g}..{high:.3g}"


def _signed(value: float) -> str:
    # A rounded -0.0000 would look like a statement.
    return f"{value:+.4f}" if abs(value) >= 5e-5 else "0" if value == 0 else "~0"
