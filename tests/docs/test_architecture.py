"""docs/architecture.md has the rooms that there are, and the contract that is kept."""

from __future__ import annotations

import re
import tomllib

from .pages import DOCS, ROOT, blocks

PAGE = (DOCS / "architecture.md").read_text()


def rooms(tree: str) -> set[str]:
    """Folders that a drawing of the tree names, below refsim/."""
    return set(re.findall(r"^  ([\w/]+)/ ", tree, re.MULTILINE))


def folders() -> set[str]:
    """Folders of refsim that hold anything besides what Python leaves behind."""
    files = [path.relative_to(ROOT / "refsim") for path in (ROOT / "refsim").rglob("*") if path.is_file()]
    return {str(path.parent) for path in files if "__pycache__" not in path.parts} - {"."}


def test_the_tree_has_every_folder_and_no_other() -> None:
    (tree,) = (block for block in blocks(PAGE) if block.startswith("refsim/"))
    assert rooms(tree) == folders()


def test_a_folder_that_is_missing_from_the_tree_is_found() -> None:
    assert rooms("refsim/\n  model/   layers\n  engine/kernels/   twins\n") == {"model", "engine/kernels"} < folders()


def test_the_floors_are_those_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (floors,) = (each["layers"] for each in contracts if each["name"] == "one way, downhill")
    assert "\n".join(floors) + "\n" in blocks(PAGE)
