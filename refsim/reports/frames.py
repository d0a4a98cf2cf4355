"""Rows of numbers as tables of other libraries, where these are installed, and as notebooks show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from refsim.exceptions import UsageError

Row = Mapping[str, object]


def to_pandas(rows: Sequence[Row]) -> Any:
    """A pandas DataFrame with a row for each of `rows`.

    Raises
    ------
    UsageError
        pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise UsageError("to_pandas needs pandas: pip install pandas") from None
    return pandas.DataFrame(list(rows))


def require_xarray() -> Any:
    """The module xarray.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise UsageError("to_xarray needs xarray: pip install xarray") from None
    return xarray


def as_html(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A small table for a notebook; every text is escaped, since names come from files."""
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<p>{escape(title)}</p><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
