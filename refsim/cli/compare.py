"""`refsim compare`: conversion methods side by side on one network and one set of images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from refsim.cli.options import (
    COUNT,
    HELP,
    color_option,
    data_options,
    dtype_option,
    effort_options,
    energy_option,
    json_option,
    load_images,
    load_weights,
    steps_option,
    weights_option,
)
from refsim.cli.output import FILES, check_folder
from refsim.cli.printing import note, show, show_document
from refsim.cli.progress import bars, note_compilation
from refsim.cli.tables import use_color
from refsim.exceptions import UsageError
from refsim.formats.images.preparation import Preparation
from refsim.runs.interrupt import Interrupt, interruptible
from refsim.runs.settings import Progress

ALL = "all"


@click.command(context_settings=HELP)
@weights_option
@data_options
@click.option(
    "--methods",
    default=ALL,
    show_default=True,
    metavar="A,B,C|all",
    help="Names, e.g. qcfs,ecl,percentile:99.9,srp:4,opi+dual; --list names them all.",
)
@click.option("--list", "list_", is_flag=True, help="List the methods and stop.")
@steps_option("1,2,4,8,16,32")
@click.option(
    "--calibrate",
    metavar="DATA",
    help="Calibration images.  [default: the training part of --data, else images that are not tested on]",
)
@click.option("--n-calibrate", type=COUNT, default=128, show_default=True, help="How many, strided evenly.")
@click.option("--calibrate-on-test", is_flag=True, help="Calibrate on the test images themselves.")
@dtype_option
@effort_options
@energy_option
@click.option("--markdown", is_flag=True, help="Tables in Markdown.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Also write .json or .csv."
)
@json_option
@color_option
def compare(
    weights: str | None,
    data: str | None,
    limit: int | None,
    pad: bool,
    scale: float | None,
    currents: bool,
    resize: int | None,
    crop: int | None,
    methods: str,
    list_: bool,
    T: tuple[int, ...],
    calibrate: str | None,
    n_calibrate: int,
    calibrate_on_test: bool,
    dtype: str,
    threads: int | None,
    batch: int | None,
    quiet: bool,
    energy: str,
    markdown: bool,
    output: Path | None,
    as_json: bool,
    color: bool | None,
) -> None:
    """Compare conversion methods: accuracy and synaptic operations of each at several T, on the same images.

    Every method is charged with the steps and operations that it needs besides the T counted steps.
    """
    if list_:
        show(*_listing())
        return
    if output is not None:
        if output.suffix not in FILES[:2]:
            raise UsageError(f"-o {output}: the name must end in .json or .csv")
        check_folder("-o", output)
    preparation = Preparation(pad=pad, scale=scale, currents=currents, resize=resize, crop=crop)
    with interruptible() as interrupt:
        from refsim.methods.registry import find_method
        from refsim.runs.compare import compare as compare_methods

        asked = ALL if methods == ALL else methods.split(",")
        if asked != ALL:
            for name in asked:
                find_method(name)
        file = load_weights(weights)
        images = load_images(file, data, limit, preparation, quiet)
        note_compilation(quiet)
        report = compare_methods(
            file,
            images,
            methods=asked,
            T=T,
            calibrate=calibrate,
            n_calibrate=n_calibrate,
            calibrate_on_test=calibrate_on_test,
            dtype=dtype,  # type: ignore[arg-type]  # click has checked the choices
            energy=energy,
            batch=batch,
            threads=threads,
            progress=_timed(quiet, interrupt),
            note=lambda line: note(f"refsim: {line}"),
        )
    from refsim.cli.compare_text import as_markdown, as_text
    from refsim.reports.files import as_json as json_of
    from refsim.reports.files import write_rows

    if output is not None:
        write_rows(output, report)
    if as_json:
        show_document(json_of(report))
        return
    colored = use_color(color) and not markdown
    show(*(as_markdown(report) if markdown else as_text(report, colored)), color=colored)


def _timed(quiet: bool, interrupt: Interrupt) -> Progress:
    """Bars, and behind each method a line with the seconds that it took."""
    inner = bars(quiet, interrupt)

    @contextmanager
    def progress(label: str, n_images: int) -> Iterator[Callable[[int], object]]:
        started = time.perf_counter()
        with inner(label, n_images) as done:
            yield done
        if not quiet and label != "ANN":
            note(f"{label}: {time.perf_counter() - started:.1f} s")

    return progress


def _listing() -> list[str]:
    from refsim.methods.registry import METHODS

    width = max(map(len, METHODS))
    lines = [f"  {name.ljust(width)}  {each.source}: {each.summary}" for name, each in METHODS.items()]
    return [*lines, "  METHOD+dual: a method of IF neurons, with ECL's negative threshold", ""]
