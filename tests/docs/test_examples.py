"""Every Python block of README.md and docs/architecture.md runs as it stands, in the order of its page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import DOCS, ROOT, blocks

PAGES = [ROOT / "README.md", DOCS / "architecture.md"]


def run_blocks(page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the blocks of a page one after the other in one process, in a folder with nothing of a checkout in it."""
    program = folder / "page.py"
    program.write_text("\n".join(blocks(page, "python")))
    # Figures need no screen, and refsim is that of this checkout.
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "page.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_examples_of_a_page_run(path: Path, tmp_path: Path) -> None:
    page = path.read_text()
    assert blocks(page, "python")
    done = run_blocks(page, tmp_path)
    assert done.returncode == 0, done.stderr


def test_an_example_that_raises_is_found(tmp_path: Path) -> None:
    page = "Fine:\n\n```python\nimport refsim\n```\n\nNot so:\n\n```python\nrefsim.scatter()\n```\n"
    done = run_blocks(page, tmp_path)
    assert done.returncode != 0
    assert "no attribute 'scatter'" in done.stderr
