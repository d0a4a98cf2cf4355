"""A small weight file, and the command line called as a person calls it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from refsim.cli import main
from refsim.formats.weights.hdf5 import Samples, save
from refsim.verification.golden import record_golden
from tests.simulation.networks import raw_images, small_network


class Outcome(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


def heed_sigint() -> None:
    """For a child that is to be interrupted: tests that run in the background are begun with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def refsim(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """`refsim(...)` runs the command line on a wide terminal; it never lets a traceback through."""
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = 0
        try:
            main([str(each) for each in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Outcome(code, printed.out, printed.err)

    return call


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network with 20 samples and golden results."""
    path = tmp_path_factory.mktemp("weights") / "small.h5"
    network = small_network()
    samples = Samples(images=raw_images(20), labels=np.arange(20, dtype=np.int64) % 5)
    first = Samples(images=samples.images[:6], labels=samples.labels[:6])
    save(path, network, samples=samples, golden=[record_golden(network, first, kind, 3) for kind in ("if", "dual")])
    return path
