"""`refsim merge`: the parts of a run (`refsim run --shard`) add up to its report."""

from __future__ import annotations

from pathlib import Path

import click

from refsim.cli.options import HELP, color_option, energy_option, json_option, load_weights
from refsim.cli.output import FILES, check_folder
from refsim.cli.printing import show, show_document
from refsim.cli.tables import use_color
from refsim.exceptions import UsageError


@click.command(context_settings=HELP)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "-w", "--weights", metavar="FILE", help="Weight file of the run. [default: where the first part found it]"
)
@energy_option
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write .json or .csv.")
@click.option("--all-steps", is_flag=True, help="A row for every t <= T.  [default: powers of two, and T, of many]")
@json_option
@color_option
def merge(
    runs: tuple[Path, ...],
    weights: str | None,
    energy: str,
    output: Path | None,
    all_steps: bool,
    as_json: bool,
    color: bool | None,
) -> None:
    """Add up run directories: all parts of one run, in any order, or one whole run.

    Refuses parts of different runs, images that are missing, and images that two parts hold with different results.
    """
    from refsim.cli.run_text import render
    from refsim.reports.files import as_json as json_of
    from refsim.reports.files import write_rows
    from refsim.reports.run import shown_steps
    from refsim.runs.merge import merge as add_up

    if output is not None:
        if output.suffix not in FILES[:2]:
            raise UsageError(f"-o {output}: the name must end in .json or .csv")
        check_folder("-o", output)
    done = add_up(runs, None if weights is None else load_weights(weights), energy=energy)
    if output is not None:
        write_rows(output, done)
    shown = list(range(1, done.T + 1)) if all_steps else shown_steps(done.T)
    if as_json:
        show_document(json_of(done))
    else:
        colored = use_color(color)
        show(*render(done, shown, colored), color=colored)
