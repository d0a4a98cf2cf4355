"""The list of mutations, and what one is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutation:
    """A bad file: `make` gives its bytes, the error must match the regular expression `says`."""

    name: str
    make: Callable[[], bytes]
    says: str


MUTATIONS: list[Mutation] = []


def add(name: str, make: Callable[[], bytes], says: str) -> None:
    """Put a mutation on the list."""
    MUTATIONS.append(Mutation(name, make, says))


def write(mutation: Mutation, folder: Path) -> Path:
    """The bad file as `net.h5` in a folder."""
    path = folder / "net.h5"
    path.write_bytes(mutation.make())
    return path
