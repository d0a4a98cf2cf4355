"""Options that several commands share, and what they stand for: a network, images, neurons."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from refsim.engine.modes import MODES
from refsim.exceptions import UsageError
from refsim.formats.images.currents import InputCurrents, strided
from refsim.formats.weights.parts import WeightFile
from refsim.model import Network, Neuron

F = TypeVar("F", bound=Callable[..., Any])


def _stack(*options: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


weights_option = click.option(
    "-w",
    "--weights",
    metavar="FILE",
    help="Weight file, or the name of a shipped one. [default: the small Fashion-MNIST network in the package]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
color_option = click.option("--color/--no-color", default=None, help="[default: on a terminal, unless NO_COLOR is set]")
steps_option = click.option("-T", "--T", "T", type=click.IntRange(1), default=4, show_default=True, help="Time steps.")

data_options: Callable[[F], F] = _stack(
    click.option(
        "--data",
        metavar="PATH",
        help="CIFAR batches, IDX, npz, npy, HDF5 or an image folder. [default: the samples in the weight file]",
    ),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Use N images, evenly strided."),
    click.option("--pad", is_flag=True, help="Pad smaller images with zeros to the network's size."),
)

neuron_options: Callable[[F], F] = _stack(
    click.option("--theta-neg", type=float, metavar="V", help="Negative threshold of dual neurons, e.g. -0.001."),
    click.option(
        "--theta-neg-mode",
        type=click.Choice(["absolute", "relative"]),
        help="Unit of --theta-neg: membrane potential, or theta. [default: absolute]",
    ),
    click.option("--v0", type=float, metavar="PHI", help="Initial potential, in units of theta, e.g. 0.5."),
)

machine_options: Callable[[F], F] = _stack(
    click.option(
        "--dtype",
        type=click.Choice(MODES),
        default="exact",
        show_default=True,
        help="Numbers to compute in; exact: the spikes and logits of float64, by integers; int16, int8: another "
        "network, whose weights are rounded to 16 or 8 bits.",
    ),
    click.option("--threads", type=click.IntRange(1), metavar="N", help="[default: all cores]"),
    click.option(
        "--batch", type=click.IntRange(1), metavar="N", help="Most images at a time; changes memory, not results."
    ),
    click.option("-q", "--quiet", is_flag=True, help="No progress bar, no notes on stderr."),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """The images a command works on.

    source
        How to call them in one phrase.
    sha256
        Of the data, or "" where they travel in the weight file.
    """

    images: InputCurrents
    indices: NDArray[np.int64]
    source: str
    sha256: str
    has_labels: bool


def load_weights(name: str | None) -> tuple[Path, WeightFile]:
    """Find and read a weight file; its warnings go to stderr."""
    from refsim.formats.weights.hdf5 import load
    from refsim.formats.weights.locate import find_weights

    path = find_weights(name)
    file = load(path)
    for line in file.warnings:
        note(f"refsim: warning: {path.name}:{line}")
    return path, file


def load_inputs(path: Path, file: WeightFile, data: str | None, limit: int | None, pad: bool) -> Inputs:
    """The images named by --data, or the samples in the weight file."""
    spec = file.network.input
    if data is None:
        if file.samples is None:
            raise UsageError(f"{path.name} holds no samples; name images with --data PATH")
        images = InputCurrents(spec, file.samples.images, file.samples.labels, path.name)
        indices = strided(len(images), limit)
        return Inputs(
            images=images, indices=indices, source=f"{len(indices)} samples from the file", sha256="", has_labels=True
        )
    from refsim.formats.images.datasets import check_against, open_data

    opened = open_data(data, pad_to=spec.shape[1:] if pad else None, classes=file.network.classes)
    for line in opened.warnings:
        note(f"refsim: warning: {line}")
    check_against(opened, file.network)
    images = InputCurrents(spec, opened.images, opened.labels, opened.name)
    indices = strided(len(images), limit)
    return Inputs(
        images=images,
        indices=indices,
        source=f"{len(indices)} images from {opened.name}",
        sha256=opened.sha256,
        has_labels=opened.labels is not None,
    )


def with_options(
    network: Network, kind: str | None, theta_neg: float | None, theta_neg_mode: str | None, v0: float | None
) -> Network:
    """The network with the neurons the options ask for; None leaves what the file says.

    "signed" are the neurons of SNM (Wang 2022): dual ones with theta_neg = -theta.
    """
    if (theta_neg is not None or theta_neg_mode is not None) and kind in ("if", "signed"):
        raise UsageError("--theta-neg belongs to dual neurons; use it with --neuron dual")
    if theta_neg_mode is not None and theta_neg is None:
        raise UsageError("--theta-neg-mode says what --theta-neg means; give both")

    mode: Literal["absolute", "relative"] = "relative" if theta_neg_mode == "relative" else "absolute"

    def change(neuron: Neuron) -> Neuron:
        if kind == "if":
            neuron = neuron.as_if()
        elif kind == "dual" and theta_neg is None:
            neuron = neuron.as_dual()
        elif kind == "signed":
            neuron = replace(neuron, theta_neg=np.array(-1.0), theta_neg_mode="relative")
        if theta_neg is not None:
            neuron = replace(neuron, theta_neg=np.array(theta_neg), theta_neg_mode=mode)
        return neuron if v0 is None else replace(neuron, v0=v0 * neuron.theta)

    return network.with_neurons({layer.name: change(layer.neuron) for layer in network.spiking})


def thread_count(threads: int | None) -> int:
    """The number asked for, or the cores this process may use."""
    if threads is not None:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def note(text: str) -> None:
    """A line for the person, on stderr."""
    click.echo(text, err=True)
