"""What a waiting person sees on stderr: a progress bar, and a word about compiling."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click


@contextmanager
def progress(label: str, n_images: int, quiet: bool) -> Iterator[Any]:
    """A bar on a terminal, nothing elsewhere; yields a function that takes the number of images done."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=n_images, label=label, file=sys.stderr, show_pos=True) as bar:
        yield bar.update


def note_compilation(quiet: bool) -> None:
    """Say that the first run compiles the kernels, if no compiled ones are in Numba's cache."""
    from refsim.engine.kernels.population import run_spiking

    folder = getattr(getattr(run_spiking, "_cache", None), "cache_path", None)
    if quiet or folder is None or glob.glob(os.path.join(glob.escape(folder), "population.run_spiking-*.nbi")):
        return
    click.echo("compiling kernels (first run only) ...", err=True)
