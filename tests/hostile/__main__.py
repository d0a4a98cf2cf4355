"""Try all attacks, or those of some doors, and print how many were judged right."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.hostile.doors import attacks_of, every_attack
from tests.hostile.oracle import judge


def main(doors: list[str]) -> int:
    """Returns how many were judged wrong."""
    tried: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for attack in [a for door in doors for a in attacks_of(door)] or every_attack():
        tried[attack.door] += 1
        with tempfile.TemporaryDirectory(prefix="hostile-") as place:
            folder = Path(place) / "here"
            folder.mkdir()
            what = judge(attack, folder)
        if what is not None:
            wrong[attack.door] += 1
            print(f"{attack.door}: {attack.name!r}: {what}", flush=True)
    for door, n in tried.items():
        print(f"{door:16}  {n:5} attacks  {wrong[door]:3} judged wrong")
    return wrong.total()


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 99))
