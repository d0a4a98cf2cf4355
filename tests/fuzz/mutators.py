"""Mutations that keep checksums right, so that what lies behind them is reached.

A mutator takes bytes and `change`, which changes bytes at random up to a length (atheris.Mutate), and gives bytes.
"""

from __future__ import annotations

import gzip
import io
import random
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.formats.campaign import set_end
from tests.formats.checksums import metadata_blocks, with_checksums

Change = Callable[[bytes, int], bytes]
Mutator = Callable[[bytes, int, random.Random, Change], bytes]


def hdf5(data: bytes, most: int, rng: random.Random, change: Change) -> bytes:
    """Change some bytes of the metadata or anything, and make its checksums and the length fit."""
    blocks = list(metadata_blocks(data)) if len(data) > 64 else []
    if blocks and rng.random() < 0.7:
        start, end = rng.choice(blocks)
        at = rng.randrange(start, end)
        n = min(rng.randrange(1, 64), end - at)
        changed = data[:at] + change(data[at : at + n], n).ljust(n, b"\0")[:n] + data[at + n :]
        return with_checksums(changed, blocks)
    if len(data) > 64 and rng.random() < 0.7:
        at = rng.randrange(len(data))
        n = rng.randrange(1, 64)
        return data[:at] + change(data[at : at + n], n).ljust(n, b"\0")[:n] + data[at + n :]
    changed_all = bytearray(change(data, most))
    if len(changed_all) > 64:
        set_end(changed_all)
    return bytes(changed_all)


def zip_members(data: bytes, most: int, rng: random.Random, change: Change) -> bytes:
    """Change one member of an archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:
        return change(data, most)
    if not members or rng.random() < 0.2:
        return change(data, most)
    name = rng.choice(sorted(members))
    members[name] = change(members[name], max(64, 2 * len(members[name])))
    buffer = io.BytesIO()
    packed = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", packed) as archive:
        for key, content in members.items():
            archive.writestr(zipfile.ZipInfo(key), content)
    return buffer.getvalue()


def gzip_content(data: bytes, most: int, rng: random.Random, change: Change) -> bytes:
    """Change what is packed."""
    try:
        content = gzip.decompress(data)
    except Exception:
        return change(data, most)
    return change(data, most) if rng.random() < 0.3 else gzip.compress(change(content, most), mtime=0)


def sqlite_cells(data: bytes, most: int, rng: random.Random, change: Change) -> bytes:
    """Change one value of a table, with the checksum of its row, or the file as it is."""
    if rng.random() < 0.3:
        return change(data, most)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.db"
        path.write_bytes(data)
        try:
            connection = sqlite3.connect(path, isolation_level=None)
            # A table may be an endless view by now.
            connection.set_progress_handler(lambda: 1, 1_000_000)
            try:
                _change_cell(connection, rng, change)
            finally:
                connection.close()
        except (sqlite3.Error, TypeError, ValueError):  # a damaged database gives any type, or none
            return change(data, most)
        return path.read_bytes()


def _change_cell(connection: sqlite3.Connection, rng: random.Random, change: Change) -> None:
    table, columns = rng.choice(
        [("meta", ["value"]), ("images", ["image", "counts"]), ("batches", ["bounds"]), ("meta", ["key", "value"])]
    )
    row, *values = rng.choice(
        connection.execute(f"SELECT rowid, {', '.join(columns)} FROM {table}").fetchall() or [(0,)]
    )
    if not values:
        return
    place = rng.randrange(len(values))
    values[place] = _changed(values[place], rng, change)
    assignments = ", ".join(f"{column} = ?" for column in columns)
    connection.execute(f"UPDATE {table} SET {assignments} WHERE rowid = ?", [*values, row])
    label, value = {
        "meta": ("key", "value"),
        "images": ("machine || ' ' || image", "counts"),
        "batches": ("machine", "bounds"),
    }[table]
    connection.create_function("crc", 2, _crc)
    connection.execute(f"UPDATE {table} SET crc = crc({label}, {value}) WHERE rowid = ?", [row])


def _crc(label: Any, value: Any) -> int:
    return zlib.crc32(value.encode() if isinstance(value, str) else value, zlib.crc32(str(label).encode()))


def _changed(value: Any, rng: random.Random, change: Change) -> Any:
    if isinstance(value, int):
        return rng.choice([0, -1, value + 1, 1 << 62, -(1 << 62)])
    if isinstance(value, str):
        return change(value.encode("utf-8", "replace"), 2 * len(value) + 16).decode("utf-8", "replace")
    return change(value, 2 * len(value) + 16)
