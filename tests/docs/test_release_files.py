"""CITATION.cff and CHANGELOG.md name the version that this is."""

from __future__ import annotations

import re

import refsim

from .pages import ROOT


def test_the_citation_names_this_version() -> None:
    assert re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE) == [refsim.__version__]


def test_the_changes_of_this_version_are_told() -> None:
    assert f"## {refsim.__version__}" in (ROOT / "CHANGELOG.md").read_text().splitlines()
