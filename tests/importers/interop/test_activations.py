"""Chains of operations are recognised by what they compute, in whatever order they compute it."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.importers.operators import Affine, Clip, Dequantize, Floor, Quantize, Site
from refsim.importers.recognise.activations import Neither, Rectifier, Staircase, Straight, compose, understand
from refsim.reference.activations import qcfs


def node(kind, **fields):
    return kind(site=Site(name="n", kind="k"), inputs=("a",), output="b", shape=(1, 1), **fields)


def affine(operation, value):
    return node(Affine, operation=operation, value=np.array([float(value)]))


def clip(low, high):
    return node(Clip, low=float(low), high=float(high))


def floor():
    return node(Floor)


def fake(step, zero, low, high):
    return [node(Quantize, step=step, zero=zero, low=low, high=high), node(Dequantize, step=step, zero=zero)]


def evaluate(chain, x):
    """The operations one after the other, in float64."""
    for each in chain:
        match each:
            case Affine(operation=operation):
                function = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[operation]
                x = function(x, each.value)
            case Clip():
                x = np.clip(x, each.low, each.high)
            case Floor():
                x = np.rint(x) if each.nearest else np.floor(x)
            case Quantize():
                x = np.clip(np.rint(x / each.step) + each.zero, each.low, each.high)
            case Dequantize():
                x = (x - each.zero) * each.step
    return x


ORDERS = {
    "official": lambda theta, L, shift: [
        affine("div", theta), clip(0, 1), affine("mul", L), affine("add", shift), floor(), affine("div", L),
        affine("mul", theta),
    ],
    "clipped last": lambda theta, L, shift: [
        affine("mul", L), affine("div", theta), affine("add", shift), floor(), clip(0, L), affine("mul", theta),
        affine("div", L),
    ],
    "clipped in units": lambda theta, L, shift: [
        clip(0, theta), affine("div", theta / L), affine("add", shift), floor(), affine("mul", theta / L),
    ],
    "clipped at the very end": lambda theta, L, shift: [
        affine("div", theta / L), affine("add", shift), floor(), affine("mul", theta / L), clip(0, theta),
    ],
    "rectified first": lambda theta, L, shift: [
        clip(0, inf), clip(-inf, theta), affine("mul", L / theta), affine("sub", -shift), floor(),
        affine("mul", theta / L),
    ],
}  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@given(theta=st.floats(0.01, 50), L=st.integers(1, 255), shift=st.sampled_from([0.25, 0.5, 0.75]))
def test_qcfs_in_any_order_is_found_with_its_constants(order, theta, L, shift):
    chain = ORDERS[order](theta, L, shift)
    found = compose(chain)
    assert isinstance(found, Staircase)
    assert found.L == L
    assert found.lambda_ == pytest.approx(theta, rel=1e-12)
    assert found.shift == pytest.approx(shift)
    x = (np.arange(-3, 4 * L) + 0.37) * theta / L / 2
    np.testing.assert_allclose(qcfs(x, theta, L, shift), evaluate(chain, x), atol=1e-9 * theta)


@given(theta=st.floats(0.0625, 50, width=32), L=st.integers(1, 64))
def test_the_threshold_is_the_constant_itself_to_the_bit(theta, L):
    assert compose(ORDERS["official"](theta, L, 0.5)).lambda_ == theta
    assert compose(ORDERS["clipped last"](theta, L, 0.5)).lambda_ == theta


@pytest.mark.parametrize(
    ("chain", "L", "steps"),
    [
        (fake(0.1, 0, 0, 255), 255, 0.1),
        (fake(0.1, -128, -128, 127), 255, 0.1),
        ([*fake(0.1, 0, -128, 127), clip(0, inf), *fake(0.1, 0, -128, 127)], 127, 0.1),
        ([clip(0, inf), fake(0.1, 0, 0, 255)[0], clip(0, 7), fake(0.1, 0, 0, 255)[1]], 7, 0.1),
        ([clip(0, inf), *fake(0.1, 0, -128, 127)], 127, 0.1),
    ],
)
def test_quantisers_are_staircases(chain, L, steps):
    found, left_out = understand(chain)
    assert found == Staircase(lambda_=steps * L, L=L, shift=0.5)
    assert left_out == []
    x = np.linspace(-3.0123, 30.0456, 997)
    np.testing.assert_allclose(qcfs(x, found.lambda_, L), evaluate(chain, x), atol=1e-12)


@pytest.mark.parametrize(
    ("chain", "expected", "n_left_out"),
    [
        (fake(0.1, 3, -128, 127), Straight(gain=1, offset=0), 1),
        ([*fake(0.1, 3, -128, 127), clip(0, 6)], Staircase(lambda_=6.0, L=60, shift=0.5), 0),
        (
            [*fake(0.3, 0, -128, 127), clip(0, inf), *fake(0.1, 0, -128, 127)],
            Staircase(lambda_=12.7, L=127, shift=0.5),
            1,
        ),
    ],
)
def test_other_quantisers_are_left_out_as_few_as_possible(chain, expected, n_left_out):
    found, left_out = understand(chain)
    if isinstance(expected, Staircase):
        assert (found.L, found.shift) == (expected.L, expected.shift)
        assert found.lambda_ == pytest.approx(expected.lambda_)
    else:
        assert found == expected
    assert len(left_out) == n_left_out


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ([], Straight(gain=1, offset=0)),
        ([clip(0, inf)], Rectifier(gain=1, offset=0, bound=inf)),
        ([clip(0, 6)], Rectifier(gain=1, offset=0, bound=6)),
        ([affine("add", 1), clip(0, inf), clip(-inf, 2)], Rectifier(gain=1, offset=1, bound=2)),
        ([affine("mul", 3), clip(0, 1), affine("mul", 2)], Rectifier(gain=6, offset=0, bound=2)),
    ],
)
def test_rectifiers_take_in_the_constants_around_them(chain, expected):
    assert compose(chain) == expected


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        ([clip(-1, 1)], "its lower bound is -1"),
        ([floor()], "a staircase without end"),
        ([affine("mul", -1), clip(0, inf)], "turned over by a negative factor"),
        ([affine("div", 0), clip(0, inf)], "divided by a number that is not positive"),
        (ORDERS["official"](2.0, 4, 0.5)[:-1] + [affine("mul", 1.5)], "its two thresholds or its two numbers of steps"),
        (ORDERS["official"](2.0, 4, 0.5)[:-2] + [affine("div", 5), affine("mul", 2)], "its two numbers of steps"),
        ([clip(0, 1), floor(), clip(0, 0.5)], "its bound is no multiple of its step"),
        ([clip(0, 4), floor(), affine("mul", 0.3), floor()], "rounded twice"),
        ([affine("add", 1), clip(1, 5), floor()], "its lowest step is not 0"),
    ],
)
def test_what_is_no_activation_says_why(chain, why):
    found = compose(chain)
    assert isinstance(found, Neither)
    assert why in found.why
