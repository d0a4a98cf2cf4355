"""Rules that docstrings and comments cite by number ("semantics 2.4c", "C1") stand in docs/semantics.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "semantics.md").read_text()

SECTION = re.compile(r"^## (\d+)\. ", re.MULTILINE)
RULE = re.compile(r"^\s*- \*\*([A-Z]?\d+(?:\.\d+)?[a-z]?)\*\* ", re.MULTILINE)

NUMBER = r"(?:[A-Z]\d+[a-z]?|\d+(?:\.\d+[a-z]?)?)\b"
# "semantics 7 C1-C3", over the end of a line too; and the rules of counting, which are cited without the word.
CITATION = re.compile(
    rf"[Ss]emantics(?:\.md)?[\s#]+({NUMBER}(?:(?:\s*[-,;]\s*|\s+and\s+|\s+){NUMBER})*)|(?<!\w)(C\d+(?:-C\d+)?)\b"
)


def rules(page: str) -> list[str]:
    """Numbers of the sections and rules of a page."""
    return SECTION.findall(page) + RULE.findall(page)


def citations(text: str) -> set[str]:
    """Numbers that a text cites; of a range, C1-C3, all of them."""
    found = set()
    for chain in (first or second for first, second in CITATION.findall(text)):
        found |= set(re.findall(NUMBER, chain))
        for low, high in re.findall(r"C(\d+)-C(\d+)", chain):
            found |= {f"C{i}" for i in range(int(low), int(high) + 1)}
    return found


def unknown(text: str) -> set[str]:
    """What a text cites and the page does not have."""
    return citations(text) - set(rules(PAGE))


def sources() -> list[Path]:
    """Every file with citations; this one cites rules that do not exist."""
    folders = ("refsim", "tests", "analysis", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if path != Path(__file__).resolve()]
    return sorted(path for path in files if citations(path.read_text()))


def test_every_rule_has_a_number_of_its_own() -> None:
    numbers = rules(PAGE)
    assert len(numbers) == len(set(numbers))
    assert set("1234567") | {"2.4c", "C7", "P19"} <= set(numbers)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_cited_rules_exist(path: Path) -> None:
    assert not unknown(path.read_text())


def test_many_files_cite_rules() -> None:
    assert len(sources()) > 20


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("the neuron (QCFS Eq. 2-4; semantics 2.4z)", {"2.4z"}),
        ("Semantics 9.1: spikes", {"9.1"}),
        ("(semantics 7 C1-C9)", {"C8", "C9"}),
        ("spikes entering windows (C12)", {"C12"}),
        ("(semantics P3 and P99)", {"P99"}),
        ("a comment that ends in semantics\n# 8 and goes on", {"8"}),
    ],
)
def test_a_rule_that_does_not_exist_is_found(text: str, missing: set[str]) -> None:
    assert unknown(text) == missing
