"""figure: one figure of the report page alone, as a paper prints it, from runs, reports or weight files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refsim.exceptions import FormatError, UsageError
from refsim.formats.images.inputs import open_images
from refsim.formats.untrusted.opening import read_text
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.locate import load
from refsim.runs.errors import layer_errors
from refsim.runs.merge import merge
from refsim.runs.residuals import residual_shares
from refsim.runs.run import run
from refsim.runs.settings import Effort, Progress, silent
from refsim.runs.walk import walk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from refsim.reports.drawn import Stored

RUN, ERRORS = "refsim-run 1", "refsim-errors 1"

SCHEMAS = {"accuracy": RUN, "sops": RUN, "rates": RUN, "errors": ERRORS, "counts": ERRORS}
"""Figures of stored reports, and the report that each needs."""

MOST_REPORT = 1 << 28
"""Bytes of a stored report."""

KINDS = (*SCHEMAS, "raster", "residuals")
"""Every figure; the last two are of a weight file alone."""


def figure(
    kind: str,
    sources: Sequence[str | os.PathLike[str] | None],
    *,
    width: float | None = None,
    height: float | None = None,
    title: str = "",
    T: int = 16,
    limit: int | None = None,
    neuron: str | None = None,
    layer: str | int = 1,
    data: str | None = None,
    progress: Progress = silent,
) -> Figure:
    """Draw one figure; save it with `figure.savefig`, or as `refsim plot` does.

    Parameters
    ----------
    kind
        "accuracy", "sops" or "rates" of runs; "errors" (the split) or "counts" (spikes too many or too few) of layers;
        "raster" (spikes of some neurons of a layer on an image) or "residuals" of a weight file.
    sources
        Run directories, .json reports, weight files (which are run then; None: the network in the package).
    width, height
        In inches. None: a column of a page; as high as what is shown needs.
    title
        Above the figure; "": none.
    T, limit, data, neuron
        For weight files, as in `refsim.run`; of stored runs `neuron` chooses.
    layer
        Of a raster.

    Raises
    ------
    UsageError
        No such figure, or sources that do not go together.
    FormatError
        A source that is neither of them.
    """
    from refsim.plots.style import COLUMN, new_figure, styled

    if kind not in KINDS:
        raise UsageError(f"no figure '{clean(kind, 40)}'; there are {', '.join(KINDS)}")
    if not sources:
        raise UsageError("a figure needs a run directory, a .json report or a weight file")
    columns = (width or COLUMN) / COLUMN
    draw, panels, rows = _prepare(kind, sources, T, limit, neuron, layer, data, progress)
    with styled():
        drawn = new_figure(columns, height or panels * (0.7 + 0.16 * rows if rows else 2.2))
        draw(drawn.subplots(panels, 1, squeeze=False)[:, 0].tolist())
        if title:
            drawn.suptitle(title, parse_math=False, fontsize=8)
    return drawn


def _prepare(
    kind: str,
    sources: Sequence[str | os.PathLike[str] | None],
    T: int,
    limit: int | None,
    neuron: str | None,
    layer: str | int,
    data: str | None,
    progress: Progress,
) -> tuple[Callable[[list[Any]], object], int, int]:
    """What draws, on how many panels, and how many rows a panel has (0: it has none)."""
    if kind in ("raster", "residuals"):
        if len(sources) > 1:
            raise UsageError(f"a figure of {kind} shows one weight file")
        return _of_network(kind, sources[0], T, limit, neuron, layer, data)
    from refsim.reports import drawn

    reports = [_read(kind, each, T, limit, neuron, data, len(sources) > 1, progress) for each in sources]
    function = getattr(drawn, f"draw_{kind}")
    rows = {"sops": "projections", "rates": "layers"}.get(kind)
    try:
        panels = drawn.n_panels(kind, reports, neuron)
        n_rows = len(reports[0].content["runs"][0][rows]) if rows else 0
    except (KeyError, TypeError, IndexError):
        raise FormatError(f"{sources[0]}: a damaged report") from None

    def draw(axes: list[Any]) -> None:
        try:
            function(axes, reports, neuron)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise FormatError(f"a damaged report: {clean(repr(error), 80)}") from None

    return draw, panels, n_rows


def _read(
    kind: str,
    source: str | os.PathLike[str] | None,
    T: int,
    limit: int | None,
    neuron: str | None,
    data: str | None,
    named: bool,
    progress: Progress,
) -> Stored:
    from refsim.reports.drawn import Stored, check_schema

    schema = SCHEMAS[kind]
    path = None if source is None else Path(source)
    name = clean(path.stem, 30) if path is not None and named else ""
    if path is not None and path.is_dir():
        if schema != RUN:
            raise UsageError(f"{path}: a run directory has no errors to draw; name a report of `refsim errors --json`")
        return Stored(name=name, content=merge([path]).to_json())
    if path is not None and path.suffix == ".json":
        text = read_text(path, what="report", most=MOST_REPORT)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{path}: not a JSON file ({error})") from None
        return Stored(name=name, content=check_schema(content, schema, str(path)))
    file = load(None if path is None else str(path))
    images = open_images(file, data, limit=limit)
    if schema == RUN:
        done = run(file, images, T=T, neuron=neuron or "both", progress=progress)  # type: ignore[arg-type]
        return Stored(name=name, content=done.to_json())
    errors = layer_errors(file, images, T=T, neuron=neuron or "file", progress=progress)  # type: ignore[arg-type]
    return Stored(name=name, content=errors.to_json())


def _of_network(
    kind: str,
    source: str | os.PathLike[str] | None,
    T: int,
    limit: int | None,
    neuron: str | None,
    layer: str | int,
    data: str | None,
) -> tuple[Callable[[list[Any]], object], int, int]:
    from refsim.plots.density import plot_residual
    from refsim.plots.neuron import plot_spikes
    from refsim.plots.style import legend_above, literal

    file = load(None if source is None else os.fspath(source))
    network = file.network.with_kind(neuron or "file")  # type: ignore[arg-type]
    images = open_images(file, data, limit=limit)
    chosen = network.find_spiking(str(layer))
    if kind == "raster":
        shown = walk({"chosen": network}, images, T, [0])
        at = network.spiking.index(chosen)
        names = [", ".join(map(str, place)) for place in shown.layers[at].neurons]

        def draw(axes: list[Any]) -> None:
            plot_spikes(axes[0], shown.scenes[0][0][at].spikes, names)
            axes[0].set_xlabel("time step $t$")
            axes[0].set_ylabel("channel, row, column")

        return draw, 1, len(names)
    found = {each.name: each for each in residual_shares(network, images, T, Effort())}
    if chosen.name not in found:
        raise UsageError(f"layer '{clean(chosen.name)}': no residual, so no histogram; choose another --layer")

    def draw_residual(axes: list[Any]) -> None:
        each = found[chosen.name]
        plot_residual(axes[0], each.values, each.shares, each.expected)
        axes[0].set_xlabel(rf"$(\phi - a)\,/\,\theta$ of {literal(clean(each.name, 30))}")
        legend_above(axes[0])

    return draw_residual, 1, 0
