"""What a weight file holds, and how the engine would run it, as text for people."""

from __future__ import annotations

from collections.abc import Sequence

from refsim.cli.tables import columns
from refsim.formats.untrusted.text import clean
from refsim.model import Pair, Shape
from refsim.reports.info import FileReport, LayerInfo, NeuronReport, Range
from refsim.reports.plan import ProjectionReport


def render(report: FileReport) -> list[str]:
    """The report as lines of text."""
    spec = report.input
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (spec.mean, spec.std))
    rows = [
        ("file", report.file),
        ("sha256", report.sha256),
        ("input", f"{_times(spec.shape)} {spec.color}  {spec.dataset}".rstrip()),
        ("", f"x = (raw * {spec.scale:.6g} - mean) / std   mean {mean}   std {std}"),
        ("classes", _classes(report)),
        ("samples", _samples(report)),
        ("MAC", f"{report.macs.dense:,} dense   {report.macs.existing:,} existing taps"),
        *((clean(key, 20), clean(value)) for key, value in report.provenance.items()),
    ]
    width = max(len(key) for key, _ in rows)
    return [
        f"{clean(report.name, 60)}  {len(report.populations)} spiking layers, {report.n_neurons:,} neurons, "
        f"{report.n_parameters:,} parameters",
        *(f"  {key:<{width}}  {value}" for key, value in rows),
        "",
        *_table([_row(layer) for layer in report.layers]),
    ]


def _row(layer: LayerInfo) -> tuple[str, ...]:
    number = "" if layer.population is None else f"{layer.population.number}"
    weights = layer.weights
    macs = ("", "") if weights is None else (f"{weights.macs_dense:,}", f"{weights.macs_existing:,}")
    return number, layer.name, layer.kind, ", ".join(layer.inputs), _times(layer.shape), *macs, _detail(layer)


def _detail(layer: LayerInfo) -> str:
    if layer.population is not None:
        return _neuron(layer.population)
    dtype = "" if layer.weights is None else layer.weights.dtype
    if layer.conv is not None and layer.weights is not None:
        conv = layer.conv
        unusual = _unusual(
            stride=(conv.stride, (1, 1)), padding=(conv.padding, (0, 0)), dilation=(conv.dilation, (1, 1))
        )
        groups = f"  groups {conv.groups}" if conv.groups != 1 else ""
        return f"{_times(layer.weights.weight[2:])}{unusual}{groups}  {dtype}"
    if layer.pool is not None:
        return f"{_times(layer.pool.kernel)}  stride {_times(layer.pool.stride)}"
    if layer.max_pool is not None:
        pool = layer.max_pool
        unusual = _unusual(padding=(pool.padding, (0, 0)), dilation=(pool.dilation, (1, 1)))
        return f"{_times(pool.kernel)}  stride {_times(pool.stride)}{unusual}  {pool.mode}"
    return dtype


def _unusual(**pairs: tuple[Pair, Pair]) -> str:
    """The pairs that differ from what they usually are."""
    return "".join(f"  {key} {_times(value)}" for key, (value, usual) in pairs.items() if value != usual)


def _neuron(each: NeuronReport) -> str:
    text = f"{each.neuron}  theta {_span(each.theta)}  v0 {_span(each.v0)}"
    if each.theta_neg is not None:
        text += f"  theta_neg {_span(each.theta_neg)} ({each.theta_neg_mode}, {each.gate} gate)"
    if each.reset != "subtract":
        text += "  reset to zero"
    if each.strict:
        text += "  fires above theta only"
    if each.leak != 1:
        text += f"  leak {each.leak:.4g}"
    if each.activation is not None:
        shown = {
            "relu": "ReLU",
            "clipped": f"ReLU clipped at {_span(Range.of(each.activation.bound))}",
            "unknown": "L unknown",
        }
        text += f"  {shown.get(each.activation.kind, f'L={each.activation.L}')}"
    return text


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    head = ("#", "layer", "kind", "reads", "shape", "MAC dense", "existing", "")
    rows = [head, *(tuple(clean(cell, 60) for cell in row[:-1]) + row[-1:] for row in rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    right = (0, 5, 6)
    return [
        "  ".join(
            [*(cell.rjust(n) if i in right else cell.ljust(n) for i, (cell, n) in enumerate(zip(row, widths))), row[-1]]
        ).rstrip()
        for row in rows
    ]


def _span(value: Range) -> str:
    if not value.shape:
        return f"{value.min:.4g}"
    return f"{value.min:.4g}..{value.max:.4g} per {'channel' if len(value.shape) == 1 else 'neuron'}"


def _times(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _classes(report: FileReport) -> str:
    names = ", ".join(report.classes)
    return f"{report.n_classes}" + (f"  {clean(names, 90)}" if names else "")


def _samples(report: FileReport) -> str:
    text = f"{report.n_samples} images" if report.n_samples else "none"
    golden = [f"{each.neuron} T={each.T} on {each.images} images" for each in report.golden]
    return f"{text}; expected results: {', '.join(golden)}" if golden else text


def render_plan(plan: Sequence[ProjectionReport]) -> list[str]:
    """The plan as lines of text."""
    rows = [["projection", "reads", "table", "MB", "mode"]]
    for each in plan:
        shared = f", {each.columns} columns" if each.columns > 1 else ""
        pool = f" of {each.pool[0]}x{each.pool[1]} windows" if each.pool else ""
        rows.append(
            [
                f"{clean(each.source, 30)} -> {clean(each.target, 30)}",
                f"{each.reads}{pool}",
                f"{each.tiles} x {each.rows} x {each.tile} {each.dtype}{shared}",
                f"{each.bytes / 2**20:.1f}",
                f"{each.mode}: {_unit(each)}".removesuffix(": "),
            ]
        )
    total = sum(each.bytes for each in plan) / 2**20
    table = (
        "tile by tile, tables of tiles x rows x lanes; a row is one synapse of each lane's neuron, columns are "
        "positions that share a tile"
    )
    return [*columns(rows), f"{total:.1f} MB of weight tables: {table}"]


def _unit(each: ProjectionReport) -> str:
    if each.bits is None:
        return each.reason
    least, most = each.bits
    return f"theta / 2^{least}" if least == most else f"theta / 2^{least}..{most}"
