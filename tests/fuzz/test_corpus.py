"""What fuzzing once found, replayed; and the oracle, which must be able to find."""

from __future__ import annotations

import os
import random
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest

from refsim.exceptions import DataError, FormatError
from tests.fuzz.oracle import Finding, Read, contained, outcome
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def corpus(name: str) -> list[Path]:
    """The kept bytes of a target."""
    return sorted((CORPUS / name).glob("*"))


def reader(name: str) -> Read:
    """How to read a target's bytes here."""
    target = TARGETS[name]
    return contained(target.read) if target.contained else target.read


FOUND = [(name, path) for name in TARGETS for path in corpus(name)]


@pytest.mark.parametrize(("name", "path"), FOUND, ids=[f"{name}-{path.name}" for name, path in FOUND])
def test_what_was_once_found_is_read_or_refused_in_one_clean_line(name: str, path: Path, tmp_path: Path) -> None:
    target = TARGETS[name]
    (tmp_path / target.file).write_bytes(path.read_bytes())
    outcome(reader(name), tmp_path / target.file)


@pytest.mark.parametrize("name", TARGETS)
def test_good_bytes_are_valid_and_damaged_ones_are_not_all_valid(name: str, tmp_path: Path) -> None:
    # Otherwise the fuzzer would be knocking at a door that is always open, or always shut.
    target, rng = TARGETS[name], random.Random(1)
    path = tmp_path / target.file
    seen = set()
    for data in target.seeds():
        path.write_bytes(data)
        seen.add(outcome(reader(name), path))
        for _ in range(10):
            changed = bytearray(data[: rng.randrange(len(data))] if rng.random() < 0.3 else data)
            for _ in range(rng.randrange(1, 9)):
                if changed:
                    changed[rng.randrange(min(len(changed), 500))] = rng.randrange(256)
            path.write_bytes(changed)
            seen.add(outcome(reader(name), path))
    assert "valid" in seen
    assert len(seen) > 2


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.mutate is not None])
def test_mutations_that_keep_checksums_reach_what_lies_behind(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    noise = np.random.default_rng(1)

    def change(data: bytes, most: int) -> bytes:
        changed = bytearray(data or b"\0")
        changed[noise.integers(len(changed))] ^= 1 << noise.integers(8)
        return bytes(changed[:most])

    assert target.mutate is not None
    path, lines = tmp_path / target.file, set()
    for seed in range(30):
        path.write_bytes(target.mutate(target.seeds()[0], 1 << 16, random.Random(seed), change))
        lines.add(outcome(reader(name), path))
    assert len(lines) > 3


def test_the_oracle_finds_what_must_not_happen(tmp_path: Path) -> None:
    def tracebacks(path: Path) -> None:
        raise KeyError(path)

    def two_lines(path: Path) -> None:
        raise FormatError("one\ntwo")

    def escapes(path: Path) -> None:
        raise DataError("\x1b[31m")

    def warns(path: Path) -> None:
        warnings.warn("overflow", RuntimeWarning, stacklevel=1)

    for bad in (tracebacks, two_lines, escapes, warns):
        with pytest.raises(Finding):
            outcome(bad, tmp_path)


def test_a_reader_that_a_signal_ends_is_survived_only_where_it_is_said_to_be(tmp_path: Path) -> None:
    def dies(path: Path) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    assert outcome(contained(dies), tmp_path) == "valid"

    def wrong(path: Path) -> None:
        raise KeyError

    with pytest.raises(Finding):
        outcome(contained(wrong), tmp_path)
