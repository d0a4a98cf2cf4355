"""The last guard: whatever goes wrong, in a library or in refsim, is one line of bounded length and an exit code."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

import click
import numpy as np
import pytest

from refsim.cli.main import cli
from refsim.exceptions import RefsimError
from tests.cli.conftest import Call


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where reports are written."""
    folder = tmp_path / "reports"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def running(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None, body=None) -> None:
    """Let `refsim run` raise this, or do that."""

    @click.command()
    def run() -> None:
        if body is not None:
            body()
        if error is not None:
            raise error

    monkeypatch.setattr(cli, "get_command", lambda ctx, name: run)


UNFORESEEN = [
    TypeError("int() argument\n\x1b[31m"),
    KeyError("key"),
    ZeroDivisionError(),
    RecursionError("too deep"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"),
    AssertionError(),
    np.linalg.LinAlgError("singular"),
    OverflowError("too large"),
]


@pytest.mark.parametrize("error", UNFORESEEN, ids=lambda each: type(each).__name__)
def test_what_nobody_foresaw_is_one_line_with_a_report(
    refsim: Call, monkeypatch: pytest.MonkeyPatch, reports: Path, error: Exception
) -> None:
    running(monkeypatch, error)
    done = refsim("run")
    assert (done.code, done.out) == (1, "")
    line = done.err.removesuffix("\n")
    assert line.isprintable()
    name = type(error).__name__
    assert line.startswith(f"refsim: an error that refsim did not foresee: {name}: ")
    (report,) = reports.iterdir()
    assert line.endswith(f"; the report is {report}, please send it")
    text = report.read_text()
    assert text.startswith("refsim ")
    assert "Traceback (most recent call last):" in text
    assert f"\n{name}" in text or f".{name}" in text
    assert all(each.isprintable() for each in text.splitlines())


def test_a_report_that_cannot_be_written_does_not_hide_the_error(
    refsim: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    running(monkeypatch, KeyError("key"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert refsim("run").err.endswith("KeyError: 'key'; no report could be written\n")


@pytest.mark.parametrize("error", [KeyError("key"), RefsimError("what is wrong")])
def test_debug_shows_the_traceback_before_the_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, reports: Path, error: Exception
) -> None:
    from refsim.cli import main

    running(monkeypatch, error)
    monkeypatch.setenv("REFSIM_DEBUG", "1")
    with pytest.raises(SystemExit, match="1"):
        main(["run"])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert any("test_failures.py" in line for line in lines)
    assert lines[-1].startswith("refsim: ")


def test_a_megabyte_of_input_is_not_repeated(refsim: Call, monkeypatch: pytest.MonkeyPatch, reports: Path) -> None:
    running(monkeypatch, RefsimError("beginning" + "x" * 1_000_000 + "end"))
    err = refsim("run").err
    assert err.startswith("refsim: beginningxxx")
    assert err.endswith("xxxend\n")
    assert len(err) < 1100
    running(monkeypatch, KeyError("x" * 1_000_000))
    err = refsim("run").err
    assert len(err) < 1100
    assert "please send it" in err
    monkeypatch.undo()
    assert len(refsim("run", "-T", "9" * 1_000_000).err) < 1100
    assert len(refsim("x" * 1_000_000).err) < 1100
    assert len(refsim("run", "--limit", "9" * 1_000_000).err) < 1100


def test_warnings_of_libraries_are_one_line_each_and_once(refsim: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn() -> None:
        for _ in range(3):
            warnings.warn("corrupt EXIF\n\x1b[2J", UserWarning, stacklevel=1)
        np.float64(1e308) * np.array([10.0])

    running(monkeypatch, body=warn)
    done = refsim("run")
    lines = done.err.splitlines()
    assert lines[0] == r"refsim: warning: UserWarning: corrupt EXIF\x0a\x1b[2J"
    assert re.fullmatch(r"refsim: warning: RuntimeWarning: overflow encountered in .*multiply", lines[1])
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "-o", "a\0.csv"], r"an argument holds the character NUL: a\x00.csv"),
        (["run", "-T", "9" * 5000], "is not a number of steps"),
        (["run", "--limit", "9" * 5000], "--limit"),
        (["run", "--limit", "1" + 30 * "0"], "is not in the range 1<=x<=100000000"),
        (["run", "--batch", "1" + 30 * "0"], "is not in the range 1<=x<=100000000"),
        (["run", "--threads", "1000000"], "is not in the range 1<=x<=1024"),
        (["run", "--min-accuracy", "inf"], "inf is not in the range"),
        (["run", "--min-accuracy", "nan"], "nan is not a finite number"),
        (["run", "--v0", "1e999"], "inf is not a finite number"),
        (["run", "-o", "a.run", "--shard", "9" * 5000], "write it as I/N"),
        (["errors", "--layer", "9" * 5000], "no spiking layer"),
        (["compare", "--n-calibrate", "1" + 30 * "0"], "is not in the range"),
        (["verify", "--limit", "1" + 30 * "0"], "is not in the range"),
    ],
)
def test_arguments_out_of_all_bounds_are_one_line(
    refsim: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = refsim(*arguments)
    assert done.code in (2, 3)
    assert done.out == ""
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_a_home_that_does_not_exist_among_the_places_of_weights_is_no_error(
    refsim: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFSIM_WEIGHTS", "~nosuchuser")
    done = refsim("info", "-w", "no such network")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "looked in ., ~nosuchuser" in done.err


def test_no_command_prints_past_the_one_place() -> None:
    """`click.echo`, `print` and the streams appear in printing.py alone; a progress bar has no text of strangers."""
    import refsim.cli

    root = Path(refsim.cli.__file__).parent
    ways = re.compile(r"click\.(secho|echo)\(|\bprint\(|\.show\(\)|(?:stdout|stderr)\.(?:write|buffer)")
    found = {path.name for path in root.glob("*.py") if ways.search(path.read_text())}
    assert found == {"printing.py"}
    assert "click" in sys.modules
