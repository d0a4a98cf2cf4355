"""`refsim report`: writes the page, and refuses early what could not be written late."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Call


def test_the_page_is_written(refsim: Call, weights: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = refsim("report", "-w", weights, "-T", 3, "--closer", 4, "-o", page)
    assert done.code == 0
    assert done.out == ""
    assert f"wrote {page} (0." in done.err
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "page.pdf"), "the name must end in .html"),
        (("-o", "nowhere/page.html"), "there is no folder"),
        (("-T", "1,2"), "a report has one T"),
        (("--closer", "0"), "--closer"),
    ],
)
def test_what_cannot_be_is_refused(
    refsim: Call,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = refsim("report", "-w", weights, *arguments)
    assert done.code == 2
    assert message in done.err
    assert not list(tmp_path.iterdir())
