"""RunDirectory: the results of one run, or of one part of it, as they come; and what is still to do."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.engine.results import Result
from refsim.exceptions import FormatError, UsageError
from refsim.formats.untrusted.text import clean
from refsim.runs.store import database, lock
from refsim.runs.store.rows import Batch
from refsim.runs.store.spec import Part, Spec

Counts = NDArray[np.int64]

REPORT = "report.json"


class About(NamedTuple):
    """How people call the inputs of a run; two runs may differ here and be the same run.

    weights, weights_path
        The weight file as it was named, and where it is.
    source
        The images in one phrase.
    """

    weights: str
    weights_path: str
    source: str


class RunDirectory:
    """A locked run directory.

    Parameters
    ----------
    images : (N,) int64
        The images of the whole run, in increasing order; a part takes its share.
    resume
        Go on with what is there; otherwise a directory with results is refused.

    Raises
    ------
    UsageError
        Another run's directory, named with the first difference; results are there and `resume` is not given;
        another process is writing; a directory with other files.
    FormatError
        A damaged run.db.
    """

    def __init__(
        self, path: Path, spec: Spec, images: Counts, *, about: About, part: Part | None = None, resume: bool = False
    ) -> None:
        self.path, self.spec = path, spec
        first, last = (0, len(images)) if part is None else part.range(len(images))
        self.images = images[first:last]
        path.mkdir(exist_ok=True)
        refuse_foreign(path)
        self._lock = lock.Lock(path, exclusive=True)
        try:
            self._database = database.Database(path, writable=True)
            try:
                self._enter(spec, about, part, resume)
                self._database.start_log()
            except BaseException:
                self._database.close()
                raise
        except BaseException:
            self._lock.release()
            raise

    def _enter(self, spec: Spec, about: About, part: Part | None, resume: bool) -> None:
        db = self._database
        if db.is_new():
            db.create({"spec": spec.to_json(), "part": str(part or ""), **about._asdict()})
            return
        meta = db.meta()
        different = spec.first_difference(db.spec())
        if different is None and meta["part"] != str(part or ""):
            different = ("shard", str(part or "") or None, meta["part"] or None)
        if different is not None:
            key, asked, there = different
            raise UsageError(
                f"{self.path}: was made with {key} = {show(there)}, this run has {show(asked)}; choose another name"
            )
        if not resume:
            raise UsageError(f"{self.path}: a run is there already; --resume goes on with it, or choose another name")
        for machine in db.machines():
            db.verify(machine)

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        try:
            self._database.close()
        finally:
            self._lock.release()

    def pending(self, machine: str) -> Counts:
        """The images this machine has not done yet, in increasing order."""
        return np.setdiff1d(self.images, self._database.images_of(machine), assume_unique=True)

    def commit(self, machine: str, batch: Batch) -> int:
        """Keep a batch for good; returns how many of its images were new."""
        return self._database.commit(machine, batch)

    def result(self, machine: str) -> Result:
        """The result of all images of this directory, from what is on the disk.

        Raises
        ------
        FormatError
            What is there is damaged, or of other images.
        """
        if not np.array_equal(self._database.images_of(machine), self.images):
            raise FormatError(f"{self.path}: {database.NAME} holds other images than the run has ({machine})")
        layout = self._database.layout(machine)
        if layout is None:
            raise FormatError(f"{self.path}: {database.NAME} does not say how its rows are laid out ({machine})")
        total = database.add_up(layout, self._database.rows(machine, layout))
        return total.result(self._database.bounds(machine, layout))


def refuse_foreign(path: Path) -> None:
    """Refuse a directory with files in it that no run has put there.

    Raises
    ------
    UsageError
    """
    names = {each.name for each in path.iterdir()}
    if names and database.NAME not in names and names != {lock.NAME}:
        raise UsageError(f"{path}: is a directory with other files in it, not a run; choose another name")


def show(value: object) -> str:
    """A value of a spec, as a person would say it."""
    if value is None or value == "":
        return "none"
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else clean(str(value))
