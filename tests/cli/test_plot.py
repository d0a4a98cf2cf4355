"""`refsim plot`: one figure from runs, reports and weight files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from refsim.cli import plot as command
from refsim.exceptions import FormatError, UsageError
from refsim.runs.figure import KINDS, figure

from .conftest import Call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def reports(refsim: Call, weights: Path, here: Path) -> Path:
    """A folder with a run of both neurons, errors, and a run directory of IF neurons."""
    (here / "both.json").write_text(refsim("run", "-w", weights, "--neuron", "both", "-T", 3, "--json", "-q").out)
    (here / "errors.json").write_text(refsim("errors", "-w", weights, "-T", 3, "--json", "-q").out)
    assert refsim("run", "-w", weights, "--neuron", "if", "-T", 3, "-o", "if.run", "-q").code == 0
    return here


def lines(drawn: Figure) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in drawn.axes[0].get_lines()}


def test_kinds_and_schemas_are_those_of_the_library() -> None:
    assert command.KINDS == KINDS


@pytest.mark.parametrize("kind", ["accuracy", "sops", "rates"])
def test_runs_are_drawn(refsim: Call, reports: Path, kind: str) -> None:
    for sources in (["both.json"], ["if.run"], ["both.json", "if.run"]):
        assert refsim("plot", kind, *sources, "-o", "x.png").code == 0
        assert (reports / "x.png").stat().st_size > 1000


def test_accuracies_are_those_of_the_report(reports: Path) -> None:
    stored = json.loads((reports / "both.json").read_text())
    drawn = lines(figure("accuracy", [reports / "both.json"]))
    for name, run in zip(("IF", "dual threshold"), stored["runs"]):
        assert drawn[name] == [step["accuracy"] for step in run["steps"]]
    both = lines(figure("accuracy", [reports / "both.json", reports / "if.run"]))
    assert both["if IF"] == drawn["IF"] == both["both IF"]
    assert list(lines(figure("accuracy", [reports / "both.json"], neuron="dual"))) == ["dual threshold", "ANN"]


def test_errors_are_those_of_the_report(reports: Path) -> None:
    layers = json.loads((reports / "errors.json").read_text())["steps"][-1]["layers"]
    drawn = lines(figure("errors", [reports / "errors.json"]))
    assert drawn["total"] == [layer["against_qcfs"]["total"]["mean"] for layer in layers]
    assert len(figure("counts", [reports / "errors.json"] * 2).axes) == 2


def test_firing_rates_are_those_of_the_report(reports: Path) -> None:
    run = json.loads((reports / "if.run" / "report.json").read_text())["runs"][0]
    drawn = figure("rates", [reports / "if.run"])
    assert drawn.axes[0].get_images()[0].get_array().tolist() == [layer["rate"] for layer in run["layers"]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_file_is_run_for_the_figure(refsim: Call, weights: Path, here: Path, kind: str) -> None:
    done = refsim("plot", kind, weights, "-T", 3, "--limit", 4, "--layer", 3, "-o", f"{kind}.svg", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (here / f"{kind}.svg").stat().st_size > 1000


def test_fonts_are_embedded_and_the_width_is_kept(refsim: Call, reports: Path) -> None:
    assert refsim("plot", "accuracy", "both.json", "--width", "3.25in", "--height", "5cm", "-o", "x.pdf").code == 0
    pdf = (reports / "x.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
    assert box is not None
    assert float(box[1]) == pytest.approx(3.25 * 72, abs=0.01)
    assert float(box[2]) == pytest.approx(5 / 2.54 * 72, abs=0.01)
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_there_is_a_title_only_on_request(reports: Path) -> None:
    assert figure("accuracy", [reports / "both.json"]).get_suptitle() == ""
    assert figure("accuracy", [reports / "both.json"], title="a $b$").get_suptitle() == "a $b$"


@pytest.mark.parametrize("kind", ["accuracy", "sops", "errors", "counts", "residuals"])
def test_no_legend_covers_data(reports: Path, weights: Path, kind: str) -> None:
    source = {"errors": "errors.json", "counts": "errors.json", "residuals": weights}.get(kind, "both.json")
    drawn = figure(kind, [reports / source], layer=3, T=3)
    drawn.draw_without_rendering()
    for ax in drawn.axes:
        legend = ax.get_legend()
        assert legend is not None
        assert not legend.get_window_extent().overlaps(ax.get_window_extent().shrunk(0.999, 0.999))
        ticks = [each.get_text() for each in (*ax.get_xticklabels(which="both"), *ax.get_yticklabels(which="both"))]
        assert not [text for text in ticks if re.search(r"[2-9]\\times", text)]


@pytest.mark.parametrize(
    ("kind", "sources", "error", "message"),
    [
        ("pie", ["both.json"], UsageError, "no figure 'pie'"),
        ("errors", ["if.run"], UsageError, "has no errors to draw"),
        ("errors", ["both.json"], FormatError, "a 'refsim-errors 1' report is needed, this is 'refsim-run 1'"),
        ("accuracy", ["list.json"], FormatError, "this is none"),
        ("accuracy", ["text.json"], FormatError, "not a JSON file"),
        ("accuracy", ["nothing.json"], FormatError, "No such file"),
        ("accuracy", ["half.json"], FormatError, "a damaged report"),
        ("rates", ["half.json"], FormatError, "a damaged report"),
        ("raster", ["a", "b"], UsageError, "shows one weight file"),
        ("accuracy", [], UsageError, "needs a run directory"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    reports: Path, kind: str, sources: list[str], error: type[Exception], message: str
) -> None:
    (reports / "list.json").write_text("[1]")
    (reports / "text.json").write_text("accuracy: good")
    (reports / "half.json").write_text('{"schema": "refsim-run 1", "ann": {}, "runs": [{"neuron": "if", "steps": 3}]}')
    with pytest.raises(error, match=re.escape(message)):
        figure(kind, [reports / each for each in sources])


def test_lengths(refsim: Call, reports: Path) -> None:
    for bad in ("3", "0.1in", "3 in", "-1cm", "100in", "3furlongs"):
        done = refsim("plot", "accuracy", "both.json", "--width", bad, "-o", "x.pdf")
        assert done.code == 2
        assert "is not a length" in done.err
