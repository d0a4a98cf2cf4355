"""Tables fit the terminal, or fold by columns."""

from __future__ import annotations

import pytest

from refsim.cli.tables import columns

ROWS = [["#", "layer", *(f"column {i}" for i in range(9))], ["1", "conv", *("9" * 8 for _ in range(9))]]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = columns(ROWS, keys=2)
    assert max(map(len, lines)) <= width
    heads = [line for line in lines if "layer" in line]
    assert all(line.split()[:2] == ["#", "layer"] for line in heads)
    shown = [int(each) for line in heads for each in line.split() if each.isdecimal()]
    assert shown == list(range(9))
    assert len(heads) == (1 if width == 200 else len(lines) // 3 + 1)


def test_a_column_wider_than_the_terminal_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    lines = columns([["t", "a" * 30, "b"], ["1", "2", "3"]])
    assert lines[0].split() == ["t", "a" * 30]
    assert lines[3].split() == ["t", "b"]
