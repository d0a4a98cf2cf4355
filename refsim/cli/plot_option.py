"""--plot: which file a figure goes to."""

from __future__ import annotations

from pathlib import Path

import click

from refsim.formats.untrusted.text import clean

FORMATS = (".png", ".svg", ".pdf")


def check_plot(context: click.Context, option: click.Parameter, value: str | None) -> Path | None:
    """Refuse, before hours of work, a name that says no known format or a folder that does not exist."""
    if value is None:
        return None
    path = Path(value)
    if path.suffix.lower() not in FORMATS:
        raise click.BadParameter(f"'{clean(value)}' should end in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder '{clean(str(path.parent))}'")
    return path
