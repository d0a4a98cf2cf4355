"""Merging: the parts of one run, made anywhere in any order, add up to the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from heapq import merge as merge_sorted
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refsim.engine.results import Result
from refsim.exceptions import CheckFailedError, FormatError, UsageError
from refsim.formats.untrusted.text import clean
from refsim.runs.store import database, lock
from refsim.runs.store.directory import About, show
from refsim.runs.store.rows import Columns, combine
from refsim.runs.store.spec import Part
from refsim.version import __version__

Counts = NDArray[np.int64]


class Parts:
    """Run directories that together are one run; they are only read.

    Raises
    ------
    UsageError
        Directories of different runs (the message names both and the first difference), or still being written.
    FormatError
        No run directory, or a damaged one.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        with ExitStack() as stack:
            self._databases = [self._open(stack, path) for path in paths]
            metas = [each.meta() for each in self._databases]
            specs = [each.spec() for each in self._databases]
            for path, spec in zip(self._paths, specs):
                different = specs[0].first_difference(spec)
                if different is not None:
                    key, first, other = different
                    raise UsageError(
                        f"{self._paths[0]} and {path} are parts of different runs: "
                        f"{key} = {show(first)} and {show(other)}"
                    )
            if specs[0].engine != __version__:
                raise UsageError(
                    f"{self._paths[0]}: was made with engine = {show(specs[0].engine)}, this is {__version__}; "
                    "merge it with the version that made it"
                )
            self._parts = [each.part() for each in self._databases]
            self.spec = specs[0]
            self.about = About(*(clean(metas[0][key], None) for key in About._fields))
            self._stack = stack.pop_all()

    def _open(self, stack: ExitStack, path: Path) -> database.Database:
        stack.callback(lock.Lock(path, exclusive=False).release)
        opened = database.Database(path, writable=False)
        stack.callback(opened.close)
        return opened

    def close(self) -> None:
        """Let go of the directories."""
        self._stack.close()

    def result(self, machine: str, images: Counts) -> Result:
        """The result of a machine over all these images, in increasing order.

        Raises
        ------
        UsageError
            Images that no part holds: which, and how many.
        CheckFailedError
            An image that two parts hold with different numbers.
        FormatError
            A damaged part, or an image that does not belong to it.
        """
        holding = []
        for number, each in enumerate(self._databases):
            held = each.images_of(machine)
            self._check_share(number, held, images, machine)
            each.verify(machine)
            if len(held):
                holding.append(each)
        found = np.unique(np.concatenate([np.zeros(0, np.int64), *[each.images_of(machine) for each in holding]]))
        missing = np.setdiff1d(images, found, assume_unique=True)
        if len(missing):
            raise UsageError(
                f"{len(missing)} of {len(images)} images are in no part ({machine}), "
                f"from image {missing[0]} to {missing[-1]}: {self._blame(images, missing)}"
            )
        layouts = {each.layout(machine) for each in holding}
        if None in layouts:
            raise FormatError(f"{self._paths[0]}: {database.NAME} does not say how its rows are laid out ({machine})")
        layout = layouts.pop()
        if layouts or layout is None:
            raise CheckFailedError(f"the parts hold rows of different layouts ({machine})")
        total = database.add_up(layout, self._rows(machine, layout))
        return total.result(combine([each.bounds(machine, layout) for each in holding]))

    def _check_share(self, number: int, held: Counts, images: Counts, machine: str) -> None:
        """Refuse images that are not of the run, or not of this part of it."""
        part = self._parts[number]
        first, last = (0, len(images)) if part is None else part.range(len(images))
        foreign = np.setdiff1d(held, images[first:last])
        if len(foreign):
            whose = "the run" if part is None else f"part {part}"
            raise FormatError(f"{self._paths[number]}: holds image {foreign[0]}, which is not of {whose} ({machine})")

    def _blame(self, images: Counts, missing: Counts) -> str:
        """Which part should have had the first missing image."""
        place = int(np.searchsorted(images, missing[0]))
        for count in sorted({each.count for each in self._parts if each is not None}):
            # The part whose range begins at or before the place, and ends behind it.
            part = Part(number=((place + 1) * count - 1) // len(images) + 1, count=count)
            if part not in self._parts:
                return f"part {part} is missing"
            return f"part {part}, {self._paths[self._parts.index(part)]}, is not finished (--resume goes on)"
        return f"{self._paths[0]} is not finished (--resume goes on)"

    def _rows(self, machine: str, layout: Columns) -> Iterator[tuple[int, bytes]]:
        """Every image once, in increasing order."""
        tagged = [_tagged(each.rows(machine, layout), number) for number, each in enumerate(self._databases)]
        before: tuple[int, bytes, int] | None = None
        for image, counts, number in merge_sorted(*tagged):
            if before is not None and before[0] == image:
                if before[1] != counts:
                    one, other = (self._paths[i] for i in (before[2], number))
                    raise CheckFailedError(f"{one} and {other} differ on image {image} ({machine})")
                continue
            before = (image, counts, number)
            yield image, counts


def _tagged(rows: Iterator[tuple[int, bytes]], number: int) -> Iterator[tuple[int, bytes, int]]:
    return ((image, counts, number) for image, counts in rows)
