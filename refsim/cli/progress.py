"""What a waiting person sees on stderr: a progress bar, and a word about compiling; and how that person stops a run."""

from __future__ import annotations

import glob
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from refsim.cli.printing import is_terminal, note
from refsim.runs.interrupt import Interrupt
from refsim.runs.settings import Progress

PAUSE = 15.0
"""Seconds between two lines on a pipe."""


def bars(quiet: bool, interrupt: Interrupt | None = None) -> Progress:
    """Progress as bars with an estimate on a terminal, and a line now and then elsewhere.

    An interrupt that got lost is raised between two batches.
    """

    @contextmanager
    def progress(label: str, n_images: int) -> Iterator[Callable[[int], object]]:
        if quiet:
            yield lambda n: _check(interrupt)
            return
        if not is_terminal():
            spoken = _Spoken(label, n_images)

            def said(n: int) -> None:
                spoken.done(n)
                _check(interrupt)

            yield said
            return
        with click.progressbar(length=n_images, label=label, file=sys.stderr, show_pos=True) as bar:

            def done(n: int) -> None:
                bar.update(n)
                _check(interrupt)

            yield done

    return progress


def reading_bar(quiet: bool) -> Callable[[int, int], object] | None:
    """A bar for images that are read before the first one is computed; None where nobody would see it."""
    if quiet or not is_terminal():
        return None
    shown: list[Any] = []

    def done(n: int, total: int) -> None:
        if not shown:
            shown.append(click.progressbar(length=total, label="reading", file=sys.stderr, show_pos=True))
        shown[0].update(n - shown[0].pos)
        if n == total:
            shown[0].render_finish()

    return done


class _Spoken:
    """Where a long run is, said on a pipe every `PAUSE` seconds: a short one says nothing."""

    def __init__(self, label: str, n_images: int) -> None:
        self._label, self._total, self._n = label, n_images, 0
        self._started = self._said = time.monotonic()

    def done(self, n: int) -> None:
        """So many more images are done."""
        self._n += n
        now = time.monotonic()
        if now - self._said < PAUSE or self._n >= self._total:
            return
        self._said = now
        left = (now - self._started) * (self._total - self._n) / self._n
        note(f"{self._label}: {self._n:,} of {self._total:,} images, about {_duration(left)} to go")


def _duration(seconds: float) -> str:
    """As people say it."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


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
