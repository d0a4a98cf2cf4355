"""`refsim errors`: where the error of a spiking layer comes from."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refsim.cli.errors_plot import check_plot, draw
from refsim.cli.errors_text import definitions, render
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
from refsim.cli.quantised import describe_quantised
from refsim.cli.tables import use_color
from refsim.formats.untrusted.text import clean
from refsim.version import __version__

if TYPE_CHECKING:
    from refsim.analysis.layer_errors import LayerErrors
    from refsim.model import Network, Spiking

SCHEMA = "refsim-errors 1"


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
@click.option("--plot", callback=check_plot, metavar="FILE", help="Also draw it: .png, .svg or .pdf.")
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
    plot: Path | None,
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
        "quantised": describe_quantised(network, options["dtype"]),
        "neuron": "dual" if any(each.neuron.dual for each in network.spiking) else "if",
        "definitions": {**definitions(steps), "unit": "theta, of the neuron concerned"},
        "missing": missing,
        "steps": steps,
    }
    lines = json.dumps(report, indent=2) if as_json else "\n".join(render(report, bool(layers), use_color(color)))
    click.echo(lines)
    if plot is not None:
        draw(report, plot)


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
    from refsim.engine.batches import default_batch, map_batches
    from refsim.engine.plan import compile_network
    from refsim.engine.simulator import forward, simulate

    record = frozenset({"spikes", "v", "current", "followed"})
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
