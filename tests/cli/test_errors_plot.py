"""`refsim errors --plot`: the figure shows the numbers of the table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from refsim.reports.errors import SHARES, LayerReport
from tests.cli.conftest import Call


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were written, in place of their files."""
    figures: list[Figure] = []
    monkeypatch.setattr("refsim.reports.figures.save_figure", lambda figure, path: figures.append(figure))
    return figures


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figure_is_written_beside_the_table(
    refsim: Call, weights: Path, tmp_path: Path, ending: str, start: bytes
) -> None:
    plot = tmp_path / f"errors.{ending}"
    plain = refsim("errors", "-w", weights, "-T", 2, "--limit", 3, "-q")
    done = refsim("errors", "-w", weights, "-T", 2, "--limit", 3, "-q", "--plot", plot)
    assert done == plain
    assert plot.read_bytes().startswith(start)


def test_stacked_bars_are_the_means_of_the_report(refsim: Call, weights: Path, drawn: list[Figure]) -> None:
    common = ("errors", "-w", weights, "-T", 3, "--limit", 5, "-q", "--json")
    layers = json.loads(refsim(*common, "--plot", "x.png").out)["steps"][0]["layers"]
    split, counts = drawn[0].axes
    for container in split.containers:
        key = container.get_label()
        assert [bar.get_height() for bar in container] == [layer["against_qcfs"][key]["mean"] for layer in layers]
    assert split.get_lines()[0].get_ydata().tolist() == [layer["against_qcfs"]["total"]["mean"] for layer in layers]
    one_too_many = [bar.get_height() for bar in counts.containers[0]]
    assert one_too_many == pytest.approx([layer["spike_count"]["plus_1"] for layer in layers])
    assert drawn[0].get_suptitle() == "small, IF, T = 3, 5 images"


def test_one_layer_is_drawn_with_spread_histogram_and_course(refsim: Call, weights: Path, drawn: list[Figure]) -> None:
    common = ("errors", "-w", weights, "-T", 3, "--layer", 2, "--all-steps", "-q", "--json")
    steps = [step["layers"][0] for step in json.loads(refsim(*common, "--plot", "x.svg").out)["steps"]]
    spread, histogram, course = drawn[0].axes
    rms = next(line for line in spread.get_lines() if line.get_label() == "RMS")
    parts = ("quantization", "unevenness", "propagated", "total")
    assert np.asarray(rms.get_xdata()).tolist() == [steps[-1]["against_qcfs"][key]["rms"] for key in parts]
    assert len(histogram.patches) == len(steps[-1]["spike_count"]["k"])
    for line, key in zip(course.get_lines(), parts):
        assert np.asarray(line.get_ydata()).tolist() == [step["against_qcfs"][key]["rms"] for step in steps]


def test_all_layers_over_time_are_one_line_each(refsim: Call, weights: Path, drawn: list[Figure]) -> None:
    refsim("errors", "-w", weights, "-T", 2, "--limit", 2, "--all-steps", "-q", "--plot", "x.png")
    course = drawn[0].axes[2]
    assert course.get_legend_handles_labels()[1] == ["if1", "if2", "if3"]


def layer_with(**errors: Any) -> LayerReport:
    """A report of one layer of which only some errors matter."""
    return LayerReport(
        number=1, name="a", reads=("b",), theta=(1.0, 1.0), L=4, clipped=False, errors=SimpleNamespace(**errors)
    )


def test_parts_are_those_that_can_be_known() -> None:
    relu = dict.fromkeys(("clipping", "quantization", "unevenness", "local"))
    with_ann = relu | dict.fromkeys(("propagated", "total"))
    qcfs = dict.fromkeys(("quantization", "propagated", "total", "unevenness"))
    pooled = with_ann | {"pool": None}
    known = ((relu, {}), (with_ann, {}), (with_ann, qcfs), (pooled, {}), (pooled, qcfs | {"pool": None}))
    found = [list(layer_with(against_relu=a, against_qcfs=b).parts) for a, b in known]
    assert found == [
        ["clipping", "quantization", "unevenness", "local"],
        ["clipping", "quantization", "unevenness", "propagated", "total"],
        ["quantization", "unevenness", "propagated", "total"],
        ["clipping", "quantization", "unevenness", "pool", "propagated", "total"],
        ["quantization", "unevenness", "pool", "propagated", "total"],
    ]


def test_shares_sort_neurons_by_their_k() -> None:
    layer = layer_with(k={-3: 1, -2: 1, -1: 3, 0: 6, 1: 4, 2: 5})
    found = {key: 20 * layer.share(*limits) for key, limits in SHARES.items()}
    assert found == {"-1": 3, "<= -2": 2, "+1": 4, ">= 2": 5}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("errors.jpg", "'errors.jpg' should end in .png, .svg, .pdf"),
        ("errors", "'errors' should end in .png, .svg, .pdf"),
        ("nowhere/errors.png", "there is no folder 'nowhere'"),
    ],
)
def test_figure_that_cannot_be_written_is_refused_before_the_work(
    refsim: Call, weights: Path, name: str, message: str
) -> None:
    done = refsim("errors", "-w", weights, "--plot", name)
    assert (done.code, done.out) == (2, "")
    assert f"Invalid value for '--plot': {message}" in done.err


def test_commands_without_a_figure_do_not_import_matplotlib(weights: Path) -> None:
    code = (
        "import sys; from refsim.cli.main import cli\n"
        f"for command in ('run', 'errors'):\n    options = ['-w', {str(weights)!r}, '-T', '1', '--limit', '1', '-q']\n"
        "    cli.main([command, *options], standalone_mode=False)\n"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
