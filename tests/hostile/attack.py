"""What an attack is, and the means that several doors share."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

Make = Callable[[Path], list[str]]
"""Makes the input in an empty folder, which is the working directory then; gives the arguments of refsim."""


class Attack(NamedTuple):
    """One hostile input; `codes` are the exit codes that are right for it."""

    door: str
    name: str
    make: Make
    codes: tuple[int, ...]


HOSTILE_NAMES = (
    "\x1b[31mred",
    "new\nline",
    "\N{RIGHT-TO-LEFT OVERRIDE}txt",
    "'; rm -rf",
    "=cmd",
    "a" * 200,
    "\udcff",
    "-x",
    " ",
)
"""File names."""


def odd_files() -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Ways of putting something else than a regular file, or none, at a path."""
    yield "a pipe", os.mkfifo
    yield "a directory", Path.mkdir
    yield "an empty file", Path.touch
    yield "nothing", lambda path: None
    yield "an endless device", lambda path: path.symlink_to("/dev/zero")
    yield "a full device", lambda path: path.symlink_to("/dev/full")
    yield "a link to nothing", lambda path: path.symlink_to("missing")
    yield "a link to itself", lambda path: path.symlink_to(path.name)
    yield "a link to memory", lambda path: path.symlink_to("/proc/self/mem")
    yield "a terminal", lambda path: path.symlink_to("/dev/tty")
    yield "a hole of 20 GB", lambda path: _hole(path, 20 << 30)


def _hole(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def damaged(data: bytes, n: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """A file cut short, with bytes changed, with numbers made extreme, and with something behind it: n of them."""
    chance = random.Random(seed)
    for i in range(n):
        changed = bytearray(data)
        at = chance.randrange(len(data))
        match i % 5:
            case 0:
                # Half of the cuts fall into the head, where the claims are.
                yield f"cut {i}", data[: chance.randrange(min(200, len(data))) if i % 2 else at]
            case 1:
                changed[at] ^= 1 << chance.randrange(8)
                yield f"bit {i}", bytes(changed)
            case 2:
                at = chance.randrange(min(len(data), 160))
                changed[at : at + 4] = chance.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\x80"])
                yield f"number {i}", bytes(changed)
            case 3:
                yield f"tail {i}", data + chance.randbytes(chance.randrange(1, 100))
            case _:
                other = chance.randrange(len(data))
                n_bytes = chance.randrange(1, 64)
                changed[at : at + n_bytes] = data[other : other + n_bytes]
                yield f"block {i}", bytes(changed)
