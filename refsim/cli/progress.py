"""What a waiting person sees on stderr: a progress bar, and a word about compiling; and how that person stops a run."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from refsim.cli.printing import is_terminal, note
from refsim.runs.interrupt import Interrupt
from refsim.runs.settings import Progress


def bars(quiet: bool, interrupt: Interrupt | None = None) -> Progress:
    """Progress as bars on a terminal, nothing elsewhere; an interrupt that got lost is raised between two batches."""

    @contextmanager
    def progress(label: str, n_images: int) -> Iterator[Callable[[int], object]]:
        if quiet or not is_terminal():
            yield lambda n: _check(interrupt)
            return
        with click.progressbar(length=n_images, label=label, file=sys.stderr, show_pos=True) as bar:

            def done(n: int) -> None:
                bar.update(n)
                _check(interrupt)

            yield done

    return progress


def reading_bar(quiet: bool) -> Callable[[int, int], object] | None:
    """A bar for images that are read before the first one is computed; None where nobody would see it."""
    if quiet or not sys.stderr.isatty():
        return None
    shown: list[Any] = []

    def done(n: int, total: int) -> None:
        if not shown:
            shown.append(click.progressbar(length=total, label="reading", file=sys.stderr, show_pos=True))
        shown[0].update(n - shown[0].pos)
        if n == total:
            shown[0].render_finish()

    return done


def _check(interrupt: Interrupt | None) -> None:
    if interrupt is not None:
        interrupt.check()


def note_compilation(quiet: bool) -> None:
    """Say that the first run compiles the kernels, if no compiled ones are in Numba's cache."""
    from refsim.engine.kernels.population import run_spiking

    folder = getattr(getattr(run_spiking, "_cache", None), "cache_path", None)
    if quiet or folder is None or glob.glob(os.path.join(glob.escape(folder), "population.run_spiking-*.nbi")):
        return
    note("compiling kernels (first run only) ...")
