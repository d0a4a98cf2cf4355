"""Figures about networks: what is drawn is the numbers that were given."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from refsim.analysis.residual import gaussian_shares
from refsim.plots.accuracy import Accuracies, plot_accuracy, plot_ann_line, plot_energy_front
from refsim.plots.density import plot_density, plot_residual
from refsim.plots.errors import plot_counts, plot_error_over_time, plot_spike_counts, plot_split, plot_spread
from refsim.plots.rates import plot_by_layer_and_step
from refsim.plots.style import COLUMN, LOOKS, PARTS, literal, new_figure, save_figure, styled


def bars(container) -> list[tuple[float, float]]:
    """Lower and upper end of every bar."""
    return [(round(bar.get_y(), 9), round(bar.get_y() + bar.get_height(), 9)) for bar in container]


def ys(line) -> list[float]:
    return np.asarray(line.get_ydata()).tolist()


def xs(line) -> list[float]:
    return np.asarray(line.get_xdata()).tolist()


def test_parts_of_an_error_are_stacked_away_from_zero_and_the_total_is_their_sum(ax):
    parts = {"clipping": [-0.1, -0.2], "unevenness": [0.3, -0.1], "propagated": [0.1, 0.4]}
    plot_split(ax, ["a", "b"], parts, [0.3, 0.1])
    clipping, unevenness, propagated = ax.containers
    assert bars(clipping) == [(0, -0.1), (0, -0.2)]
    assert bars(unevenness) == [(0, 0.3), (-0.2, -0.3)]
    assert bars(propagated) == [(0.3, 0.4), (0, 0.4)]
    assert ys(ax.get_lines()[0]) == [0.3, 0.1]
    assert ax.get_legend_handles_labels()[1] == ["total", *parts]


def test_spikes_too_many_go_up_and_too_few_go_down(ax):
    plot_counts(ax, ["a"], {"+1": [0.2], ">= 2": [0.1], "-1": [0.05], "<= -2": [0.01]})
    assert [bars(each)[0] for each in ax.containers] == [(0, 0.2), (0.2, 0.3), (0, -0.05), (-0.05, -0.06)]
    assert ax.yaxis.get_major_formatter()(-0.05, 0) == "5 %"


def test_long_names_are_slanted_and_a_dollar_in_them_is_a_dollar(ax):
    plot_split(ax, ["layer$1$.conv.act"], {"unevenness": [0.1]}, [0.1])
    (label,) = ax.get_xticklabels()
    assert (label.get_text(), label.get_rotation(), label.get_parse_math()) == ("layer$1$.conv.act", 45, False)


def test_error_over_time_has_a_line_for_each_name(ax):
    plot_error_over_time(ax, [1, 2], {"unevenness": [0.0, 0.1], "total": [0.3, 0.2], "if$1$": [0.1, 0.1]})
    lines = ax.get_lines()[:3]
    assert [ys(line) for line in lines] == [[0.0, 0.1], [0.3, 0.2], [0.1, 0.1]]
    assert lines[0].get_color() == PARTS["unevenness"][0]
    assert lines[2].get_label() == literal("if$1$") == r"if\$1\$"
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 3


def test_histogram_of_k_shows_shares(ax):
    plot_spike_counts(ax, {-1: 1, 0: 6, 2: 1})
    assert {bar.get_x() + 0.35: bar.get_height() for bar in ax.patches} == pytest.approx({-1: 0.125, 0: 0.75, 2: 0.125})
    assert ax.get_yscale() == "log"


def test_spread_draws_interval_mean_and_rms_of_each_part(ax):
    plot_spread(ax, ["clipping", "total"], [-0.2, -0.1], [0.0, 0.05], [0.1, 0.3], [0.06, 0.2])
    intervals = [(bar.get_x(), round(bar.get_x() + bar.get_width(), 9)) for bar in ax.patches]
    assert intervals == [(-0.2, 0.1), (-0.1, 0.3)]
    rms, mean = ax.get_lines()[:2]
    assert (xs(rms), xs(mean)) == ([0.06, 0.2], [0.0, 0.05])


def test_density_has_a_cell_for_every_pair_of_values_and_none_where_nothing_is(ax):
    counts = np.array([[5, 0, 0], [1, 7, 0]])
    plot_density(ax, counts, np.array([0.0, 1.0]), np.array([0.0, 0.5, 1.0]))
    drawn = ax.collections[0].get_array()
    assert drawn.filled(0).tolist() == counts.T.tolist()
    assert drawn.mask.sum() == 3
    assert ax.get_xlim() == (-0.5, 1.5)
    assert ax.get_ylim() == (-0.25, 1.25)


def test_residual_stands_beside_what_a_gaussian_expects(ax):
    values, share = np.array([-0.5, 0.0, 0.5]), np.array([0.1, 0.8, 0.1])
    expected = gaussian_shares(values, 0.0, 0.25)
    plot_residual(ax, values, share, expected)
    assert [bar.get_height() for bar in ax.patches] == share.tolist()
    assert ys(ax.get_lines()[0]) == expected.tolist()


def test_gaussian_shares_are_those_of_scipy():
    values = np.arange(-4, 5) / 4
    edges = np.append(values - 0.125, values[-1] + 0.125)
    expected = np.diff(norm(0.1, 0.3).cdf(edges))
    assert gaussian_shares(values, 0.1, 0.3) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="needs std > 0"):
        gaussian_shares(values, 0.0, 0.0)


def test_accuracy_has_a_line_and_a_band_and_ticks_at_powers_of_two(ax):
    run = Accuracies([1, 2, 3, 4], [0.5, 0.6, 0.7, 0.8], [0.4, 0.5, 0.6, 0.7], [0.6, 0.7, 0.8, 0.9])
    plot_accuracy(ax, {"dual": run})
    plot_ann_line(ax, 0.85)
    line, ann = ax.get_lines()
    assert (ys(line), line.get_label(), line.get_color()) == (
        run.accuracy,
        "dual threshold",
        LOOKS["dual"].color,
    )
    band = ax.collections[0].get_paths()[0].get_extents()
    assert (band.ymin, band.ymax) == (0.4, 0.9)
    assert ys(ann) == [0.85, 0.85]
    assert ax.get_xticks().tolist() == [1, 2, 4]


def test_points_that_nothing_beats_are_filled(ax):
    runs = {
        "if": (np.array([1, 2]), np.array([1e-6, 2e-6]), np.array([0.8, 0.7])),
        "dual": (np.array([1, 2]), np.array([1e-6, 3e-6]), np.array([0.7, 0.9])),
    }
    plot_energy_front(ax, runs, LOOKS)
    points = [line for line in ax.get_lines() if line.get_linestyle() == "None" and len(line.get_xdata())]
    filled = {(line.get_xdata()[0], line.get_ydata()[0]): line.get_markerfacecolor() != "white" for line in points}
    assert filled == {(1e-6, 0.8): True, (2e-6, 0.7): False, (1e-6, 0.7): False, (3e-6, 0.9): True}
    above = {(text.get_text(), text.xy[1]): text.get_position()[1] > 0 for text in ax.texts}
    assert above == {("1", 0.8): True, ("2", 0.7): False, ("1", 0.7): False, ("2", 0.9): True}


def test_rates_are_a_map_of_layers_and_steps(ax):
    shares = np.array([[0.1, 0.2, 0.3], [0.0, np.nan, 0.1]])
    plot_by_layer_and_step(ax, shares, ["a", "b"], "rate")
    image = ax.get_images()[0]
    assert image.get_array().filled(-1).tolist() == [[0.1, 0.2, 0.3], [0.0, -1, 0.1]]
    assert image.get_clim() == (0, 0.3)
    assert tuple(image.get_extent()) == (0.5, 3.5, 1.5, -0.5)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_same_figure_is_the_same_file(tmp_path: Path, kind: str):
    for name in ("a", "b"):
        with styled():
            figure = new_figure(2, 1)
            plot_split(figure.subplots(), ["x"], {"unevenness": [0.1]}, [0.1])
            save_figure(figure, tmp_path / f"{name}.{kind}")
    assert figure.get_size_inches().tolist() == [2 * COLUMN, 1]
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_colours_of_the_looks_differ_in_a_grey_print():
    """Relative luminance (WCAG) of the colours of IF, dual and the rest."""

    def luminance(color: str) -> float:
        channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    shades = sorted(luminance(look.color) for look in LOOKS.values())
    contrasts = [(b + 0.05) / (a + 0.05) for a, b in pairwise(shades)]
    assert min(contrasts) > 1.9
    assert len({look.linestyle for look in LOOKS.values()}) == len(LOOKS)
