"""`refsim trace`: one neuron's life, step by step."""

from __future__ import annotations

import click

from refsim.cli.options import (
    HELP,
    color_option,
    json_option,
    load_images,
    load_weights,
    neuron_options,
    weights_option,
)
from refsim.cli.printing import show, show_document
from refsim.cli.tables import use_color
from refsim.formats.images.preparation import Preparation
from refsim.formats.untrusted.text import clean


class At(click.ParamType[tuple[int, ...]]):
    """A neuron: C,Y,X or N."""

    name = "neuron"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The numbers that a text says."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if len(parts) not in (1, 3) or not all(part.isdecimal() and len(part) < 10 for part in parts):
            self.fail(f"{clean(value, 40)!r} is not a neuron: C,Y,X or its flat index", param, ctx)
        return tuple(map(int, parts))


@click.command(context_settings=HELP)
@weights_option
@click.option("--layer", required=True, metavar="N|NAME", help="Spiking layer, from 1.")
@click.option("--neuron", "at", required=True, type=At(), metavar="C,Y,X|N", help="Its place, or its flat index.")
@click.option("--image", type=click.IntRange(0), default=0, show_default=True, metavar="I", help="Of the data, from 0.")
@click.option("-T", "--T", "T", type=click.IntRange(1, 1 << 20), default=4, show_default=True, help="Time steps.")
@click.option("--data", metavar="PATH", help="As in `refsim run`. [default: the samples in the weight file]")
@click.option("--pad", is_flag=True, help="Pad smaller images with zeros to the network's size.")
@click.option("--kind", type=click.Choice(["if", "dual", "signed"]), help="Of neurons. [default: what the file says]")
@neuron_options
@click.option(
    "--dtype",
    type=click.Choice(["float64", "int16", "int8"]),
    default="float64",
    show_default=True,
    help="int16, int8: the quantised network, in units.",
)
@click.option("--most", type=click.IntRange(0), default=20, show_default=True, help="Arrivals shown of each step.")
@json_option
@color_option
def trace(
    weights: str | None,
    layer: str,
    at: tuple[int, ...],
    image: int,
    T: int,
    data: str | None,
    pad: bool,
    kind: str | None,
    theta_neg: float | None,
    theta_neg_mode: str | None,
    v0: float | None,
    dtype: str,
    most: int,
    as_json: bool,
    color: bool | None,
) -> None:
    """One neuron's life: who spiked into it with which weight, current, potential, decision, margin."""
    file = load_weights(weights)
    images = load_images(file, data, None, Preparation(pad=pad), quiet=True)
    from refsim.cli.trace_text import render
    from refsim.reports.files import as_json as json_of
    from refsim.runs.trace import trace as follow

    report = follow(
        file,
        images,
        layer=layer,
        at=at,
        image=image,
        T=T,
        neuron=kind or "file",  # type: ignore[arg-type]  # click has checked the choices
        dtype=dtype,  # type: ignore[arg-type]
        theta_neg=theta_neg,
        theta_neg_mode=theta_neg_mode,  # type: ignore[arg-type]
        v0=v0,
    )
    if as_json:
        show_document(json_of(report))
        return
    colored = use_color(color)
    show(*render(report, most, colored), color=colored)
