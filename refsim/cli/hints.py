"""What someone meant who misspelt a command; options are click's own business."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import click


def unknown_command(name: str, known: Iterable[str], ctx: click.Context) -> click.UsageError:
    """The error for a command that does not exist, with the nearest that do."""
    near = get_close_matches(name, list(known), n=2, cutoff=0.55)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return click.UsageError(f"No such command '{name}'.{meant}", ctx)
