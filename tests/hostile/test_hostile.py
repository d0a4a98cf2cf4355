"""Every hostile input is judged right; a sample of each door here, all of them behind the marker `heavy`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.attack import Attack
from tests.hostile.doors import DOORS, attacks_of
from tests.hostile.oracle import judge, wrong_with

SAMPLE = 30
"""Attacks of each door that every run of the tests tries, spread evenly."""

ALL = {door: list(attacks_of(door)) for door in DOORS if door != "run directories"}


def try_all(attacks: list[Attack], folder: Path) -> list[str]:
    """What is wrong with each, those that are right left out."""
    wrong = []
    for i, attack in enumerate(attacks):
        place = folder / str(i) / "here"
        place.mkdir(parents=True)
        what = judge(attack, place)
        if what is not None:
            wrong.append(f"{attack.door}: {attack.name!r}: {what}")
    return wrong


@pytest.mark.parametrize("door", DOORS)
def test_some_of_the_attacks_on_each_door_are_judged_right(tmp_path: Path, door: str) -> None:
    attacks = list(attacks_of(door))
    assert try_all(attacks[:: max(1, len(attacks) // SAMPLE)], tmp_path) == []


@pytest.mark.heavy
@pytest.mark.parametrize("door", DOORS)
def test_all_attacks_on_a_door_are_judged_right(tmp_path: Path, door: str) -> None:
    assert try_all(list(attacks_of(door)), tmp_path) == []


def test_there_are_a_thousand() -> None:
    assert sum(map(len, ALL.values())) > 1000


def test_no_two_attacks_on_a_door_have_one_name() -> None:
    for door, attacks in ALL.items():
        names = [attack.name for attack in attacks]
        assert len(set(names)) == len(names), door


@pytest.mark.parametrize(
    ("code", "out", "err", "what"),
    [
        (3, b"", b"refsim: no\n", None),
        (0, b"result\n", b"refsim: warning: hm\n", None),
        (1, b"", b"refsim: no\n", "exit code 1"),
        (0, b"", b"", "said nothing"),
        (3, b"", b"", "not one line"),
        (3, b"", b"Traceback\n  File\n", "not one line"),
        (3, b"", b"refsim: a\nrefsim: b\n", "not one line"),
        (3, b"", b"refsim: " + b"x" * 2000 + b"\n", "a line of"),
        (3, b"", b"refsim: \x1b[2J\n", "acts on a terminal"),
        (0, b"\x9b\n", b"", "no UTF-8"),
        (0, "\N{RIGHT-TO-LEFT OVERRIDE}\n".encode(), b"", "acts on a terminal"),
        (3, b"result\n", b"refsim: no\n", "with an error"),
    ],
)
def test_the_judge_finds_what_must_not_happen(code: int, out: bytes, err: bytes, what: str | None) -> None:
    found = wrong_with(code, (0, 3), out, err)
    assert (found is None) if what is None else (found is not None and what in found)


@pytest.mark.parametrize(
    ("arguments", "what"), [(["run", "--data", "a.npz"], None), (["--version"], "exit code 0, not one of")]
)
def test_the_judge_runs_what_it_judges(tmp_path: Path, arguments: list[str], what: str | None) -> None:
    (tmp_path / "here").mkdir()
    found = judge(Attack("data", "none", lambda folder: arguments, (3,)), tmp_path / "here")
    assert (found is None) if what is None else (found is not None and what in found)
