"""`refsim run`: simulate; accuracy at every t <= T, synaptic operations, energy."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from refsim.cli.options import (
    HELP,
    Finite,
    color_option,
    data_options,
    dtype_option,
    effort_options,
    energy_option,
    json_option,
    load_images,
    load_weights,
    neuron_options,
    steps_option,
    weights_option,
)
from refsim.cli.output import check_output, is_directory
from refsim.cli.printing import note, show, show_document
from refsim.cli.progress import bars, note_compilation
from refsim.cli.tables import use_color
from refsim.exceptions import CheckFailedError, UsageError
from refsim.formats.images.preparation import Preparation
from refsim.reports.units import percent
from refsim.runs.interrupt import Interrupt, interruptible
from refsim.runs.settings import Effort, Settings

if TYPE_CHECKING:
    from refsim.reports.run import Run

RECORDED = ("counts", "n", "v", "spikes")


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where results go, as the options say.

    output
        -o, as it was named; `directory`: it is a run directory.
    record, select
        What a recording keeps besides counts, and of which layers, neurons and steps; all, if none are named.
    """

    output: str | None
    directory: bool
    record: frozenset[str]
    select: tuple[str, ...]
    resume: bool
    shard: str | None
    scheduler: str | None


def _record(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[frozenset[str], tuple[str, ...]]:
    """What is recorded, and of which layers: a list of words, or a selection, each time the option is given."""
    what: set[str] = set()
    select: list[str] = []
    for value in values:
        words = value.split(",")
        unknown = sorted(set(words) - set(RECORDED))
        if not unknown:
            what |= set(words)
        elif set(words) & set(RECORDED):
            raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(RECORDED)}")
        else:
            select.append(value)
    # Potentials of a few neurons are what a selection is for.
    return frozenset(what or (RECORDED if select else ())), tuple(select)


@click.command(context_settings=HELP)
@weights_option
@steps_option()
@click.option("--all-steps", is_flag=True, help="A row for every t <= T.  [default: powers of two, and T, of many]")
@data_options
@click.option(
    "--neuron",
    type=click.Choice(["if", "dual", "signed", "both"]),
    help="signed: dual, theta_neg = -theta (SNM).  [default: what the file says; both for the network in the package]",
)
@neuron_options
@dtype_option
@effort_options
@click.option("--ann/--no-ann", default=True, help="Run the source ANN on the same images.  [default: --ann]")
@energy_option
@click.option("--skip-zero-weights", is_flag=True, help="Do not count synapses of weight 0 (NeuroBench).")
@click.option(
    "-o",
    "--output",
    metavar="NAME",
    help="Also write .json, .csv, .parquet, .h5; or keep every batch in a folder .run.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in -o NAME.run, if there is one.")
