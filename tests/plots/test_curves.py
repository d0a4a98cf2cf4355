"""Transfer curves and the trace of one neuron: the numbers, and that what is drawn is the numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.analysis.curves import estimated_phi, timed_current, trace_neuron
from refsim.exceptions import UsageError
from refsim.model import Neuron
from refsim.plots.neuron import plot_potential, plot_spikes, stack
from refsim.plots.style import BLUE, RED
from refsim.plots.transfer import Curve, plot_difference, plot_noise_band, plot_transfer, steps_of
from tests.theorems.machines import THETA_NEG, currents, estimated, run_neuron, thresholds

FIG_1C = timed_current([[1, 2, 3], [4, 5]], [2.0, -2.0], 5)


def neuron(theta: float = 1.0, v0: float = 0.0, **more: object) -> Neuron:
    return Neuron(theta=np.array(theta), v0=np.array(v0), **more)


@given(u=currents(), theta=thresholds, dual=st.booleans())
def test_trace_of_one_neuron_is_what_exact_arithmetic_says(u, theta, dual):
    theta_neg = max(THETA_NEG, -theta)
    plain = neuron(float(theta), float(theta / 2), **({"theta_neg": np.array(float(theta_neg))} if dual else {}))
    actual = trace_neuron([float(each) for each in u], plain)
    expected = run_neuron(u, theta, theta / 2, *([theta_neg] if dual else []))
    assert actual.s.tolist() == expected.s
    assert actual.v.tolist() == [float(each) for each in expected.v]
    assert (actual.m - actual.s * float(theta) == actual.v).all()
    assert (actual.n, actual.phi) == (expected.n[-1], float(theta) * expected.n[-1] / len(u))


@given(z=st.integers(-16, 16), T=st.integers(1, 8), theta=thresholds)
def test_estimate_is_that_of_eq_11(z, T, theta):
    actual = estimated_phi(np.array([z / 8]), float(theta), T, float(theta / 2))[0]
    assert actual == float(estimated(Fraction(z, 8) * T, T, theta, theta / 2))


def test_neuron_with_parameters_per_channel_is_refused():
    with pytest.raises(UsageError, match="one neuron is traced at a time"):
        trace_neuron([1.0], Neuron(theta=np.array([1.0, 2.0]), v0=np.array(0.0)))


def test_sources_that_spike_together_add_their_weights():
    assert timed_current([[1, 3], [3]], [2.0, -0.5], 3).tolist() == [2.0, 0.0, 1.5]


def test_curves_are_drawn_as_given_and_named(ax):
    z = np.array([0.0, 1.0])
    plot_transfer(ax, [Curve(z, 2 * z, "twice", RED), Curve(z, z, "once", BLUE, "--")])
    assert [line.get_label() for line in ax.get_lines()] == ["twice", "once"]
    assert ax.get_lines()[0].get_ydata().tolist() == [0.0, 2.0]
    assert ax.get_xlabel() == r"mean input / $\theta$"


def test_jumps_are_upright_and_lie_between_their_neighbours():
    z, a = steps_of(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert z.tolist() == [0.0, 1.0, 1.5, 1.5, 2.0, 3.0]
    assert a.tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]


def test_noise_band_is_as_wide_as_the_noise(ax):
    plot_noise_band(ax, np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.25)
    heights = {round(y, 6) for _, y in ax.collections[0].get_paths()[0].vertices}
    assert {-0.25, 0.25, 0.75, 1.25} <= heights


def test_difference_covers_what_lies_between(ax):
    plot_difference(ax, np.array([0.0, 1.0]), np.array([0.0, 0.0]), np.array([1.0, 2.0]), "error", RED)
    assert ax.collections[0].get_paths()[0].get_extents().bounds == (0.0, 0.0, 1.0, 2.0)


def test_spikes_stand_at_their_steps_up_or_down(ax):
    plot_spikes(ax, np.array([[1, 0, 1], [0, -1, 0]]), ["a$b$", "c"])
    drawn = [[segment[:, 0].tolist() for segment in each.get_segments()] for each in ax.collections]
    assert drawn == [[[1, 1], [3, 3]], [], [], [[2, 2]]]
    up, down = ax.collections[0].get_segments()[0], ax.collections[3].get_segments()[0]
    # The y axis points down: above the line of its row means a smaller number.
    assert up[1, 1] < up[0, 1] == 0
    assert down[1, 1] > down[0, 1] == 1
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a$b$", "c"]
    assert not any(label.get_parse_math() for label in ax.get_yticklabels())


def test_potential_goes_through_m_and_v_of_every_step(ax):
    found = trace_neuron(FIG_1C, neuron().as_dual())
    plot_potential(ax, found.m, found.v, found.s, 0.0, 1.0, -0.001)
    points = {(float(x), float(y)) for line in ax.get_lines() for x, y in line.get_xydata()}
    assert {(t + 1, m) for t, m in enumerate(found.m)} <= points
    assert {(t + 1.5, v) for t, v in enumerate(found.v)} <= points
    arrows = [(line.get_marker(), line.get_xdata()[0]) for line in ax.get_lines() if line.get_marker() in "^v"]
    assert arrows == [("^", 1), ("^", 2), ("^", 3), ("^", 4), ("v", 5)]
    assert [text.get_text() for text in ax.texts] == [r"$\theta$", r"$\theta_\mathrm{neg}$"]


def test_if_neuron_has_no_negative_threshold_drawn(ax):
    found = trace_neuron(FIG_1C, neuron())
    plot_potential(ax, found.m, found.v, found.s, 0.0, 1.0)
    assert [text.get_text() for text in ax.texts] == [r"$\theta$"]


def test_raster_above_a_potential_has_no_time_axis_of_its_own(ax):
    below = ax.figure.add_subplot()
    stack(ax, below)
    assert not ax.spines["bottom"].get_visible()
    assert below.get_xlabel() == "time step $t$"
