"""Random damage: a few hundred files always, 20,000 with `-m heavy`."""

from __future__ import annotations

import pytest

from .campaign import lookup3, run


def test_randomly_damaged_files_are_refused_or_say_the_same() -> None:
    tally = run(300, seed=1)
    assert tally.failures == []
    assert tally.outcomes["refused"] > 200


@pytest.mark.heavy
def test_20000_randomly_damaged_files_are_refused_or_say_the_same() -> None:
    assert run(20_000, seed=2).failures == []


def test_the_campaign_computes_the_checksum_of_hdf5() -> None:
    # Bob Jenkins' own test values. Without the right hash the forged files would all stop at the first check.
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551
