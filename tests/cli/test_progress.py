"""What a waiting person sees: a bar on a terminal, a line now and then on a pipe."""

from __future__ import annotations

import sys

import pytest

from refsim.cli import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that have passed."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    return now


def test_a_pipe_is_told_every_so_often(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bars(False)("IF", 1000) as done:
        for _ in range(100):
            clock[0] += 1
            done(10)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "IF: 150 of 1,000 images, about 1.4 min to go"
    assert [line.split()[1] for line in lines] == ["150", "300", "450", "600", "750", "900"]


def test_a_short_run_and_a_quiet_one_say_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for quiet, seconds in ((False, 0.1), (True, 60)):
        with progress.bars(quiet)("IF", 10) as done:
            for _ in range(10):
                clock[0] += seconds
                done(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "text"), [(4.2, "4 s"), (90, "1.5 min"), (7200, "2.0 h")])
def test_durations(seconds: float, text: str) -> None:
    assert progress._duration(seconds) == text
