"""How things look where they are shown: one line each, escaped HTML, figures on one's own Axes."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import pytest

import refsim

mpl.use("agg")


def test_everything_a_notebook_shows_is_one_line(file: refsim.WeightFile) -> None:
    run = refsim.run(file, T=2, neuron="both", limit=4)
    shown = (
        (file, "WeightFile small.h5: 3 spiking layers, IF, "),
        (file.network, "Network small: 3 spiking layers, IF, "),
        (refsim.open_images(file, limit=4), "Images: 4 samples from the file, labelled, 20 in the data set"),
        (run, "Run of 4 samples from the file: SnnRun small, if: accuracy "),
        (run["dual"], "SnnRun small, dual: accuracy "),
        (refsim.layer_errors(file, limit=4), "ErrorReport small, if, T=4: 3 layers, 4 samples from the file"),
        (refsim.compare(file, methods=["qcfs"], T=1, limit=4, n_calibrate=2), "Comparison small, T=1: qcfs; 4 samples"),
    )
    for thing, start in shown:
        assert repr(thing).startswith(start)
        assert "\n" not in repr(thing)
        assert len(repr(thing)) < 400


def test_names_from_files_are_escaped(file: refsim.WeightFile) -> None:
    network = replace(file.network, name="<script>alert(1)</script>")
    hostile = replace(file, network=network)
    images = refsim.open_images(hostile, limit=3)
    shown = (
        hostile,
        network,
        images,
        refsim.run(hostile, images, T=1),
        refsim.layer_errors(hostile, images, T=1),
        refsim.compare(hostile, images, methods=["qcfs"], T=1, calibrate_on_test=True),
    )
    for thing in shown:
        assert "<script" not in thing._repr_html_()
        assert thing._repr_html_().startswith(("<pre>", "<p>"))


@pytest.mark.parametrize("x", ["t", "energy"])
def test_a_run_is_drawn_on_the_axes_it_is_given(file: refsim.WeightFile, x: str) -> None:
    from matplotlib.figure import Figure

    run = refsim.run(file, T=3, neuron="both")
    ax = Figure().subplots()
    assert run.plot(ax, x=x) is ax
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
    assert [line.get_ydata().tolist() for line in lines] == [run[kind].accuracy.tolist() for kind in ("if", "dual")]
    assert run.plot(x=x) is not ax


def test_errors_and_comparisons_are_drawn(file: refsim.WeightFile) -> None:
    report = refsim.layer_errors(file, limit=4)
    bars = {each.get_label(): each for each in report.plot().containers}
    for key, bar in bars.items():
        assert [patch.get_height() for patch in bar] == [layer.parts[key].mean for layer in report.layers]
    done = refsim.compare(file, methods=["qcfs", "opi"], T=(1, 2), limit=4, n_calibrate=2)
    for x in ("t", "sops"):
        lines = done.plot(x=x).get_lines()
        assert [line.get_label() for line in lines] == ["qcfs", "opi", "ANN"]
        assert list(lines[0].get_ydata()) == [100 * step.accuracy for step in done["qcfs"].steps]
    assert list(lines[0].get_xdata()) == [step.sop / 4 for step in done["qcfs"].steps]
