"""docs/reliability.md names a test for every promise; a test that is renamed must be renamed there too."""

from __future__ import annotations

import re
from pathlib import Path

from tests.hostile.doors import DOORS, attacks_of

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "reliability.md"


def promises() -> list[tuple[str, str]]:
    """Promise and what keeps it, from every row of every table."""
    rows = [line.strip("|").split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("|")]
    found = [(cells[0].strip(), cells[1]) for cells in rows if cells[0].strip() not in ("promise", "door", "---")]
    return [each for each in found if each[0] not in counts()]


def counts() -> dict[str, int]:
    """Hostile inputs by door, as the document has them; the door as it stands there."""
    return {
        door: int(n) for door, n in re.findall(r"^\| (`[a-z ]+`) \| ([0-9]+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    }


def test_the_document_counts_the_hostile_inputs() -> None:
    assert counts() == {f"`{door}`": len(list(attacks_of(door))) for door in DOORS}


def test_every_promise_names_tests_that_exist() -> None:
    found = promises()
    assert len(found) > 30
    for promise, keepers in found:
        file = None
        names = re.findall(r"`([^`]+)`", keepers)
        tests = [name for name in names if ".py" in name or name.startswith("::")]
        assert tests, promise
        for name in tests:
            path, _, function = name.partition("::")
            file = TESTS / path if path else file
            assert file is not None, promise
            assert file.is_file(), f"{promise}: {name}"
            assert not function or f"def {function}(" in file.read_text(), f"{promise}: {name}"


def test_every_test_of_survival_and_of_clusters_is_named_or_has_a_neighbour_that_is() -> None:
    text = DOCUMENT.read_text()
    for folder in ("store", "cluster", "large"):
        for path in sorted((TESTS / folder).glob("test_*.py")):
            if path.name != "test_rows.py":
                assert f"{folder}/{path.name}" in text, path.name
