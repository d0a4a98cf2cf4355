"""All doors."""

from __future__ import annotations

from collections.abc import Iterator

from tests.hostile import data, directories, images, options, prices
from tests.hostile.attack import Attack

DOORS = {
    "data": data.attacks,
    "images": images.attacks,
    "prices": prices.attacks,
    "options": options.attacks,
    "run directories": directories.attacks,
}


def attacks_of(door: str) -> Iterator[Attack]:
    """All attacks on a door."""
    return DOORS[door]()


def every_attack() -> Iterator[Attack]:
    """All attacks on all doors."""
    for attacks in DOORS.values():
        yield from attacks()
