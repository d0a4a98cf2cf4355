"""The report of `refsim errors` as text for people, and the definitions of its words."""

from __future__ import annotations

from typing import Any

from refsim.cli.quantised import render_quantised
from refsim.cli.tables import columns, dim, emphasize, percent
from refsim.formats.untrusted.text import clean

DEFINITIONS = {
    "clipping": "clip(zbar, 0, theta) - ReLU(zbar), zbar = mean input current over T steps",
    "quantization": "theta level / T - h(zbar), level = clip(N + floor(v(T) / theta), 0, T); against ReLU, where "
    "clipping stands apart, theta level / T - clip(zbar, 0, theta)",
    "unevenness": "theta k / T, k = N - level: spikes too many or too few",
    "propagated": "h(zbar) - h(z), z = the ANN's weighted input: what earlier layers did",
    "total": "phi - h(z), phi = theta N / T; h = ReLU, or QCFS_L as in the source ANN",
}

POOL = {
    "pool": "h(zbar) - h(zbar*), zbar* = zbar if the max pools before it had followed the maximum; behind them "
    "propagated is h(zbar*) - h(z)",
}


def definitions(steps: list[dict[str, Any]]) -> dict[str, str]:
    """The words that a report with these steps uses."""
    return DEFINITIONS | POOL if _has_pool(steps) else DEFINITIONS


def _has_pool(steps: list[dict[str, Any]]) -> bool:
    return any("pool" in layer["against_relu"] for step in steps for layer in step["layers"])


def render(report: dict[str, Any], detailed: bool, color: bool) -> list[str]:
    """The report as text for people: a table with one line per layer, or a paragraph for each layer asked for."""
    kind = "dual threshold" if report["neuron"] == "dual" else "IF"
    lines = [
        f"{emphasize(clean(report['weights']['name']), color)}   {kind}   mean over "
        f"{report['data']['source']}, in units of theta   sha256 {report['weights']['sha256'][:12]}"
    ]
    if report["quantised"] is not None:
        lines.append(dim(render_quantised(report["quantised"], report["dtype"]), color))
    for step in report["steps"]:
        if detailed:
            for layer in step["layers"]:
                lines += ["", *_paragraph(layer, step["T"], color)]
        else:
            pool = _has_pool([step])
            rows = [_head(pool), *(_row(layer, pool) for layer in step["layers"])]
            lines += ["", f"T={step['T']}", *columns(rows, gap=2)]
    words = definitions(report["steps"])
    return [*lines, "", *(dim(f"{key} = {text}", color) for key, text in words.items())]


def _head(pool: bool) -> tuple[str, ...]:
    return (
        *("#", "layer", "theta", "clipping", "quantiz.", "uneven.", "against", "quantiz.", *(["pool"] * pool)),
        *("propag.", "total", "RMS", "exact", "+1", "-1", "|d|>=2"),
    )


def _row(layer: dict[str, Any], pool: bool) -> list[str]:
    relu, count = layer["against_relu"], layer["spike_count"]
    # What the source ANN computes: QCFS_L where it is known, else ReLU, if the ANN was run.
    ann = layer["against_qcfs"] or (relu if "total" in relu else {})
    return [
        str(layer["number"]),
        clean(layer["name"], 24),
        _theta(layer),
        *(_signed(relu[key]["mean"]) for key in ("clipping", "quantization", "unevenness")),
        f"QCFS_{layer['L']}" if layer["against_qcfs"] else "ReLU" if ann else "?",
        *(
            _signed(ann[key]["mean"]) if key in ann else "-"
            for key in ("quantization", *(["pool"] * pool), "propagated", "total")
        ),
        f"{ann['total']['rms']:.4f}" if ann else "-",
        *(percent(count[key]) for key in ("exact", "plus_1", "minus_1", "more")),
    ]


_PARTS = ("clipping", "quantization", "unevenness", "local", "pool", "propagated", "total")


def _paragraph(layer: dict[str, Any], T: int, color: bool) -> list[str]:
    L = {None: "ReLU", 0: "L unknown"}.get(layer["L"], f"L={layer['L']}")
    name = emphasize(f"layer {layer['number']} '{clean(layer['name'])}'", color)
    after = ", ".join(clean(each) for each in layer["reads"])
    rows: list[list[str]] = []
    for title, parts in (
        ("against ReLU", layer["against_relu"]),
        (f"against QCFS_{layer['L']}", layer["against_qcfs"]),
    ):
        if parts:
            rows.append([title, "mean", "RMS", "5 %", "median", "95 %"])
            rows += [[f"  {key}", *_spread(parts[key])] for key in _PARTS if key in parts]
    width = max(len(row[0]) for row in rows)
    table = columns([[row[0].ljust(width), *row[1:]] for row in rows])
    count, potential, residual = layer["spike_count"], layer["potential"], layer["residual"]
    lines = [
        f"{name} after {after}   theta {_theta(layer)}   T={T} {L}   {layer['neurons']:,} neurons",
        *table,
        f"  spike count vs expected:  exact {percent(count['exact'])}   +1 {percent(count['plus_1'])}   "
        f"-1 {percent(count['minus_1'])}   |d|>=2 {percent(count['more'])}",
        f"  silent {percent(layer['silent'])} ({layer['never_fire']:,} neurons in every image)   "
        f"saturated {percent(layer['saturated'])} ({layer['always_saturated']:,} in every image)",
        f"  v(T)/theta: mean {_signed(potential['mean'])}   below 0 {percent(potential['below_0'])}   "
        f"1 or more {percent(potential['at_least_theta'])}",
    ]
    if residual is not None:
        shape = "no spread"
        if residual["skewness"] is not None:
            shape = f"skewness {residual['skewness']:+.2f}   excess kurtosis {residual['excess_kurtosis']:+.2f}"
        lines.append(f"  g' = phi - a: mean {residual['mean']:+.4g}   std {residual['std']:.4g} (NQ's delta)   {shape}")
    return lines


def _spread(part: dict[str, Any]) -> list[str]:
    quantiles = part["quantiles"]
    return [_signed(part["mean"]), f"{part['rms']:.4f}", *(_signed(quantiles[q]) for q in (0.05, 0.5, 0.95))]


def _theta(layer: dict[str, Any]) -> str:
    low, high = layer["theta"]
    return f"{low:.3g}" if low == high else f"{low:.3g}..{high:.3g}"


def _signed(value: float) -> str:
    # A rounded -0.0000 would look like a statement.
    return f"{value:+.4f}" if abs(value) >= 5e-5 else "0" if value == 0 else "~0"
