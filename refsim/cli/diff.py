"""`refsim diff`: where two networks, two runs, or refsim and another tool part."""

from __future__ import annotations

import click

from refsim.cli.options import HELP, color_option, data_options, json_option, load_weights, weights_option
from refsim.cli.printing import show, show_document
from refsim.cli.tables import use_color
from refsim.engine.modes import MODES
from refsim.exceptions import CheckFailedError


@click.command(context_settings=HELP)
@click.argument("a")
@click.argument("b")
@weights_option
@data_options
@click.option("-T", "--T", "T", type=click.IntRange(1, 1 << 20), help="Time steps. [default: of the recording, or 4]")
@click.option("--neuron", type=click.Choice(["if", "dual", "signed"]), help="[default: as the other side, or the file]")
@click.option("--dtype", type=click.Choice(MODES), help="[default: as the other side, or exact]")
@click.option("--layer", "layers", multiple=True, metavar="N|NAME", help="Only this one; may be repeated.")
@click.option("--explain", is_flag=True, help="Try the usual mistakes on the first layer that differs.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="[default: all cores]")
@json_option
@color_option
def diff(
    a: str,
    b: str,
    weights: str | None,
    data: str | None,
    limit: int | None,
    pad: bool,
    scale: float | None,
    currents: bool,
    resize: int | None,
    crop: int | None,
    T: int | None,
    neuron: str | None,
    dtype: str | None,
    layers: tuple[str, ...],
    explain: bool,
    threads: int | None,
    as_json: bool,
    color: bool | None,
) -> None:
    """Compare A and B, spike by spike: the first layer, step and neuron that differ, and how that spreads.

    Each is a weight file, a recording, a run directory, golden vectors, or another tool's spikes (.npz, .h5, .csv with
    the columns layer, t, neuron, and if there, sign and image). Exits with 4 if anything differs.
    """
    from refsim.cli.diff_text import render
    from refsim.reports.files import as_json as json_of
    from refsim.runs.diff import diff as compare

    report = compare(
        a,
        b,
        images=data,
        weights=None if weights is None else load_weights(weights),
        T=T,
        neuron=neuron,  # type: ignore[arg-type]  # click has checked the choices
        dtype=dtype,  # type: ignore[arg-type]
        layers=layers,
        limit=limit,
        pad=pad,
        scale=scale,
        currents=currents,
        resize=resize,
        crop=crop,
        explain=explain,
        threads=threads,
    )
    if as_json:
        show_document(json_of(report))
    else:
        show(*render(report, explain, use_color(color)), color=color)
    if not report.equal:
        raise CheckFailedError(f"{report.a} and {report.b} differ")
