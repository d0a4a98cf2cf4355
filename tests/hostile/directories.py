"""The door of run directories: databases that are damaged, forged, or something else; merged, and gone on with."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

from tests.hostile.attack import Attack, Make, damaged, odd_files

RUN = ["run", "-q", "-T", "2", "--limit", "4", "--neuron", "if"]


@cache
def good(part: str = "") -> bytes:
    """The database of a run, or of a part of it."""
    with tempfile.TemporaryDirectory() as folder:
        shard = ["--shard", part] if part else []
        command = [sys.executable, "-m", "refsim", *RUN, "-o", "a.run", *shard]
        root = str(Path(__file__).parents[2])
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": root})
        return Path(folder, "a.run", "run.db").read_bytes()


def _merging(*changes: Callable[[Path], None], parts: tuple[str, ...] = ("",)) -> Make:
    def make(folder: Path) -> list[str]:
        for i, part in enumerate(parts):
            (folder / f"{i}.run").mkdir()
            (folder / f"{i}.run" / "run.db").write_bytes(good(part))
        for change in changes:
            change(folder / "0.run")
        return ["merge", *(f"{i}.run" for i in range(len(parts)))]

    return make


def _resuming(*changes: Callable[[Path], None]) -> Make:
    def make(folder: Path) -> list[str]:
        _merging(*changes)(folder)
        return [*RUN, "-o", "0.run", "--resume"]

    return make


def _content(data: bytes) -> Callable[[Path], None]:
    return lambda path: void((path / "run.db").write_bytes(data))


def void(value: object) -> None:
    """Nothing, of whatever."""


def _sql(*statements: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path / "run.db")) as connection:
            for statement in statements:
                connection.executescript(statement)
            connection.commit()

    return change


def _meta(key: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    """Another word about the run, with the checksum that belongs to it."""

    def apply(path: Path) -> None:
        with closing(sqlite3.connect(path / "run.db")) as connection:
            (old,) = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            new = change(old)
            crc = zlib.crc32(new.encode(), zlib.crc32(key.encode()))
            connection.execute("UPDATE meta SET value = ?, crc = ? WHERE key = ?", (new, crc, key))
            connection.commit()

    return apply


def _spec(**changes: object) -> Callable[[str], str]:
    return lambda old: json.dumps(json.loads(old) | changes)


SPECS = (
    {"engine": "0.0"}, {"weights": "b" * 64}, {"weights": "b"}, {"data": "b" * 64}, {"data": "\x1b[31m"}, {"images": 5},
    {"images": 10**9}, {"images": -1}, {"images": "5"}, {"limit": None}, {"limit": 0}, {"limit": 3}, {"pad": 1},
    {"pad": True}, {"T": 3}, {"T": 0}, {"T": 2**40}, {"T": True}, {"T": 2.0}, {"dtype": "int8"}, {"dtype": "x"},
    {"neuron": "dual"}, {"neuron": []}, {"theta_neg": -0.5}, {"theta_neg": 10**400}, {"theta_neg_mode": "x"}, {"v0": 1},
    {"v0": 0.25}, {"v0": 10**400}, {"v0": float("nan")}, {"v0": float("inf")}, {"skip_zero_weights": True},
    {"skip_zero_weights": 0}, {"ann": False}, {"extra": 1},
)  # fmt: skip

WORDS = (
    "",
    "x",
    "[" * 9999,
    "{}",
    "null",
    "\x1b[31m",
    "9" * 9999,
    "a" * 100_000,
    "1/2",
    "2/2",
    "1/1",
    "01/1",
    "1/0",
    "5/5",
)

STATEMENTS = (
    "DROP TABLE images;",
    "DROP TABLE batches;",
    "DROP TABLE meta;",
    "DELETE FROM images;",
    "DELETE FROM batches;",
    "DELETE FROM meta WHERE key = 'spec';",
    "DELETE FROM meta WHERE key LIKE 'layout%';",
    "DELETE FROM meta WHERE key LIKE 'rows%';",
    "DELETE FROM images WHERE rowid = 1;",
    "UPDATE images SET counts = x'';",
    "UPDATE images SET counts = zeroblob(100000000) WHERE rowid = 1;",
    "UPDATE images SET crc = crc + 1;",
    "UPDATE images SET image = image + 1000000;",
    "UPDATE images SET image = -image - 1;",
    "UPDATE images SET machine = 'dual' WHERE machine = 'if';",
    "UPDATE images SET machine = char(27) || '[31m' WHERE machine = 'if';",
    "INSERT INTO images SELECT 'other', image, counts, crc FROM images WHERE machine = 'if';",
    "INSERT INTO images SELECT machine, image + 7, counts, crc FROM images;",
    "INSERT INTO batches SELECT * FROM batches;",
    "UPDATE batches SET bounds = x'00';",
    "UPDATE batches SET bounds = zeroblob(56);",
    "CREATE TABLE more (a);",
    "CREATE INDEX more ON images (crc);",
    "CREATE TRIGGER more AFTER INSERT ON images BEGIN DELETE FROM images; END;",
    "CREATE VIEW more AS SELECT 1;",
    "DROP TABLE images; CREATE VIEW images AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) "
    "SELECT 'if' AS machine, i AS image, x'00' AS counts, 0 AS crc FROM n;",
    "PRAGMA user_version = 99;",
    "PRAGMA application_id = 99;",
    "PRAGMA journal_mode = WAL;",
    "VACUUM;",
    "UPDATE meta SET value = 'refsim-run-directory 2' WHERE key = 'format';",
    "UPDATE meta SET crc = 0;",
    "UPDATE meta SET value = value || ' ';",
)


def attacks() -> Iterator[Attack]:
    """All of them."""
    # Without its layout, its rows or its spec a run is not finished, or of another network: wrong usage. A database
    # that holds what the good one holds is right.
    codes = (0, 2, 3)

    def attack(name: str, make: Make, *right: int) -> Attack:
        return Attack("run directories", name, make, right or codes)

    yield attack("as it is, merged", _merging(), 0)
    yield attack("as it is, gone on with", _resuming(), 0)
    yield attack("two parts", _merging(parts=("1/2", "2/2")), 0)
    yield attack("one part", _merging(parts=("1/2",)), 2)
    yield attack("a part twice", _merging(parts=("1/2", "1/2", "2/2")), 0)
    for what, changed in damaged(good(), 40, 300):
        yield attack(f"{what}, merged", _merging(_content(changed)))
        yield attack(f"{what}, gone on with", _resuming(_content(changed)))
    for i, statement in enumerate(STATEMENTS):
        yield attack(f"statement {i}, merged", _merging(_sql(statement)))
        yield attack(f"statement {i}, gone on with", _resuming(_sql(statement)))
    for change in SPECS:
        yield attack(f"{str(change)[:40]}, merged", _merging(_meta("spec", _spec(**change))), 2, 3)
        yield attack(f"{str(change)[:40]}, gone on with", _resuming(_meta("spec", _spec(**change))), 2, 3)
        yield attack(
            f"{str(change)[:40]} in one of two", _merging(_meta("spec", _spec(**change)), parts=("1/2", "2/2")), 2, 3
        )
    for key in ("spec", "part", "layout if", "source", "weights", "weights_path", "rows if"):
        for word in WORDS:
            right = (0, 2, 3) if key in ("source", "weights", "weights_path", "part", "rows if") else (2, 3)
            yield attack(f"{key} = {word[:9]!r}", _merging(_meta(key, lambda old, word=word: word)), *right)
    for name in ("run.db", "lock", "run.db-wal", "run.db-journal", "run.db-shm"):
        for what, put in odd_files():
            if what in ("nothing", "a hole of 20 GB"):
                continue

            def change(path: Path, name: str = name, put: Callable[[Path], None] = put) -> None:
                (path / name).unlink(missing_ok=True)
                put(path / name)

            # What the system refuses to read is no fault of the file.
            right = (0, 1, 2, 3) if what == "a link to memory" else codes
            yield attack(f"{what} as {name}, merged", _merging(change), *right)
            yield attack(f"{what} as {name}, gone on with", _resuming(change), *right)
