"""Reports as files: JSON, and CSV or Parquet for those that have rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from refsim.exceptions import UsageError
from refsim.formats.atomic import write_atomically
from refsim.formats.untrusted.text import clean


class Report(Protocol):
    """Anything that becomes one JSON object."""

    def to_json(self) -> dict[str, Any]:
        """The object."""


class Table(Report, Protocol):
    """A report whose numbers are rows, too."""

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Rows with the same keys."""


def as_json(report: Report) -> str:
    """The report as a JSON document."""
    return json.dumps(report.to_json(), indent=2) + "\n"


def as_csv(report: Table) -> str:
    """The rows of a report as CSV, with a head."""
    rows = report.rows()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """What a spreadsheet may be given: text without controls, and none that it would take for a formula."""
    if not isinstance(value, str):
        return value
    text = clean(value, None)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def as_parquet(report: Table) -> bytes:
    """The rows of a report as a Parquet file.

    Raises
    ------
    UsageError
        pyarrow is not installed.
    """
    require_parquet()
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(report.rows())), buffer)
    return buffer.getvalue()


def require_parquet() -> None:
    """Check that Parquet files can be written.

    Raises
    ------
    UsageError
        pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise UsageError("Parquet files need pyarrow: pip install 'refsim[parquet]'")


def write_rows(output: Path, report: Table) -> None:
    """Write a report as .csv, .parquet or .json; the file is complete or not there.

    Raises
    ------
    UsageError
        A .parquet file, and pyarrow is not installed.
    """
    match output.suffix:
        case ".parquet":
            data = as_parquet(report)
        case ".csv":
            data = as_csv(report).encode()
        case _:
            data = as_json(report).encode()
    write_atomically(output, data)
