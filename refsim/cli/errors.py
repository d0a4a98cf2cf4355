"""`refsim errors`: where the error of a spiking layer comes from."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

import click

from refsim import __version__
from refsim.cli.options import (
    Inputs,
    color_option,
    data_options,
    json_option,
    load_inputs,
    load_weights,
    machine_options,
    neuron_options,
    note,
    steps_option,
    thread_count,
    weights_option,
    with_options,
)
from refsim.cli.progress import note_compilation, progress
from refsim.cli.tables import columns, dim, emphasize, percent, use_color
from refsim.formats.text import clean

if TYPE_CHECKING:
    from refsim.analysis.layer_errors import LayerErrors
    from refsim.model import Network, Spiking

SCHEMA = "refsim-errors 1"
DEFINITIONS = {
    "clipping": "clip(zbar, 0, theta) - ReLU(zbar), zbar = mean input current over T steps",
    "quantization": "theta level / T - h(zbar), level = clip(N + floor(v(T) / theta), 0, T); against ReLU, where "
    "clipping stands apart, theta level / T - clip(zbar, 0, theta)",
    "unevenness": "theta k / T, k = N - level: spikes too many or too few",
    "propagated": "h(zbar) - h(z), z = the ANN's weighted input: what earlier layers did",
    "total": "phi - h(z), phi = theta N / T; h = ReLU, or QCFS_L as in the source ANN",
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@weights_option
@steps_option
@data_options
@click.option(
    "--layer", "layers", multiple=True, metavar="N|NAME", help="Spiking layer, from 1; may be repeated. [default: all]"
)
@click.option("--neuron", type=click.Choice(["if", "dual"]), help="[default: what the file says]")
@neuron_options
@machine_options
@click.option("--each-step", is_flag=True, help="Also the errors after every t < T; runs again for each of them.")
@click.option("--channels", is_flag=True, help="Means per channel too, in --json.")
@json_option
@color_option
def errors(
    weights: str | None,
    T: int,
    data: str | None,
    limit: int | None,
    pad: bool,
    layers: tuple[str, ...],
    neuron: str | None,
    theta_neg: float | None,
    theta_neg_mode: str | None,
    v0: float | None,
    each_step: bool,
    channels: bool,
    as_json: bool,
    color: bool | None,
    **options: Any,
) -> None:
    """Where the error comes from: clipping, quantization, unevenness, propagated; for one layer or all."""
    path, file = load_weights(weights)
    network = with_options(file.network, neuron, theta_neg, theta_neg_mode, v0)
    chosen = list(dict.fromkeys(network.find_spiking(key) for key in layers)) if layers else list(network.spiking)
    inputs = load_inputs(path, file, data, limit, pad)
    missing = _missing(network)
    if missing and not options["quiet"]:
        note(f"refsim: {missing}")
    note_compilation(options["quiet"])
    started = time.perf_counter()
    steps = []
    for t in range(1 if each_step else T, T + 1):
        found = _measure(network, chosen, inputs, t, not missing, channels, options)
        steps.append({"T": t, "layers": [_facts(network, layer, each) for layer, each in zip(chosen, found)]})
    if not options["quiet"]:
        note(f"{time.perf_counter() - started:.1f} s on {thread_count(options['threads'])} threads")
    report = {
        "schema": SCHEMA,
        "refsim": __version__,
        "weights": {"file": clean(str(path), None), "name": network.name, "sha256": file.sha256},
        "data": {"source": inputs.source, "images": len(inputs.indices), "sha256": inputs.sha256},
        "T": T,
        "dtype": options["dtype"],
        "neuron": "dual" if any(each.neuron.dual for each in network.spiking) else "if",
        "definitions": {**DEFINITIONS, "unit": "theta, of the neuron concerned"},
        "missing": missing,
        "steps": steps,
    }
    lines = json.dumps(report, indent=2) if as_json else "\n".join(render(report, bool(layers), use_color(color)))
    click.echo(lines)


def _missing(network: Network) -> str | None:
    """What cannot be said, because the ANN cannot be run."""
    for layer in network.spiking:
        if layer.neuron.activation is None or layer.neuron.activation.L == 0:
            return (
                f"the error against the ANN and its propagated part are left out: the file does not say L for "
                f"'{clean(layer.name)}', the ANN's quantization steps; convert again with --L"
            )
    return None


def _measure(
    network: Network,
    layers: list[Spiking],
    inputs: Inputs,
    T: int,
    with_ann: bool,
    channels: bool,
    options: dict[str, Any],
) -> list[LayerErrors]:
    from refsim.analysis.layer_errors import ErrorAccumulator
    from refsim.parallel import default_batch, map_batches
    from refsim.plan import compile_network
    from refsim.simulator import forward, simulate

    record = frozenset({"spikes", "v", "current"})
    plan = compile_network(network, options["dtype"])
    ann = compile_network(network, options["dtype"], fold=False) if with_ann else None

    def accumulators() -> list[ErrorAccumulator]:
        return [ErrorAccumulator(network, layer, T, channels) for layer in layers]

    def work(part: Any) -> list[ErrorAccumulator]:
        x = inputs.images.currents(part)
        trace = simulate(plan, x, T, record)
        z = forward(ann, x, record=True).z if ann is not None else {}
        seen = accumulators()
        for each in seen:
            each.add(trace.populations[each.layer.name], z.get(each.layer.name))
        return seen

    total = accumulators()
    # The ANN's potentials and activations stand beside what the SNN records: half as many images at a time.
    batch = options["batch"] or max(1, default_batch(plan, T, record) // 2)
    with progress("errors", len(inputs.indices), options["quiet"]) as done:
        for part, seen in map_batches(work, inputs.indices, batch, thread_count(options["threads"])):
            for ours, theirs in zip(total, seen):
                ours.merge(theirs)
            done(len(part))
    return [each.result() for each in total]


def _facts(network: Network, layer: Spiking, errors: LayerErrors) -> dict[str, Any]:
    activation = layer.neuron.activation
    theta = layer.neuron.theta
    n = errors.n_images * errors.n_neurons
    return {
        "number": network.spiking.index(layer) + 1,
        "name": layer.name,
        "reads": list(layer.inputs),
        "theta": [float(theta.min()), float(theta.max())],
        "L": activation.L if activation is not None else 0,
        "neurons": errors.n_neurons,
        "against_relu": {key: asdict(part) for key, part in errors.against_relu.items()},
        "against_qcfs": {key: asdict(part) for key, part in errors.against_qcfs.items()} or None,
        "spike_count": {
            "exact": errors.fraction(0),
            "plus_1": errors.fraction(1),
            "minus_1": errors.fraction(-1),
            "more": errors.fraction(2, errors.T) + errors.fraction(-2 * errors.T, -2),
            "k": {str(k): count for k, count in errors.k.items()},
        },
        "silent": errors.n_silent / n,
        "never_fire": errors.n_never,
        "saturated": errors.n_saturated / n,
        "always_saturated": errors.n_always,
        "potential": asdict(errors.potential) | {"below_0": errors.n_below / n, "at_least_theta": errors.n_above / n},
        "residual": _finite(asdict(errors.residual)) if errors.residual is not None else None,
        **({"channels": {key: means.tolist() for key, means in errors.channels.items()}} if errors.channels else {}),
    }


def _finite(numbers: dict[str, float]) -> dict[str, float | None]:
    """JSON has no nan: the shape of a residual that has no spread is null."""
    return {key: value if isfinite(value) else None for key, value in numbers.items()}


def render(report: dict[str, Any], detailed: bool, color: bool) -> list[str]:
    """The report as text for people: a table with one line per layer, or a paragraph for each layer asked for."""
    kind = "dual threshold" if report["neuron"] == "dual" else "IF"
    lines = [
        f"{emphasize(clean(report['weights']['name']), color)}   {kind}   mean over "
        f"{report['data']['source']}, in units of theta   sha256 {report['weights']['sha256'][:12]}"
    ]
    for step in report["steps"]:
        if detailed:
            for layer in step["layers"]:
                lines += ["", *_paragraph(layer, step["T"], color)]
        else:
            lines += ["", f"T={step['T']}", *columns([_HEAD, *(_row(layer) for layer in step["layers"])], gap=2)]
    return [*lines, "", *(dim(f"{key} = {text}", color) for key, text in DEFINITIONS.items())]


_HEAD = (
    *("#", "layer", "theta", "clipping", "quantiz.", "uneven.", "against", "quantiz.", "propag.", "total", "RMS"),
    *("exact", "+1", "-1", "|d|>=2"),
)


def _row(layer: dict[str, Any]) -> list[str]:
    relu, count = layer["against_relu"], layer["spike_count"]
    # What the source ANN computes: QCFS_L where it is known, else ReLU, if the ANN was run.
    ann = layer["against_qcfs"] or (relu if "total" in relu else {})
    return [
        str(layer["number"]),
        clean(layer["name"], 24),
        _theta(layer),
        *(_signed(relu[key]["mean"]) for key in ("clipping", "quantization", "unevenness")),
        f"QCFS_{layer['L']}" if layer["against_qcfs"] else "ReLU" if ann else "?",
        *(_signed(ann[key]["mean"]) if ann else "-" for key in ("quantization", "propagated", "total")),
        f"{ann['total']['rms']:.4f}" if ann else "-",
        *(percent(count[key]) for key in ("exact", "plus_1", "minus_1", "more")),
    ]


_PARTS = ("clipping", "quantization", "unevenness", "local", "propagated", "total")


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
