"""docs/notes-on-the-papers.md and docs/figures.md: their commands exist, and what no other test shows."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTES = (ROOT / "docs" / "notes-on-the-papers.md").read_text()
FIGURES = (ROOT / "docs" / "figures.md").read_text()


def late_reset(u: list[Fraction], theta: Fraction, v0: Fraction) -> tuple[int, Fraction]:
    """Spikes and final potential of an IF neuron that subtracts theta s(t - 1), as NQ Eq. 2 prints it."""
    v, before, n = v0, 0, 0
    for current in u:
        m = v + current
        s = int(m >= theta)
        v, before, n = m - theta * before, s, n + s
    return n, v


def test_nq_eq_2_as_printed_resets_a_step_late_and_fires_once_too_often() -> None:
    """NQ Eq. 2 with s(t - 1): three spikes for two, and potential is not conserved (NQ Eq. 5)."""
    from tests.theorems.machines import run_neuron

    theta, v0, u = Fraction(1), Fraction(1, 2), [Fraction(2, 5)] * 4
    assert run_neuron(u, theta, v0).n[-1] == 2
    n, v = late_reset(u, theta, v0)
    assert n == 3
    assert v != v0 + sum(u) - theta * n


@pytest.mark.parametrize("words", sorted(set(re.findall(r"pytest tests/theorems -k ([\w ]+?)(?:`|\n)", NOTES))))
def test_named_theorem_tests_exist(words: str) -> None:
    _exist(words, (ROOT / "tests" / "theorems").glob("test_*.py"))


@pytest.mark.parametrize("words", re.findall(r"^\| .*\| `([\w ]+)` \|$", NOTES, flags=re.MULTILINE))
def test_tests_named_in_the_table_of_hypotheses_exist(words: str) -> None:
    _exist(words, (ROOT / "tests" / "theorems").glob("test_*.py"))


def _exist(words: str, files) -> None:
    names = re.findall(r"def (test_\w+)", "".join(path.read_text() for path in files))
    for word in words.split(" or "):
        assert any(word in name for name in names), word


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:analysis|tests)/[\w/]+\.py", NOTES + FIGURES))))
def test_named_scripts_and_tests_exist(path: str) -> None:
    assert (ROOT / path).is_file()


def test_figures_in_the_docs_exist_and_are_small_and_all_of_them_are_shown() -> None:
    shown = set(re.findall(r"\]\((figures/[\w.]+)\)", NOTES + FIGURES))
    there = {f"figures/{path.name}" for path in (ROOT / "docs" / "figures").iterdir()}
    assert shown == there
    assert all((ROOT / "docs" / name).stat().st_size < 200_000 for name in there)


def test_every_finding_ends_in_a_command() -> None:
    findings = re.split(r"^## F\d+", NOTES.split("# Corrections")[0], flags=re.MULTILINE)[1:]
    assert len(findings) == 10
    for finding in findings:
        assert re.search(r"(python analysis/|pytest |refsim errors)", finding), finding.splitlines()[0]
