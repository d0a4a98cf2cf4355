"""The pages of the documentation, and the code in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def blocks(page: str, language: str = "") -> list[str]:
    """Fenced blocks of a language; without one also indented ones."""
    fenced = re.findall(rf"^```{language or '[a-z]*'}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    if language:
        return fenced
    return fenced + re.findall(r"(?:^(?: {4}.*)?\n)*^ {4}.*\n", page, re.MULTILINE)


def inline(page: str) -> list[str]:
    """What stands between single backticks, perhaps over the end of a line."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(each.split()) for each in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
