"""RUN/run.db: one row per image, one transaction per batch of images."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import CheckFailedError, FormatError, RefsimError, UsageError
from refsim.formats.atomic import sync_folder
from refsim.formats.untrusted.opening import require_regular
from refsim.formats.untrusted.text import clean
from refsim.runs.store.rows import Batch, Columns, Sum, combine, pack, unpack
from refsim.runs.store.spec import Part, Spec

Counts = NDArray[np.int64]

NAME = "run.db"
FORMAT = "refsim-run-directory 3"

_MODULUS = 1 << 256
_INFINITY = int(np.array(np.inf).view(np.int64))

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE images (
    machine TEXT NOT NULL, image INTEGER NOT NULL, counts BLOB NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (machine, image)
) STRICT;
CREATE TABLE batches (machine TEXT NOT NULL, bounds BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
"""
_MEANT = {"spec", "part", "weights", "weights_path", "source"}
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_ERROR)


class Database:
    """What is in a run directory; `directory` must be locked by the caller.

    Every transaction is on the disk when it returns, and all or nothing of it is there whatever happens meanwhile.
    """

    def __init__(self, directory: Path, *, writable: bool) -> None:
        self._directory = directory
        self._known_seal: bytes | None = None
        for name in (NAME, *(f"{NAME}-{ending}" for ending in ("journal", "wal", "shm"))):
            # SQLite opens what is there, also a pipe, for which it waits, and a link to a device that never ends.
            if os.path.lexists(directory / name):
                require_regular(directory / name, what="database")
        with self._explained():
            self._connection = self._connect(directory / NAME) if writable else self._connect_to_read(directory / NAME)

    def _connect(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None)
        # The lock beside the file already keeps others out. With an exclusive one SQLite needs no memory shared
        # between processes, which network file systems do not have and a full disk has no room for.
        for pragma in ("locking_mode = EXCLUSIVE", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection

    def _connect_to_read(self, path: Path) -> sqlite3.Connection:
        if not path.is_file():
            raise FormatError(f"{self._directory}: no run directory, it holds no {NAME}")
        # A run that was killed left a log beside the file, and SQLite has to take it up: that is writing.
        mode = "rw" if os.access(path, os.W_OK) and os.access(self._directory, os.W_OK) else "ro"
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        return connection

    def start_log(self) -> None:
        """Write to a log from now on, one sync for each transaction; until here the file is as it was found."""
        with self._explained():
            self._connection.execute("PRAGMA journal_mode = WAL").fetchall()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in one line what SQLite's errors mean here."""
        try:
            yield
        except sqlite3.Error as error:
            kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if kind in _NO_ROOM:
                raise RefsimError(
                    f"{self._directory}: cannot be written ({error}); is the disk full? What was finished before is "
                    "safe, --resume goes on"
                ) from None
            if kind == sqlite3.SQLITE_BUSY:
                raise UsageError(f"{self._directory}: another program has {NAME} open") from None
            if kind == sqlite3.SQLITE_READONLY:
                raise RefsimError(f"{self._directory}: cannot be written ({error})") from None
            if kind in _DAMAGED:
                raise FormatError(
                    f"{self._directory}: {NAME} is damaged, or no run of refsim ({clean(str(error))})"
                ) from None
            raise RefsimError(f"{self._directory}: {clean(str(error))}") from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors, a full disk among them.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def is_new(self) -> bool:
        """Whether nothing was ever written; a process that died at once may leave an empty file."""
        with self._explained():
            return not self._connection.execute("SELECT name FROM sqlite_master").fetchall()

    def create(self, meta: dict[str, str]) -> None:
        """Make the tables and say what the run is, in one transaction."""
        with self._transaction() as connection:
            for statement in _TABLES.split(";\n"):
                connection.execute(statement)
            for key, value in (("format", FORMAT), *meta.items()):
                _put_meta(connection, key, value)
        self._sync_directory()

    def _sync_directory(self) -> None:
        for path in (self._directory, self._directory.absolute().parent):
            sync_folder(path)

    def meta(self) -> dict[str, str]:
        """What the run is.

        Raises
        ------
        FormatError
            Not a run directory of this version, or a damaged one.
        """
        with self._explained():
            found = self._connection.execute("SELECT key, value FROM meta").fetchall()
            if ("format", FORMAT) not in found:
                raise FormatError(f"{self._directory}: not a run directory of this version of refsim ({FORMAT})")
            # A table that is a view or has triggers would run whatever its author likes.
            tables = self._connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
            rows = self._connection.execute("SELECT key, value, crc FROM meta").fetchall()
        if set(tables) != {(each.strip(),) for each in _TABLES.split(";")[:-1]}:
            raise FormatError(f"{self._directory}: {NAME} has other tables than a run of refsim")
        if any(not isinstance(value, str) or _crc(str(key), value.encode()) != crc for key, value, crc in rows):
            raise FormatError(f"{self._directory}: {NAME} is damaged where it says what the run is")
        meta = {key: value for key, value, _ in rows}
        missing = _MEANT - meta.keys()
        if missing:
            raise FormatError(f"{self._directory}: {NAME} does not say its {min(missing)}")
        try:
            Spec.from_json(meta["spec"])
            part = Part.parse(meta["part"]) if meta["part"] else None
        except FormatError as error:
            raise FormatError(f"{self._directory}: {error}") from None
        except UsageError:
            raise FormatError(f"{self._directory}: {NAME} does not say which part of a run it is") from None
        if meta["part"] != str(part or ""):
            raise FormatError(f"{self._directory}: {NAME} does not say which part of a run it is")
        return meta

    def part(self) -> Part | None:
        """The part of the run that the directory is; None: the whole of it."""
        text = self.meta()["part"]
        return Part.parse(text) if text else None

    def spec(self) -> Spec:
        """What decides the bits of the run.

        Raises
        ------
        FormatError
            As `meta`, or a spec that is none.
        """
        return Spec.from_json(self.meta()["spec"])

    def images_of(self, machine: str) -> Counts:
        """Which images this machine is done with, in increasing order."""
        with self._explained():
            found = self._connection.execute(
                "SELECT image FROM images WHERE machine = ? ORDER BY image", (machine,)
            ).fetchall()
        if any(not isinstance(image, int) for (image,) in found):
            raise FormatError(f"{self._directory}: {NAME} is damaged at its images ({machine})")
        return np.array([image for (image,) in found], dtype=np.int64)

    def commit(self, machine: str, batch: Batch) -> int:
        """Insert the rows of a batch, or find them there and equal; returns how many images are new.

        Raises
        ------
        CheckFailedError
            An image is there with other numbers.
        """
        packed = [(int(image), pack(row)) for image, row in zip(batch.images, batch.rows, strict=True)]
        new = added = 0
        seal = self._seal()
        with self._transaction() as connection:
            self._keep_layout(connection, machine, batch.layout)
            for image, counts in packed:
                there = connection.execute(
                    "SELECT counts FROM images WHERE machine = ? AND image = ?", (machine, image)
                ).fetchone()
                if there is None:
                    new += 1
                    row = (machine, image, counts, _crc(f"{machine} {image}", counts))
                    connection.execute("INSERT INTO images VALUES (?, ?, ?, ?)", row)
                    added += _digest(seal, f"{machine} {image}", counts)
                elif there != (counts,):
                    raise CheckFailedError(
                        f"{self._directory}: image {image} ({machine}) was computed twice, with different results"
                    )
            if new:
                bounds = batch.bounds.astype("<i8").tobytes()
                connection.execute("INSERT INTO batches VALUES (?, ?, ?)", (machine, bounds, _crc(machine, bounds)))
                added += _digest(seal, f"bounds {machine}", bounds)
                self._add_to_checksum(connection, machine, added)
        return new

    def _seal(self) -> bytes:
        """Of what the run is: a row that was moved to another run, or part, has another digest there."""
        if self._known_seal is None:
            meta = self.meta()
            self._known_seal = hashlib.sha256(f"{FORMAT}\n{meta['spec']}\n{meta['part']}\n".encode()).digest()
        return self._known_seal

    def _add_to_checksum(self, connection: sqlite3.Connection, machine: str, added: int) -> None:
        key = f"rows {machine}"
        there = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        before = 0 if there is None else int(there[0], 16)
        _put_meta(connection, key, f"{(before + added) % _MODULUS:064x}")

    def verify(self, machine: str) -> None:
        """Compare the rows and bounds of a machine with their checksum.

        It is the sum of the SHA-256 of each, with what the run is: in any order, and added to by each batch.

        Raises
        ------
        FormatError
            They are not those that were written.
        """
        seal, total = self._seal(), 0
        with self._explained():
            rows = self._connection.execute("SELECT image, counts, crc FROM images WHERE machine = ?", (machine,))
            for image, counts, crc in rows:
                if not isinstance(counts, bytes) or _crc(f"{machine} {image}", counts) != crc:
                    raise FormatError(f"{self._directory}: {NAME} is damaged at image {image} ({machine})")
                total += _digest(seal, f"{machine} {image}", counts)
            batches = self._connection.execute("SELECT bounds, crc FROM batches WHERE machine = ?", (machine,))
            for bounds, crc in batches:
                if not isinstance(bounds, bytes) or _crc(machine, bounds) != crc:
                    raise FormatError(f"{self._directory}: {NAME} is damaged at its batches ({machine})")
                total += _digest(seal, f"bounds {machine}", bounds)
        stored = self.meta().get(f"rows {machine}", f"{0:064x}")
        if f"{total % _MODULUS:064x}" != stored:
            raise FormatError(f"{self._directory}: {NAME} is damaged: its rows are not those written ({machine})")

    def machines(self) -> list[str]:
        """Every machine of which there are rows."""
        with self._explained():
            found = self._connection.execute(
                "SELECT machine FROM images UNION SELECT machine FROM batches ORDER BY machine"
            ).fetchall()
        return [str(machine) for (machine,) in found]

    def _keep_layout(self, connection: sqlite3.Connection, machine: str, layout: Columns) -> None:
        key, text = f"layout {machine}", layout.to_json()
        there = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if there is None:
            _put_meta(connection, key, text)
        elif there != (text,):
            raise CheckFailedError(f"{self._directory}: rows of another layout are there ({machine})")

    def layout(self, machine: str) -> Columns | None:
        """The layout of a machine's rows; None before its first batch."""
        text = self.meta().get(f"layout {machine}")
        try:
            return None if text is None else Columns.from_json(text)
        except FormatError as error:
            raise FormatError(f"{self._directory}: {NAME}: {error}") from None

    def rows(self, machine: str, layout: Columns) -> Iterator[tuple[int, bytes]]:
        """Image and packed counts of every row, by image.

        Raises
        ------
        FormatError
            A row whose checksum is wrong, or that has another length than its layout says.
        """
        lengths = [layout.width * each for each in (1, 2, 4, 8)]
        before = -1
        with self._explained():
            for image, counts, crc in self._connection.execute(
                "SELECT image, counts, crc FROM images WHERE machine = ? ORDER BY image", (machine,)
            ):
                fits = isinstance(counts, bytes) and len(counts) in lengths
                # An index that was forged gives rows twice, or in any order.
                if not fits or _crc(f"{machine} {image}", counts) != crc or image <= before:
                    raise FormatError(f"{self._directory}: {NAME} is damaged at image {image} ({machine})")
                before = image
                yield image, counts

    def bounds(self, machine: str, layout: Columns) -> Counts:
        """The combined bounds of all batches.

        Raises
        ------
        FormatError
            A batch whose checksum is wrong, or that has other bounds than its layout says.
        """
        with self._explained():
            found = self._connection.execute("SELECT bounds, crc FROM batches WHERE machine = ?", (machine,)).fetchall()
        damaged = [
            not isinstance(raw, bytes) or len(raw) != 8 * layout.n_bounds or _crc(machine, raw) != crc
            for raw, crc in found
        ]
        numbers = [np.frombuffer(raw, "<i8").astype(np.int64) for raw, _ in found if not any(damaged)]
        # As bit patterns of doubles: from 0 to infinity.
        if not numbers or any(each.min() < 0 or each.max() > _INFINITY for each in numbers):
            raise FormatError(f"{self._directory}: {NAME} is damaged at its batches ({machine})")
        return combine(numbers)

    def close(self) -> None:
        """Close, and leave one plain file without a log, which can be copied and read on read-only media.

        Where that does not work, on a full disk for example, the log stays: nothing in it is lost.
        """
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        self._connection.close()


def add_up(layout: Columns, rows: Iterator[tuple[int, bytes]]) -> Sum:
    """The sum of packed rows."""
    total = Sum(layout)
    for _, counts in rows:
        total.add(unpack(counts, layout.width))
    return total


def _put_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, value, _crc(key, value.encode())))


def _digest(seal: bytes, label: str, data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(seal + f"{label}\n".encode() + data).digest(), "big")


def _crc(label: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(label.encode()))
