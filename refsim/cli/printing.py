"""What reaches a terminal: every line that a command prints goes through here, and nothing in it acts on the terminal.

Names, units, class names, paths and messages come from files and arguments of strangers. Here, and not where each is
used, control characters, bidirectional marks and line breaks become visible escapes. A style is a mark that nobody who
writes a file can know; it becomes an escape sequence behind that.
"""

from __future__ import annotations

import re
import secrets
import sys

import click

from refsim.formats.untrusted.text import clean

MOST_CHARACTERS = 1000
"""Of a message: more would be what was put in, repeated."""

_TOKEN = secrets.token_hex(8)
_BOLD, _DIM, _END = (f"\0{_TOKEN}{name}" for name in ("bold", "dim", "end"))
_SEQUENCES = {
    _BOLD: click.style("", bold=True, reset=False),
    _DIM: click.style("", dim=True, reset=False),
    _END: click.style("", reset=True),
}
_MARK = re.compile("|".join(map(re.escape, _SEQUENCES)))


def emphasize(text: str, color: bool) -> str:
    """Bold, where colours are on."""
    return f"{_BOLD}{text}{_END}" if color else text


def dim(text: str, color: bool) -> str:
    """Less prominent, where colours are on."""
    return f"{_DIM}{text}{_END}" if color else text


def show(*lines: str, color: bool | None = None) -> None:
    """Print lines on stdout, each one as one line; `color` as in `click.echo`."""
    click.echo("\n".join(map(_printable, lines)), color=color)


def show_document(text: str) -> None:
    """Print a document that refsim has made of several lines, such as JSON."""
    show(*text.rstrip("\n").split("\n"))


def note(text: str) -> None:
    """Print one line for the person on stderr, cut in its middle if it is too long."""
    click.echo(_printable(shortened(text)), err=True)


def overwrite(text: str, *, last: bool) -> None:
    """Print a line on stderr over the one before; the last one stays."""
    click.echo(f"\r{_printable(text)}", nl=last, err=True)


def shortened(text: str) -> str:
    """A message of a reasonable length: the beginning says where, the end what to do."""
    if len(text) <= MOST_CHARACTERS:
        return text
    head, tail = MOST_CHARACTERS * 7 // 10, MOST_CHARACTERS * 3 // 10
    return f"{text[:head]} \N{HORIZONTAL ELLIPSIS} {text[-tail:]}"


def is_terminal() -> bool:
    """Whether stderr is one."""
    return sys.stderr.isatty()


def _printable(line: str) -> str:
    parts = re.split(f"({_MARK.pattern})", line)
    return "".join(_SEQUENCES[part] if part in _SEQUENCES else clean(part, None) for part in parts)
