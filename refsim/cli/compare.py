"""`refsim compare`: conversion methods side by side on one network and one set of images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from refsim.cli.compare_text import as_markdown, as_text
from refsim.cli.options import (
    color_option,
    load_inputs,
    load_weights,
    machine_options,
    note,
    thread_count,
    weights_option,
)
from refsim.cli.progress import note_compilation, progress
from refsim.cli.render import to_json
from refsim.cli.tables import use_color
from refsim.engine.modes import KINDS, QuantisedMode
from refsim.exceptions import UsageError
from refsim.formats.atomic import write_atomically
from refsim.formats.untrusted.text import clean
from refsim.methods.choose_images import choose
from refsim.reports.run import SOP, summarize_ann, unknown_L
from refsim.runs.interrupt import Interrupt, InterruptedRunError, interruptible

SCHEMA = "refsim-compare 1"
ALL = "all"
DTYPES = tuple(mode for mode, kind in KINDS.items() if not isinstance(kind, QuantisedMode))


def _steps(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and 0 < int(part) <= 1 << 16 for part in parts):
        raise click.BadParameter(f"{value!r} is not a list of step numbers such as 1,2,4,8")
    return tuple(sorted({int(part) for part in parts}))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@weights_option
@click.option("--data", metavar="PATH", help="Labelled test images.  [default: the samples in the weight file]")
@click.option("--images", type=click.IntRange(1), metavar="N", help="Test on N of them, evenly strided.")
@click.option("--pad", is_flag=True, help="Pad smaller images with zeros to the network's size.")
@click.option(
    "--methods",
    default=ALL,
    show_default=True,
    metavar="A,B,C|all",
    help="Names, e.g. qcfs,ecl,percentile:99.9,srp:4,opi+dual; --list names them all.",
)
@click.option("--list", "list_", is_flag=True, help="List the methods and stop.")
@click.option("-T", "--T", "T", default="1,2,4,8,16,32", show_default=True, callback=_steps, help="Time steps.")
@click.option(
    "--calibration",
    metavar="DATA",
    help="Calibration images.  [default: the training part of --data, else images that are not tested on]",
)
@click.option("--n-calibrate", type=click.IntRange(1), default=128, show_default=True, help="How many, strided evenly.")
@click.option("--calibrate-on-test", is_flag=True, help="Calibrate on the test images themselves.")
@machine_options
@click.option("--markdown", is_flag=True, help="Tables in Markdown.")
@click.option(
    "--json", "json_", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Also write JSON."
)
@color_option
def compare(**options: Any) -> None:
    """Compare conversion methods: accuracy and synaptic operations of each at several T, on the same images.

    Every method is charged with the steps and operations that it needs besides the T counted steps.
    """
    if options["list_"]:
        click.echo("\n".join(_listing()))
        return
    if options["json_"] is not None and not options["json_"].absolute().parent.is_dir():
        raise UsageError(f"--json {options['json_']}: there is no folder {options['json_'].absolute().parent}")
    with interruptible() as interrupt:
        try:
            report = _compare(options, interrupt)
        except KeyboardInterrupt:
            raise InterruptedRunError("interrupted; nothing was kept") from None
    if options["json_"] is not None:
        write_atomically(options["json_"], to_json(report).encode())
    color = use_color(options["color"]) and not options["markdown"]
    click.echo("\n".join(as_markdown(report) if options["markdown"] else as_text(report, color)), color=color)


def _listing() -> list[str]:
    from refsim.methods.registry import METHODS

    width = max(map(len, METHODS))
    lines = [f"  {name.ljust(width)}  {each.source}: {each.summary}" for name, each in METHODS.items()]
    return [*lines, "  METHOD+dual: a method of IF neurons, with ECL's negative threshold", ""]


def _compare(options: dict[str, Any], interrupt: Interrupt) -> dict[str, Any]:
    from refsim.methods.registry import METHODS, find_method

    if options["dtype"] not in DTYPES:
        raise UsageError(
            f"--dtype {options['dtype']} rounds weights, each method's in another way; choose {', '.join(DTYPES)}"
        )
    asked = options["methods"]
    methods = [find_method(text) for text in dict.fromkeys(METHODS if asked == ALL else asked.split(","))]
    path, file = load_weights(options["weights"])
    network = file.network
    methods, left_out = _applicable(methods, network, strict=asked != ALL)
    inputs = load_inputs(path, file, options["data"], options["images"], options["pad"])
    if not inputs.has_labels:
        raise UsageError(f"{inputs.source}: no labels, so no accuracy to compare methods by")
    chosen = _calibration(options, file, inputs)

    note_compilation(options["quiet"])
    from refsim.analysis.energy import find_energy_model
    from refsim.engine.results import Result
    from refsim.methods.base import Calibration
    from refsim.methods.compare import Arena, compare_method, passes

    threads = thread_count(options["threads"])
    calibration = None
    if chosen is not None:
        calibration = Calibration(network=network, images=chosen.images, indices=chosen.indices, threads=threads)
    arena = Arena(
        images=inputs.images,
        indices=inputs.indices,
        dtype=options["dtype"],
        batch=options["batch"],
        threads=threads,
    )
    result: Result | None = _run_ann(network, arena, options["quiet"], interrupt)
    rows = []
    for method in methods:
        started = time.perf_counter()
        with progress(method.name, passes(method, options["T"]) * len(inputs.indices), options["quiet"]) as done:

            def on_batch(n: int, done: Any = done) -> None:
                done(n)
                interrupt.check()

            outcome = compare_method(method, network, calibration, options["T"], arena, on_batch)
        rows.append(_facts(outcome))
        if not options["quiet"]:
            note(f"{method.name}: {time.perf_counter() - started:.1f} s")
    return {
        "schema": SCHEMA,
        "refsim": _version(),
        "weights": {"file": clean(str(path), None), "name": network.name, "sha256": file.sha256},
        "data": {"source": inputs.source, "images": len(inputs.indices), "sha256": inputs.sha256},
        "calibration": None if chosen is None else chosen.source,
        "T": list(options["T"]),
        "dtype": options["dtype"],
        "definitions": {
            "sop": SOP,
            "charged": "sop, residual and latency include what a method needs besides the T counted steps",
            "interval": "Wilson 95 %",
        },
        "ann": summarize_ann(network, find_energy_model("qcfs2022"), result),
        "methods": rows,
        "left_out": left_out,
    }


def _version() -> str:
    from refsim.version import __version__

    return __version__


def _applicable(methods: list[Any], network: Any, strict: bool) -> tuple[list[Any], dict[str, str]]:
    """The methods that are for this network, and why the others are not; one that was named is refused."""
    kept, left_out = [], {}
    for method in methods:
        try:
            method.check(network)
            kept.append(method)
        except UsageError as error:
            if strict:
                raise
            left_out[method.name] = str(error)
    return kept, left_out


def _calibration(options: dict[str, Any], file: Any, inputs: Any) -> Any:
    """The calibration images; None, with a word about why, where there are none and none were named."""
    try:
        return choose(
            file,
            inputs,
            options["data"],
            options["calibration"],
            options["pad"],
            options["n_calibrate"],
            options["calibrate_on_test"],
        )
    except UsageError as error:
        if options["calibration"] is not None:
            raise
        note(f"refsim: no calibration images: {error}")
        return None


def _run_ann(network: Any, arena: Any, quiet: bool, interrupt: Interrupt) -> Any:
    """How many images the source ANN gets right, as a `Result`; None where its activations are not known."""
    from refsim.engine.batches import run_ann
    from refsim.engine.plan import compile_network
    from refsim.runs.study import ann_result

    unknown = unknown_L(network)
    if unknown is not None:
        note(f"refsim: the ANN is left out: the file does not say L for '{unknown}'; convert again with --L")
        return None
    plan = compile_network(network, arena.dtype, fold=False)
    with progress("ANN", len(arena.indices), quiet) as done:

        def on_batch(part: Any, activations: Any) -> None:
            done(len(part))
            interrupt.check()

        effort = {"batch": arena.batch, "threads": arena.threads, "on_batch": on_batch}
        return ann_result(run_ann(plan, arena.images, arena.indices, **effort), len(arena.indices))


def _facts(outcome: Any) -> dict[str, Any]:
    """One method's numbers, as they are printed and written."""
    from refsim.analysis.statistics import wilson_interval

    n = outcome.n_images
    return {
        "method": outcome.method,
        "source": outcome.source,
        "summary": outcome.summary,
        "thresholds": "; ".join(outcome.origins),
        "extra_steps": outcome.extra_steps,
        "steps": [
            {
                "T": t,
                "latency": t + outcome.extra_steps,
                "correct": int(outcome.correct[i]),
                "accuracy": int(outcome.correct[i]) / n,
                "interval": wilson_interval(int(outcome.correct[i]), n),
                "sop": int(outcome.sop[i]),
                "residual": int(outcome.residual[i]),
                "extra_sop": int(outcome.extra_sop[i]),
            }
            for i, t in enumerate(outcome.T)
        ],
    }