@click.option("--shard", metavar="I/N", help="Only part I of N of the images; `refsim merge` adds the parts up.")
@click.option("--scheduler", metavar="URL|local", help="Run on a dask.distributed cluster, e.g. tcp://host:8786.")
@click.option(
    "--record",
    multiple=True,
    callback=_record,
    metavar="WHAT,...|LAYER[:N,N][@T,T]",
    help="For -o FILE.h5: counts, n, v, spikes; of all layers, or of those named by --record again.",
)
@click.option(
    "--min-accuracy",
    type=Finite(0, 100),
    metavar="PERCENT",
    help="Exit with 4 if accuracy at T is lower.",
)
@json_option
@color_option
def run(
    weights: str | None,
    T: tuple[int, ...],
    all_steps: bool,
    data: str | None,
    limit: int | None,
    pad: bool,
    scale: float | None,
    currents: bool,
    resize: int | None,
    crop: int | None,
    neuron: str | None,
    theta_neg: float | None,
    theta_neg_mode: str | None,
    v0: float | None,
    dtype: str,
    threads: int | None,
    batch: int | None,
    quiet: bool,
    ann: bool,
    energy: str,
    skip_zero_weights: bool,
    output: str | None,
    resume: bool,
    shard: str | None,
    scheduler: str | None,
    record: tuple[frozenset[str], tuple[str, ...]],
    min_accuracy: float | None,
    as_json: bool,
    color: bool | None,
) -> None:
    """Simulate a converted network: accuracy at every t <= T, synaptic operations, energy.

    -T 1,2,4,8 runs 8 steps and shows those.
    """
    settings = Settings(
        T=T[-1],
        dtype=dtype,  # type: ignore[arg-type]  # click has checked the three choices
        neuron=neuron or ("both" if weights is None else "file"),  # type: ignore[arg-type]
        theta_neg=theta_neg,
        theta_neg_mode=theta_neg_mode,  # type: ignore[arg-type]
        v0=v0,
        skip_zero_weights=skip_zero_weights,
        ann=ann,
    )
    directory = is_directory(output, resume=resume, shard=shard)
    check_output(output, directory=directory, record=record[0], n_runs=len(settings.kinds))
    target = Target(
        output=output, directory=directory, record=record[0], select=record[1], resume=resume, shard=shard,
        scheduler=scheduler,
    )  # fmt: skip
    effort = Effort(batch=batch, threads=threads)
    preparation = Preparation(pad=pad, scale=scale, currents=currents, resize=resize, crop=crop)
    # Before Numba is imported and compiles: both run callbacks that would swallow an interrupt.
    with interruptible() as interrupt:
        done = _run(weights, data, limit, preparation, settings, effort, energy, target, min_accuracy, quiet, interrupt)
    from refsim.cli.run_text import render
    from refsim.reports.files import as_json as json_of
    from refsim.reports.run import shown_steps

    shown = list(range(1, T[-1] + 1)) if all_steps else list(T) if len(T) > 1 else shown_steps(T[-1])
    if as_json:
        show_document(json_of(done))
    else:
        colored = use_color(color)
        show(*render(done, shown, colored), color=colored)
    if min_accuracy is not None:
        for each in done.snn.values():
            if 100 * each.accuracy[-1] < min_accuracy:
                raise CheckFailedError(
                    f"accuracy at T={done.T} is {percent(each.accuracy[-1])}, below {min_accuracy} %"
                )


def _run(
    weights: str | None,
    data: str | None,
    limit: int | None,
    preparation: Preparation,
    settings: Settings,
    effort: Effort,
    energy: str,
    target: Target,
    min_accuracy: float | None,
    quiet: bool,
    interrupt: Interrupt,
) -> Run:
    from refsim.analysis.energy import find_energy_model
    from refsim.reports.files import write_rows
    from refsim.runs.run import make_study, perform
    from refsim.runs.store.spec import Part

    part = None if target.shard is None else Part.parse(target.shard)
    to_file = None if target.output is None or target.directory else Path(target.output)
    recording = to_file if to_file is not None and to_file.suffix == ".h5" else None
    if target.scheduler is not None:
        if recording is not None:
            raise UsageError("a recording is made on one machine; leave out --scheduler or -o FILE.h5")
        from refsim.runs.cluster.connection import require_dask

        require_dask()
    model = find_energy_model(energy)
    file = load_weights(weights)
    unknown = file.network.unknown_L
    images = load_images(file, data, limit, preparation, quiet)
    if min_accuracy is not None and not images.has_labels:
        raise UsageError("--min-accuracy needs labelled images")
    note_compilation(quiet)
    started = time.perf_counter()
    if settings.ann and images.has_labels and unknown is not None:
        note(f"refsim: the ANN is left out: the file does not say L for '{unknown}'; convert again with --L")
    study = make_study(file, images, settings, effort, bars(quiet, interrupt))
    done = perform(
        study,
        model,
        keep=Path(target.output) if target.output is not None and target.directory else None,
        resume=target.resume,
        part=part,
        scheduler=target.scheduler,
        recording=recording,
        record=target.record - {"counts"},
        select=target.select,
    )
    if not quiet:
        note(f"{time.perf_counter() - started:.1f} s on {effort.n_threads} threads")
    if target.output is not None and target.directory:
        write_rows(Path(target.output) / "report.json", done)
    elif to_file is not None and recording is None:
        write_rows(to_file, done)
    return done
