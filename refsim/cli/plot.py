"""`refsim plot`: one figure, as a paper prints it."""

from __future__ import annotations

import re
from pathlib import Path

import click

from refsim.cli.options import HELP, quiet_option
from refsim.cli.plot_option import check_plot
from refsim.cli.progress import bars, note_compilation
from refsim.exceptions import UsageError
from refsim.runs.interrupt import interruptible

KINDS = ("accuracy", "sops", "rates", "errors", "counts", "raster", "residuals")
"""Written out, because asking `refsim.runs.figure` would import Numba for `refsim plot --help`; a test compares."""

INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72}


class Length(click.ParamType[float]):
    """A length such as 3.25in, 8.5cm, 85mm or 240pt; in inches."""

    name = "length"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The inches that a text says."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(in|cm|mm|pt)", value)
        inches = float(match[1]) * INCHES[match[2]] if match else 0.0
        if not 0.5 <= inches <= 40:
            self.fail(f"{value!r} is not a length from 0.5in to 40in, such as 3.25in, 8.5cm or 240pt", param, ctx)
        return inches


@click.command(context_settings=HELP)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("sources", nargs=-1, metavar="[RUN|REPORT.json|WEIGHTS]...")
@click.option("-o", "--output", required=True, callback=check_plot, metavar="FILE", help="A .pdf, .svg or .png.")
@click.option("--width", type=Length(), metavar="LENGTH", help="e.g. 3.25in, 8.5cm. [default: a column, 3.4in]")
@click.option("--height", type=Length(), metavar="LENGTH", help="[default: what is shown needs]")
@click.option("--title", default="", help="Above the figure. [default: none]")
@click.option("-T", "--T", "T", type=click.IntRange(1), default=16, show_default=True, help="Steps, of weight files.")
@click.option("--data", metavar="PATH", help="Images for weight files, as in `refsim run`.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Use N images, evenly strided.")
@click.option("--neuron", type=click.Choice(["if", "dual", "signed", "both"]), help="[default: all that there are]")
@click.option("--layer", default="1", show_default=True, metavar="N|NAME", help="Of a raster, or residuals.")
@quiet_option
def plot(
    kind: str,
    sources: tuple[str, ...],
    output: Path,
    width: float | None,
    height: float | None,
    title: str,
    T: int,
    data: str | None,
    limit: int | None,
    neuron: str | None,
    layer: str,
    quiet: bool,
) -> None:
    """Draw one figure, as a paper prints it: PDF with embedded fonts, SVG or PNG.

    Of run directories, of .json reports, or of weight files, which are run for it; several go into one figure.
    Without any it is of the network in the package.

    \b
    refsim plot accuracy a.run b.run -o accuracy.pdf --width 3.25in
    refsim plot errors errors.json -o errors.svg
    refsim plot raster vgg16 --layer 3 -T 8 -o raster.png
    """
    if kind in ("raster", "residuals") and neuron == "both":
        raise UsageError(f"a figure of {kind} shows one kind of neuron; choose --neuron if or dual")
    with interruptible() as interrupt:
        note_compilation(quiet)
        from refsim.plots.style import save_figure
        from refsim.runs.figure import figure

        drawn = figure(
            kind,
            sources or (None,),
            width=width,
            height=height,
            title=title,
            T=T,
            limit=limit,
            neuron=neuron,
            layer=layer,
            data=data,
            progress=bars(quiet, interrupt),
        )
        save_figure(drawn, output)
