"""docs/methods.md lists the methods that there are, in the order of the tables."""

from __future__ import annotations

import re
from pathlib import Path

from refsim.methods.registry import METHODS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text()


def test_the_document_has_a_row_for_every_method() -> None:
    table = TEXT.partition("## The methods")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, flags=re.MULTILINE) == list(METHODS)


def test_what_depends_on_T_or_the_image_is_said() -> None:
    for name, method in METHODS.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", TEXT, flags=re.MULTILINE)
        assert ("for one T" in row) == method.per_T
        assert ("per image" in row) == method.per_image
        assert ("second comparison" in row) == method.signed


def test_numbers_in_the_document_are_those_that_are_used() -> None:
    for name, shown in (("rmp", "0.8 x the largest"), ("srp", "tau = 4"), ("cos", "rho = 4"), ("percentile", "99.9th")):
        assert f"{METHODS[name].setting:g}" in shown
        assert shown in TEXT
