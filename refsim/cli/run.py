"""`refsim run`: simulate; accuracy at every t <= T, synaptic operations, energy."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
from refsim.cli.tables import columns, count, dim, emphasize, joules, percent, use_color
from refsim.errors import CheckFailedError, UsageError
from refsim.formats.text import clean

SCHEMA = "refsim-run 1"
RECORDED = ("counts", "n", "v", "spikes")
SOP = "one nonzero spike x one existing synapse, borders exact, both signs; behind a pool every spike passes through"


def _record(context: click.Context, option: click.Parameter, value: str | None) -> frozenset[str]:
    chosen = frozenset(value.split(",")) if value else frozenset()
    unknown = sorted(chosen - set(RECORDED))
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(RECORDED)}")
    return chosen


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@weights_option
@steps_option
@data_options
@click.option(
    "--neuron",
    type=click.Choice(["if", "dual", "both"]),
    help="[default: what the file says; both for the network in the package]",
)
@neuron_options
@machine_options
@click.option("--ann/--no-ann", default=True, help="Run the source ANN on the same images.  [default: --ann]")
@click.option("--energy", default="qcfs2022", show_default=True, metavar="NAME|FILE", help="Energy model.")
@click.option("--skip-zero-weights", is_flag=True, help="Do not count synapses of weight 0 (NeuroBench).")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write .json, .csv or .h5.")
@click.option("--record", callback=_record, metavar="WHAT,...", help="For -o FILE.h5: counts, n, v, spikes.")
@click.option("--min-accuracy", type=float, metavar="PERCENT", help="Exit with 4 if accuracy at T is lower.")
@json_option
@color_option
def run(
    weights: str | None,
    T: int,
    data: str | None,
    limit: int | None,
    pad: bool,
    neuron: str | None,
    energy: str,
    output: Path | None,
    record: frozenset[str],
    as_json: bool,
    color: bool | None,
    **options: Any,
) -> None:
    """Simulate a converted network: accuracy at every t <= T, synaptic operations, energy."""
    from refsim.analysis.energy import find_energy_model

    model = find_energy_model(energy)
    path, file = load_weights(weights)
    inputs = load_inputs(path, file, data, limit, pad)
    kinds = _kinds(weights, neuron)
    _check_output(output, record, kinds)
    note_compilation(options["quiet"])
    started = time.perf_counter()
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "refsim": __version__,
        "weights": {"file": clean(str(path), None), "name": file.network.name, "sha256": file.sha256},
        "data": {"source": inputs.source, "images": len(inputs.indices), "sha256": inputs.sha256},
        "T": T,
        "dtype": options["dtype"],
        "definitions": {"sop": SOP, "energy": model.describe(), "interval": "Wilson 95 %"},
        "ann": _ann(file.network, inputs, model, options),
        "runs": [],
    }
    for kind in kinds:
        network = with_options(file.network, kind, *(options[key] for key in ("theta_neg", "theta_neg_mode", "v0")))
        report["runs"].append(_simulate(network, inputs, T, model, output, record, file.sha256, options))
    if not options["quiet"]:
        note(f"{time.perf_counter() - started:.1f} s on {thread_count(options['threads'])} threads")
    if output is not None and output.suffix != ".h5":
        _write(output, report)
    colored = use_color(color) and not as_json
    click.echo(json.dumps(report, indent=2) if as_json else "\n".join(render(report, colored)), color=colored)
    _check_accuracy(report, options["min_accuracy"])


def _kinds(weights: str | None, neuron: str | None) -> tuple[str | None, ...]:
    if neuron == "both" or (neuron is None and weights is None):
        return ("if", "dual")
    return (neuron,)


def _check_output(output: Path | None, record: frozenset[str], kinds: tuple[str | None, ...]) -> None:
    """Refuse before hours of work what could not be written after them."""
    if output is None:
        if record:
            raise UsageError("--record needs -o FILE.h5 to write to")
        return
    if output.suffix not in (".json", ".csv", ".h5"):
        raise UsageError(f"-o {output}: the name must end in .json, .csv or .h5")
    if record and output.suffix != ".h5":
        raise UsageError(f"-o {output}: --record needs a name that ends in .h5")
    if output.suffix == ".h5" and len(kinds) > 1:
        raise UsageError("-o FILE.h5 holds one run; choose --neuron if or --neuron dual")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"-o {output}: there is no folder {output.absolute().parent}")


def _ann(network: Any, inputs: Inputs, model: Any, options: dict[str, Any]) -> dict[str, Any]:
    from refsim.analysis.operations import ann_operations
    from refsim.analysis.statistics import wilson_interval
    from refsim.parallel import run_ann
    from refsim.plan import compile_network

    operations = ann_operations(network)
    facts: dict[str, Any] = {"operations": asdict(operations), "joules": model.ann(operations), "accuracy": None}
    unknown = [
        layer.name for layer in network.spiking if layer.neuron.activation is None or layer.neuron.activation.L == 0
    ]
    if not options["ann"] or not inputs.has_labels:
        return facts
    if unknown:
        note(f"refsim: the ANN is left out: the file does not say L for '{unknown[0]}'; convert again with --L")
        return facts
    plan = compile_network(network, options["dtype"], fold=False)
    n = len(inputs.indices)
    with progress("ANN", n, options["quiet"]) as done:
        correct = run_ann(
            plan,
            inputs.images,
            inputs.indices,
            batch=options["batch"],
            threads=thread_count(options["threads"]),
            on_batch=lambda part, _: done(len(part)),
        )
    return facts | {"correct": correct, "accuracy": correct / n, "interval": wilson_interval(correct, n)}


def _simulate(
    network: Any,
    inputs: Inputs,
    T: int,
    model: Any,
    output: Path | None,
    record: frozenset[str],
    sha256: str,
    options: dict[str, Any],
) -> dict[str, Any]:
    from contextlib import ExitStack

    from refsim.parallel import run_snn
    from refsim.plan import compile_network

    kind = "dual" if any(layer.neuron.dual for layer in network.spiking) else "if"
    plan = compile_network(network, options["dtype"], skip_zero_weights=options["skip_zero_weights"])
    with ExitStack() as stack:
        recorder = None
        if output is not None and output.suffix == ".h5":
            from refsim.recording import Recorder

            recorder = stack.enter_context(
                Recorder(
                    output,
                    T=T,
                    n_images=len(inputs.indices),
                    labels=inputs.images.labels_of(inputs.indices),
                    what=record,
                    attributes={"name": network.name, "neuron": kind, "weights_sha256": sha256},
                )
            )
        done = stack.enter_context(progress("dual" if kind == "dual" else "IF", len(inputs.indices), options["quiet"]))

        def on_batch(part: Any, trace: Any, result: Any) -> None:
            if recorder is not None:
                recorder.write(part, trace, result)
            done(len(part))

        result = run_snn(
            plan,
            inputs.images,
            inputs.indices,
            T,
            batch=options["batch"],
            threads=thread_count(options["threads"]),
            record=record & {"n", "v", "spikes"},
            on_batch=on_batch,
        )
    return summarize(network, result, model, kind, options["dtype"])


def summarize(network: Any, result: Any, model: Any, kind: str, dtype: str) -> dict[str, Any]:
    """Every number of one run that is printed or written, from its `Result`."""
    from refsim.analysis.margin import margins
    from refsim.analysis.operations import snn_operations
    from refsim.analysis.statistics import wilson_interval

    operations = snn_operations(network, result)
    energies = model.snn(operations)
    n = result.n_images
    steps = []
    for t in range(result.T):
        step: dict[str, Any] = {
            "t": t + 1,
            **{key: int(values[t]) for key, values in vars(operations).items() if key != "n_images"},
            "joules_per_image": float(energies[t]),
        }
        if result.n_labelled:
            correct = int(result.correct[t])
            step |= {
                "correct": correct,
                "accuracy": correct / result.n_labelled,
                "interval": wilson_interval(correct, result.n_labelled),
            }
        steps.append(step)
    return {
        "neuron": kind,
        "images": n,
        "steps": steps,
        "layers": [
            {
                "name": each.name,
                "spikes_pos": result.populations[each.name].n_pos.tolist(),
                "spikes_neg": result.populations[each.name].n_neg.tolist(),
                "reached": result.populations[each.name].reached.tolist(),
                "margin": each.positive,
                "margin_neg": each.negative if each.negative != float("inf") else None,
                "rounding_bound": each.bound,
                "certified": each.certified,
            }
            for each in margins(network, result, dtype)
        ],
        "projections": [
            {
                "source": source,
                "target": target,
                **{key: getattr(ops, key).tolist() for key in vars(ops)},
            }
            for (source, target), ops in result.ops.items()
        ],
        "nonzero_first_layer_macs": result.nonzero_macs,
    }


def render(report: dict[str, Any], color: bool) -> list[str]:
    """The report as text for people."""
    lines = []
    for each in report["runs"]:
        lines += [_heading(report, each, color), *_table(report, each), *_margin(each, color), ""]
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


def _margin(each: dict[str, Any], color: bool) -> list[str]:
    layers = each["layers"]
    closest = min(layers, key=lambda layer: min(layer["margin"], layer["margin_neg"] or float("inf")))
    least = min(closest["margin"], closest["margin_neg"] or float("inf"))
    open_ = [layer["name"] for layer in layers if not layer["certified"]]
    if not open_:
        verdict = "every spike is certified independent of summation order"
    else:
        verdict = f"not certified independent of summation order: {', '.join(clean(name) for name in open_)}"
    return [dim(f"  least decision margin {least:.2g} theta ('{clean(closest['name'])}'); {verdict}", color)]


def _first_layer(report: dict[str, Any]) -> str:
    macs = report["runs"][0]["steps"][-1]["first_layer_mac"] // report["runs"][0]["images"]
    return (
        f"analog first layer: {macs:,} MAC per image (existing taps, once: its input is constant), not among the SOPs"
    )


def _write(output: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON, or its steps as CSV."""
    if output.suffix == ".json":
        output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        return
    import csv

    with output.open("w", newline="", encoding="utf-8") as file:
        rows = [{"neuron": each["neuron"], **step} for each in report["runs"] for step in each["steps"]]
        for row in rows:
            if "interval" in row:
                row["low"], row["high"] = row.pop("interval")
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _check_accuracy(report: dict[str, Any], least: float | None) -> None:
    if least is None:
        return
    for each in report["runs"]:
        accuracy = each["steps"][-1].get("accuracy")
        if accuracy is None:
            raise UsageError("--min-accuracy needs labelled images")
        if 100 * accuracy < least:
            raise CheckFailedError(f"accuracy at T={report['T']} is {percent(accuracy)}, below {least} %")
