"""`refsim errors`: where the error of a spiking layer comes from."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click

from refsim.cli.options import (
    HELP,
    color_option,
    data_options,
    dtype_option,
    effort_options,
    json_option,
    load_images,
    load_weights,
    neuron_options,
    steps_option,
    weights_option,
)
from refsim.cli.plot_option import check_plot
from refsim.cli.printing import note, show, show_document
from refsim.cli.progress import bars, note_compilation
from refsim.cli.tables import use_color
from refsim.exceptions import InterruptedRunError
from refsim.formats.images.preparation import Preparation
from refsim.runs.interrupt import interruptible
from refsim.runs.settings import Effort


@click.command(context_settings=HELP)
@weights_option
@steps_option()
@data_options
@click.option(
    "--layer", "layers", multiple=True, metavar="N|NAME", help="Spiking layer, from 1; may be repeated. [default: all]"
)
@click.option("--neuron", type=click.Choice(["if", "dual", "signed"]), help="[default: what the file says]")
@neuron_options
@dtype_option
@effort_options
@click.option("--all-steps", is_flag=True, help="Also the errors after every t < T; each is a run of its own.")
@click.option(
    "--accuracy-if",
    "accuracy_if",
    multiple=True,
    metavar="N|NAME|worst",
    help="Also measure the accuracy if this layer made no error of its own; may be repeated.",
)
@click.option("--channels", is_flag=True, help="Means per channel too, in --json.")
@click.option("--plot", callback=check_plot, metavar="FILE", help="Also draw it: .png, .svg or .pdf.")
@json_option
@color_option
def errors(
    weights: str | None,
    T: tuple[int, ...],
    data: str | None,
    limit: int | None,
    pad: bool,
    scale: float | None,
    currents: bool,
    resize: int | None,
    crop: int | None,
    layers: tuple[str, ...],
    neuron: str | None,
    theta_neg: float | None,
    theta_neg_mode: str | None,
    v0: float | None,
    dtype: str,
    threads: int | None,
    batch: int | None,
    quiet: bool,
    all_steps: bool,
    accuracy_if: tuple[str, ...],
    channels: bool,
    plot: Path | None,
    as_json: bool,
    color: bool | None,
) -> None:
    """Where the error comes from: clipping, quantization, unevenness, propagated; for one layer or all.

    -T 1,2,4 splits it after each of these numbers of steps.
    """
    effort = Effort(batch=batch, threads=threads)
    preparation = Preparation(pad=pad, scale=scale, currents=currents, resize=resize, crop=crop)
    with interruptible() as interrupt:
        file = load_weights(weights)
        for key in (*layers, *(each for each in accuracy_if if each != "worst")):
            file.network.find_spiking(key)
        images = load_images(file, data, limit, preparation, quiet)
        note_compilation(quiet)
        from refsim.cli.errors_text import render
        from refsim.reports.files import as_json as json_of
        from refsim.runs.errors import layer_errors, missing_ann

        missing = missing_ann(file.network)
        if missing and not quiet:
            note(f"refsim: {missing}")
        started = time.perf_counter()
        try:
            report = layer_errors(
                file,
                images,
                layer=layers or None,
                T=range(1, T[-1] + 1) if all_steps else T,
                neuron=neuron or "file",  # type: ignore[arg-type]  # click has checked the choices
                dtype=dtype,  # type: ignore[arg-type]
                theta_neg=theta_neg,
                theta_neg_mode=theta_neg_mode,  # type: ignore[arg-type]
                v0=v0,
                channels=channels,
                batch=effort.batch,
                threads=effort.threads,
                progress=bars(quiet, interrupt),
            )
            measured = tuple(
                report.accuracy_if(None if key == "worst" else key, progress=bars(quiet, interrupt))
                for key in accuracy_if
            )
            report = replace(report, as_ann=measured)
        except KeyboardInterrupt:
            raise InterruptedRunError("interrupted; nothing was kept") from None
    if not quiet:
        note(f"{time.perf_counter() - started:.1f} s on {effort.n_threads} threads")
    if as_json:
        show_document(json_of(report))
    else:
        colored = use_color(color)
        show(*render(report, bool(layers), colored), color=colored)
    if plot is not None:
        from refsim.reports.figures import save_errors

        save_errors(report, plot)
