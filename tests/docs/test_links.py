"""Links and paths in the documentation lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .pages import PAGES, ROOT, inline

FOLDERS = "refsim|tests|docs|analysis|benchmarks|weights"


def broken_links(page: str, folder: Path) -> list[str]:
    """Links to files that are not there."""
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", page)
    return [target for target in targets if not (folder / target.partition("#")[0]).exists()]


def missing_paths(page: str) -> list[str]:
    """Paths from the root of the checkout, in code or in the running text, that are not there."""
    words = {word for code in inline(page) for word in code.split()}
    words |= set(re.findall(rf"(?<![\w/.])(?:{FOLDERS})/[\w./-]*\w", re.sub(r"\]\([^)]*\)|`[^`]*`", "", page)))
    paths = {word.partition("::")[0] for word in words if re.fullmatch(rf"(?:{FOLDERS})/[\w./-]+(?:::\w+)?", word)}
    return sorted(path for path in paths if not (ROOT / path).exists())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_paths_resolve(path: Path) -> None:
    page = path.read_text()
    assert not broken_links(page, path.parent)
    assert not missing_paths(page)


def test_a_link_or_path_that_leads_nowhere_is_found() -> None:
    page = "[one](docs/none.md), [two](README.md#speed), `refsim/none.py`, `tests/none.py::test`, see docs/gone.md."
    assert broken_links(page, ROOT) == ["docs/none.md"]
    assert missing_paths(page) == ["docs/gone.md", "refsim/none.py", "tests/none.py"]
