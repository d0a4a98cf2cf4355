"""The small network as a weight file, opened as a notebook opens it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import refsim
from tests.simulation.networks import raw_images, small_network


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network with 20 samples."""
    path = tmp_path_factory.mktemp("front") / "small.h5"
    samples = refsim.Samples(images=raw_images(20), labels=np.arange(20, dtype=np.int64) % 5)
    refsim.save(path, small_network(), samples=samples)
    return path


@pytest.fixture(scope="session")
def file(path: Path) -> refsim.WeightFile:
    """It, loaded."""
    return refsim.load(path)
