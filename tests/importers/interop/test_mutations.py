"""Whatever is changed in a file of another tool, it is refused in one line, or it is a valid network.

`pytest -m heavy` damages 5,000 files of each kind; without it, some hundreds.
"""

from __future__ import annotations

import resource
import shutil
import time

import numpy as np
import pytest

import refsim
from refsim.exceptions import RefsimError

from . import judge, mutants

SECONDS = 10
MEGABYTES = 500

KINDS = {
    "pt2": ("qcfs-vgg.pt2", "qcfs-resnet-core.pt2"),
    "onnx": (
        "qcfs-resnet-legacy.onnx", "qcfs-vgg-dynamo.onnx", "relu6-depthwise-dynamo.onnx", "relu-qdq-onnxruntime.onnx",
        "lowbit-qcdq-brevitas.onnx", "preprocessing-inside.onnx", "unsupported-bottleneck.onnx",
    ),
}  # fmt: skip


def damage(kind, n, folder, seed):
    """Convert n damaged files; the number of those that are networks after all."""
    if kind == "onnx":
        pytest.importorskip("onnx")
    shutil.copy(judge.DATA / "qcfs-vgg-dynamo.onnx.data", folder)
    rng = np.random.default_rng(seed)
    n_networks, refusals = 0, []
    for number in range(n):
        source = judge.DATA / KINDS[kind][number % len(KINDS[kind])]
        path = folder / source.name
        path.write_bytes(mutants.mutant(source, rng))
        started = time.process_time()
        try:
            file = refsim.convert(path, mean=[0.0], std=[1.0], max_pool="or")
        except RefsimError as error:
            text = ": ".join([*getattr(error, "__notes__", ()), str(error)])
            refusals.append((number, error.exit_code, text))  # the error itself would keep the file's arrays
        except Exception as error:
            error.add_note(f"{source.name}, seed {seed}, number {number}")
            raise
        else:
            n_networks += 1
            assert np.isfinite(file.network.readout.bias).all(), number
        assert time.process_time() - started < SECONDS, number
    for number, code, text in refusals:
        assert code in (2, 3), number
        assert text, number
        assert text.isprintable(), (number, text)
    return n_networks


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_refused_in_one_line_or_are_networks(kind, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert 0 < damage(kind, 300, tmp_path, seed=7) < 300
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MEGABYTES * 1024


@pytest.mark.heavy
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
def test_five_thousand_damaged_files_are_refused_in_one_line_or_are_networks(kind, tmp_path):
    assert 0 < damage(kind, 5000, tmp_path, seed=11) < 5000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < MEGABYTES * 1024
