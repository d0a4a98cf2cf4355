"""Options that several commands share, and what they stand for: a network, images, a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import click

from refsim.cli.printing import note
from refsim.cli.progress import reading_bar
from refsim.engine.modes import MODES
from refsim.formats.images.inputs import Images, open_images
from refsim.formats.images.preparation import Preparation
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.locate import load
from refsim.formats.weights.parts import WeightFile

F = TypeVar("F", bound=Callable[..., Any])

MOST_STEPS = 1 << 20
COUNT = click.IntRange(1, 100_000_000)
"""A number of images, or of anything else that is counted."""

THREADS = click.IntRange(1, 1024)
HELP = {"help_option_names": ["-h", "--help"]}


def _stack(*options: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


class Steps(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """Numbers of time steps: 4, or 1,2,4,8; a tuple in increasing order."""

    name = "steps"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The steps that a text says."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isdecimal() and len(part) < 9 and 0 < int(part) <= MOST_STEPS for part in parts):
            self.fail(f"{clean(value, 40)!r} is not a number of steps, or a list such as 1,2,4,8", param, ctx)
        return tuple(sorted({int(part) for part in parts}))


class Finite(click.FloatRange):
    """A number that is neither infinite nor nan."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number that a text says."""
        number = float(super().convert(value, param, ctx))
        if not abs(number) < float("inf"):
            self.fail(f"{number} is not a finite number", param, ctx)
        return number


class Factor(Finite):
    """A positive number, or a fraction such as 1/255."""

    name = "factor"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number that a text says."""
        above, slash, below = str(value).partition("/")
        if not slash:
            return super().convert(value, param, ctx)
        return super().convert(above, param, ctx) / super().convert(below, param, ctx)


def steps_option(default: str = "4") -> Callable[[F], F]:
    """-T with another default."""
    help_ = "Time steps, or a list."
    return click.option("-T", "--T", "T", type=Steps(), default=default, show_default=True, help=help_)


weights_option = click.option(
    "-w",
    "--weights",
    metavar="FILE",
    help="Weight file, or the name of a shipped one. [default: the small Fashion-MNIST network in the package]",
)
weights_argument = click.argument("network", required=False, metavar="[NET.h5]")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
color_option = click.option("--color/--no-color", default=None, help="[default: on a terminal, unless NO_COLOR is set]")
energy_option = click.option(
    "--energy", default="horowitz45", show_default=True, metavar="NAME|FILE", help="Energy model: prices of operations."
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress bar, no notes on stderr.")

preparation_options: Callable[[F], F] = _stack(
    click.option("--scale", type=Factor(), metavar="F", help="Float images are pixels, times F in 0..1: 1 or 1/255."),
    click.option("--currents", is_flag=True, help="Float images are input currents, whatever their range."),
    click.option("--resize", type=click.IntRange(1), metavar="N", help="Bring the shorter side of images to N pixels."),
    click.option("--crop", type=click.IntRange(1), metavar="N", help="Take the middle N x N pixels of images."),
)
"""What is done to images, as in `Preparation`."""

data_options: Callable[[F], F] = _stack(
    click.option(
        "--data",
        metavar="PATH",
        help="CIFAR batches, IDX, npz, npy, HDF5 or an image folder. [default: the samples in the weight file]",
    ),
    click.option("--limit", type=COUNT, metavar="N", help="Use N images, evenly strided."),
    click.option("--pad", is_flag=True, help="Pad smaller images with zeros to the network's size."),
    preparation_options,
)

neuron_options: Callable[[F], F] = _stack(
    click.option("--theta-neg", type=Finite(), metavar="V", help="Negative threshold of dual neurons, e.g. -0.001."),
    click.option(
        "--theta-neg-mode",
        type=click.Choice(["absolute", "relative"]),
        help="Unit of --theta-neg: membrane potential, or theta. [default: absolute]",
    ),
    click.option("--v0", type=Finite(), metavar="PHI", help="Initial potential, in units of theta, e.g. 0.5."),
)

dtype_option = click.option(
    "--dtype",
    type=click.Choice(MODES),
    default="exact",
    show_default=True,
    help="Numbers to compute in; exact: the spikes and logits of float64, by integers; int16, int8: another "
    "network, whose weights are rounded to 16 or 8 bits.",
)

effort_options: Callable[[F], F] = _stack(
    click.option("--threads", type=THREADS, metavar="N", help="[default: all cores]"),
    click.option("--batch", type=COUNT, metavar="N", help="Most images at a time; changes memory, not results."),
    quiet_option,
)


def load_weights(name: str | None) -> WeightFile:
    """Find and read a weight file; its warnings go to stderr."""
    file = load(name)
    for line in file.warnings:
        note(f"refsim: warning: {file.name}:{line}")
    return file


def load_images(file: WeightFile, data: str | None, limit: int | None, preparation: Preparation, quiet: bool) -> Images:
    """The images named by --data, or the samples in the weight file; warnings go to stderr."""
    images = open_images(file, data, limit=limit, **asdict(preparation), progress=reading_bar(quiet))
    for line in images.warnings:
        note(f"refsim: warning: {line}")
    return images
