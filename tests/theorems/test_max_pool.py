"""A cumulative max pool adds no error of its own: phi behind it is the maximum of the phi before it, at every step.

One line: the sum of y(t) = max N(t) - max N(t - 1) is max N(T), and theta / T times the maximum is the maximum of
theta N / T.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.engine.arrivals import maxima_of
from refsim.engine.events import SpikeTrain
from refsim.model import MaxPool2d, Spiking
from refsim.reference.maxima import pool_spikes
from refsim.reference.network import simulate
from refsim.testing import networks_with_inputs
from tests.engine.effort import examples


def window(pool: MaxPool2d, y: int, x: int, shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Rows and columns that exist."""
    return tuple(
        [k for tap in range(kernel) if 0 <= (k := i * stride - padding + tap * dilation) < n]
        for i, kernel, stride, padding, dilation, n in zip(
            (y, x), pool.kernel, pool.stride, pool.padding, pool.dilation, shape
        )
    )


def assert_phi_is_the_maximum(pool: MaxPool2d, s: np.ndarray, y: np.ndarray, theta: np.ndarray) -> None:
    """For spikes s (T, B, C, H, W) and what the pool makes of them; theta : (C,), Fraction."""
    sums = [np.cumsum(each, axis=0, dtype=int) for each in (s, y)]
    for t, i, j in product(range(len(s)), *map(range, y.shape[3:])):
        rows, columns = window(pool, i, j, s.shape[3:])
        before = sums[0][t][:, :, rows][:, :, :, columns]
        phi = before * theta[:, None, None] / Fraction(t + 1)
        assert (sums[1][t, :, :, i, j] * theta / Fraction(t + 1) == phi.max(axis=(2, 3))).all()


def pooled(pool: MaxPool2d, s: np.ndarray) -> np.ndarray:
    """What the specification makes of spikes (T, B, C, H, W)."""
    n, steps = np.zeros(s.shape[1:], dtype=int), []
    for each in s:
        n, y = pool_spikes(n, each, pool)
        steps.append(y)
    return np.stack(steps)


def pooled_by_engine(pool: MaxPool2d, s: np.ndarray) -> np.ndarray:
    """What the engine makes of them."""
    T, n_images, c, h, w = s.shape
    train = SpikeTrain.empty(n_images, (c, h, w), T, dual=bool((s < 0).any()))
    for mask, sign in zip(train, (1, -1)):
        for t, b, k, y, x in np.argwhere(s == sign):
            mask[b, y, x, t, k // 64] |= np.uint64(1) << np.uint64(k % 64)
    return maxima_of(train, pool).dense(c)


@st.composite
def pools(draw: st.DrawFn, mode: str = "cumulative") -> tuple[MaxPool2d, tuple[int, int]]:
    """A pool, and the size of a plane that it fits."""
    sizes = [draw(st.integers(1, 5)) for _ in range(2)]
    kernel = tuple(draw(st.integers(1, n)) for n in sizes)
    dilation = tuple(draw(st.integers(1, (n - 1) // max(k - 1, 1) or 1)) for n, k in zip(sizes, kernel))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    stride = tuple(draw(st.integers(1, 3)) for _ in range(2))
    options = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "mode": mode}
    return MaxPool2d(name="pool", inputs=("s",), **options), tuple(sizes)


def trains(shape: tuple[int, ...], dual: bool) -> st.SearchStrategy[np.ndarray]:
    """Any spikes whatever, of IF or of dual neurons."""
    return st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(-dual, 2, shape))


@examples(200)
@given(st.data(), pools(), st.integers(1, 9), st.booleans())
def test_phi_behind_a_cumulative_max_pool_is_the_maximum_of_phi_for_any_spikes(data, drawn, T, dual):
    pool, plane = drawn
    s = data.draw(trains((T, 2, 3, *plane), dual))
    theta = np.array([Fraction(1, 3), Fraction(2), Fraction(1)])
    y = pooled(pool, s)
    assert_phi_is_the_maximum(pool, s, y, theta)
    assert set(np.unique(y)) <= ({-1, 0, 1} if dual else {0, 1})
    np.testing.assert_array_equal(pooled_by_engine(pool, s), y)


@examples(100)
@given(st.data(), pools("or"), st.integers(1, 5), st.booleans())
def test_the_or_of_spikes_is_what_the_specification_says_for_any_spikes(data, drawn, T, dual):
    pool, plane = drawn
    s = data.draw(trains((T, 2, 3, *plane), dual))
    np.testing.assert_array_equal(pooled_by_engine(pool, s), pooled(pool, s))


@pytest.mark.parametrize("mode", ["cumulative", "or"])
@pytest.mark.parametrize("T", [1, 7, 8, 70])
def test_largest_differences_of_counts_and_several_mask_words(mode, T):
    pool = MaxPool2d(name="pool", inputs=("s",), kernel=(2, 2), stride=(1, 1), padding=(1, 1), mode=mode)
    s = np.random.default_rng(T).integers(-1, 2, (T, 1, 70, 2, 3))
    s[:, :, 64:, 0], s[:, :, 64:, 1] = 1, -1  # counts T and -T within a window
    np.testing.assert_array_equal(pooled_by_engine(pool, s), pooled(pool, s))


@examples(100)
@given(networks_with_inputs("dyadic", wide=False), st.integers(1, 6))
def test_phi_behind_a_cumulative_max_pool_is_the_maximum_of_phi_in_networks(drawn, T):
    network, x = drawn
    done = simulate(network, x, T)
    for pool in network.layers:
        if isinstance(pool, MaxPool2d) and pool.mode == "cumulative" and pool.name in done.events:
            source = network.by_name[pool.inputs[0]]
            assert isinstance(source, Spiking)
            s = done.spikes[source.name]
            theta = np.array([Fraction(each) for each in np.broadcast_to(source.neuron.theta, s.shape[2]).tolist()])
            assert_phi_is_the_maximum(pool, s, done.events[pool.name], theta)


def test_the_or_of_spikes_over_counts_where_winners_alternate():
    """Two neurons by turns: the maximum of their rates is 1 / 2, the OR fires at every step."""
    pool = MaxPool2d(name="pool", inputs=("s",), kernel=(1, 2), stride=(1, 1), mode="or")
    s = np.array([[1, 0], [0, 1], [1, 0], [0, 1]]).reshape(4, 1, 1, 1, 2)
    assert pooled(pool, s).ravel().tolist() == [1, 1, 1, 1]
    cumulative = MaxPool2d(name="pool", inputs=("s",), kernel=(1, 2), stride=(1, 1), mode="cumulative")
    assert pooled(cumulative, s).ravel().tolist() == [1, 0, 1, 0]
