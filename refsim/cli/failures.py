"""What becomes of an error, of whatever kind: one line, an exit code, and for what nobody foresaw a report."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click

from refsim.cli.printing import note
from refsim.exceptions import RefsimError
from refsim.formats.untrusted.text import clean
from refsim.version import __version__

DEBUG = "REFSIM_DEBUG"
"""Environment variable: show tracebacks."""


def explain(error: BaseException) -> tuple[str, int]:
    """A message in one line, and the exit code."""
    match error:
        case KeyboardInterrupt() | click.exceptions.Abort():
            return "interrupted", 130
        case click.UsageError():
            help_ = "" if error.ctx is None else f"; see {error.ctx.command_path} --help"
            return f"{error.format_message().rstrip('.')}{help_}", error.exit_code
        case click.ClickException():
            return error.format_message(), error.exit_code
        case RefsimError():
            return ": ".join([*getattr(error, "__notes__", ()), str(error)]), error.exit_code
        case MemoryError():
            return "out of memory; a smaller --batch needs less", 1
        case OSError():
            return f"{_name(error.filename) or 'system'}: {error.strerror or error}", 1
    report = _report(error)
    kept = f"the report is {report}, please send it" if report else "no report could be written"
    return f"an error that refsim did not foresee: {type(error).__name__}: {error}; {kept}", 1


def _name(path: object) -> str:
    return os.fsdecode(path) if isinstance(path, str | bytes) else "" if path is None else str(path)


def _report(error: BaseException) -> str | None:
    """The file that holds what a maintainer wants to know; None if it could not be written."""
    text = "\n".join(
        [
            f"refsim {__version__}, Python {platform.python_version()}, {platform.platform()}",
            clean(shlex.join(["refsim", *sys.argv[1:]]), 10_000),
            "",
            *_traceback(error),
        ]
    )
    try:
        fd, path = tempfile.mkstemp(prefix="refsim-report-", suffix=".txt")
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError:
        return None
    return path


def show_traceback(error: BaseException) -> None:
    """The traceback on stderr, line by line."""
    for line in _traceback(error):
        note(line)


def _traceback(error: BaseException) -> list[str]:
    lines = "".join(traceback.format_exception(error)).splitlines()
    return [clean(line, 1000) for line in lines]


@contextmanager
def noted_warnings() -> Iterator[None]:
    """Warnings of libraries as one line each, once, instead of a line of source code behind a path."""
    seen: set[str] = set()

    def shown(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = f"{category.__name__}: {message}"
        if text not in seen:
            seen.add(text)
            note(f"refsim: warning: {text}")

    with warnings.catch_warnings():
        warnings.showwarning = shown
        yield
