"""`refsim run`: simulate; accuracy at every t <= T, synaptic operations, energy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from refsim.cli.options import (
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
)
from refsim.cli.output import check_output, is_directory
from refsim.cli.progress import note_compilation
from refsim.cli.render import render, to_json, write
from refsim.cli.tables import percent, use_color
from refsim.exceptions import CheckFailedError, UsageError
from refsim.formats.untrusted.text import clean
from refsim.reports.run import build_report, kind_of, summarize, summarize_ann, unknown_L
from refsim.runs.interrupt import Interrupt, interruptible

RECORDED = ("counts", "n", "v", "spikes")


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
    type=click.Choice(["if", "dual", "signed", "both"]),
    help="signed: dual, theta_neg = -theta (SNM).  [default: what the file says; both for the network in the package]",
)
@neuron_options
@machine_options
@click.option("--ann/--no-ann", default=True, help="Run the source ANN on the same images.  [default: --ann]")
@click.option("--energy", default="qcfs2022", show_default=True, metavar="NAME|FILE", help="Energy model.")
@click.option("--skip-zero-weights", is_flag=True, help="Do not count synapses of weight 0 (NeuroBench).")
@click.option(
    "-o", "--output", metavar="NAME", help="Also write .json, .csv or .h5; or keep every batch in a directory .run."
)
@click.option("--resume", is_flag=True, help="Go on with the run in -o NAME.run, if there is one.")
@click.option("--shard", metavar="I/N", help="Only part I of N of the images; `refsim merge` adds the parts up.")
@click.option("--scheduler", metavar="URL|local", help="Run on a dask.distributed cluster, e.g. tcp://host:8786.")
@click.option("--record", callback=_record, metavar="WHAT,...", help="For -o FILE.h5: counts, n, v, spikes.")
@click.option("--min-accuracy", type=float, metavar="PERCENT", help="Exit with 4 if accuracy at T is lower.")
@json_option
@color_option
def run(**options: Any) -> None:
    """Simulate a converted network: accuracy at every t <= T, synaptic operations, energy."""
    # Before Numba is imported and compiles: both run callbacks that would swallow an interrupt.
    with interruptible() as interrupt:
        report = _run(options, interrupt)
    colored = use_color(options["color"]) and not options["as_json"]
    click.echo(to_json(report).rstrip() if options["as_json"] else "\n".join(render(report, colored)), color=colored)
    check_accuracy(report, options["min_accuracy"])


def _run(options: dict[str, Any], interrupt: Interrupt) -> dict[str, Any]:
    from refsim.analysis.energy import find_energy_model
    from refsim.runs.store.spec import Part

    output, record = options["output"], options["record"]
    directory = is_directory(output, resume=options["resume"], shard=options["shard"])
    part = None if options["shard"] is None else Part.parse(options["shard"])
    neuron = options["neuron"] or ("both" if options["weights"] is None else "file")
    check_output(output, directory=directory, record=record, n_runs=2 if neuron == "both" else 1)
    if options["scheduler"] is not None:
        if record or (output is not None and output.endswith(".h5")):
            raise UsageError("a recording is made on one machine; leave out --scheduler or -o FILE.h5")
        from refsim.runs.cluster.connection import require_dask

        require_dask()
    model = find_energy_model(options["energy"])
    path, file = load_weights(options["weights"])
    inputs = load_inputs(path, file, options["data"], options["limit"], options["pad"])
    note_compilation(options["quiet"])
    started = time.perf_counter()

    from refsim.runs.runner import ANN
    from refsim.runs.study import Study, run_in_memory, run_kept

    unknown = unknown_L(file.network)
    ann = options["ann"] and inputs.has_labels
    if ann and unknown is not None:
        note(f"refsim: the ANN is left out: the file does not say L for '{unknown}'; convert again with --L")
    study = Study(
        path=path,
        file=file,
        data=options["data"],
        inputs=inputs,
        T=options["T"],
        neuron=neuron,
        ann=ann and unknown is None,
        options=options,
    )
    data = {"source": inputs.source, "images": len(inputs.indices), "sha256": inputs.sha256}
    if directory or options["scheduler"] is not None:
        kept = Path(output) if directory else None
        results = run_kept(study, kept, part, options["resume"], options["scheduler"], interrupt)
    else:
        results = run_in_memory(study, record, Path(output) if output else None, interrupt)
    if part is not None:
        n_images = next(iter(results.values())).n_images
        data |= {"source": f"part {part} of {inputs.source}", "images": n_images, "shard": str(part)}
    report = build_report(
        network=file.network,
        weights={"file": clean(str(path), None), "name": file.network.name, "sha256": file.sha256},
        data=data,
        T=options["T"],
        dtype=options["dtype"],
        model=model,
        ann=summarize_ann(file.network, model, results.get(ANN)),
        runs=[
            summarize(network, results[name], model, kind_of(network), options["dtype"])
            for name, network in study.networks.items()
            if name != ANN
        ],
    )
    if not options["quiet"]:
        note(f"{time.perf_counter() - started:.1f} s on {thread_count(options['threads'])} threads")
    if directory:
        write(Path(output) / "report.json", report)
    elif output is not None and not output.endswith(".h5"):
        write(Path(output), report)
    return report


def check_accuracy(report: dict[str, Any], least: float | None) -> None:
    """Compare the accuracy at T of every run to the least one that is accepted, in percent.

    Raises
    ------
    CheckFailedError
        It is lower.
    UsageError
        There is no accuracy.
    """
    if least is None:
        return
    for each in report["runs"]:
        accuracy = each["steps"][-1].get("accuracy")
        if accuracy is None:
            raise UsageError("--min-accuracy needs labelled images")
        if 100 * accuracy < least:
            raise CheckFailedError(f"accuracy at T={report['T']} is {percent(accuracy)}, below {least} %")
