"""weights/: every network there is the one that MANIFEST.json speaks of, and the manifest keeps the promises."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import refsim
from refsim.formats.weights.locate import find_weights

FOLDER = Path(__file__).resolve().parent.parent / "weights"
MANIFEST: dict[str, dict[str, Any]] = json.loads((FOLDER / "MANIFEST.json").read_text())


def test_every_shipped_file_is_in_the_manifest() -> None:
    shipped = {path.name for path in FOLDER.glob("*.h5")}
    assert shipped <= MANIFEST.keys()
    assert MANIFEST.keys() - shipped == {find_weights().name}  # the one in the package


@pytest.mark.parametrize("name", MANIFEST)
def test_manifest_describes_the_file(name: str) -> None:
    path = find_weights(name)
    assert path.stat().st_size == MANIFEST[name]["bytes"] < 30e6
    assert hashlib.sha256(path.read_bytes()).hexdigest() == MANIFEST[name]["sha256"]
    file = refsim.load(path)
    assert file.sha256 == MANIFEST[name]["content_sha256"]
    assert file.samples is not None
    assert len(file.samples.images) == 500
    for key in ("training_command", "training_seed", "training_epochs", "training_data"):
        assert file.network.metadata[key] == MANIFEST[name][key]
