"""`refsim report`: everything about one converted network, as one page."""

from __future__ import annotations

from pathlib import Path

import click

from refsim.cli.options import (
    HELP,
    data_options,
    dtype_option,
    effort_options,
    energy_option,
    load_images,
    load_weights,
    steps_option,
    weights_option,
)
from refsim.cli.output import check_folder
from refsim.cli.printing import note
from refsim.cli.progress import bars, note_compilation
from refsim.exceptions import UsageError
from refsim.formats.images.preparation import Preparation
from refsim.runs.interrupt import interruptible


@click.command(context_settings=HELP)
@weights_option
@steps_option("16")
@data_options
@click.option(
    "--neuron",
    type=click.Choice(["if", "dual", "signed", "both", "file"]),
    default="both",
    show_default=True,
    help="signed: dual, theta_neg = -theta (SNM); file: what the file says.",
)
@click.option(
    "--closer",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="Images on which errors are split.",
)
@click.option("--advice", is_flag=True, help="Also compare conversion methods on a few images.")
@dtype_option
@effort_options
@energy_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="report.html",
    show_default=True,
    metavar="FILE",
    help="The page to write.",
)
def report(
    weights: str | None,
    T: tuple[int, ...],
    data: str | None,
    limit: int | None,
    pad: bool,
    scale: float | None,
    currents: bool,
    resize: int | None,
    crop: int | None,
    neuron: str,
    closer: int,
    advice: bool,
    dtype: str,
    threads: int | None,
    batch: int | None,
    quiet: bool,
    energy: str,
    output: Path,
) -> None:
    """Write the report page: what a network is, whether it works, what it costs, where its error comes from.

    One HTML file that loads nothing, for looking at in a browser, printing, and sending to others.
    """
    if output.suffix not in (".html", ".htm"):
        raise UsageError(f"-o {output}: the name must end in .html")
    check_folder("-o", output)
    if len(T) > 1:
        raise UsageError("a report has one T; it shows every t <= T")
    from refsim.reports.page.render import require_templates

    require_templates()  # before minutes of work
    with interruptible() as interrupt:
        file = load_weights(weights)
        preparation = Preparation(pad=pad, scale=scale, currents=currents, resize=resize, crop=crop)
        images = load_images(file, data, limit, preparation, quiet)
        note_compilation(quiet)
        from refsim.runs.report import report as make_page

        page = make_page(
            file,
            images,
            T=T[-1],
            neuron=neuron,  # type: ignore[arg-type]  # click has checked the choices
            dtype=dtype,  # type: ignore[arg-type]
            closer=closer,
            energy=energy,
            advice=advice,
            batch=batch,
            threads=threads,
            progress=bars(quiet, interrupt),
        )
    page.save(output)
    if not quiet:
        note(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB)")
