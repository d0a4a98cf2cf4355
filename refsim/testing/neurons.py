"""Strategy for neurons: IF and dual threshold, every option, parameters per layer, channel or neuron."""

from __future__ import annotations

from typing import Literal

import numpy as np
from hypothesis import strategies as st

from refsim.model import Activation, Neuron, Shape
from refsim.testing.numbers import Floats, Grid, Numbers

_MODES: tuple[Literal["absolute", "relative"], ...] = ("absolute", "relative")
_GATES: tuple[Literal["net", "gross"], ...] = ("net", "gross")


@st.composite
def activations(draw: st.DrawFn, grid: Grid = "dyadic") -> Activation:
    """QCFS with 1 to 8 steps, or ReLU, clipped or not."""
    L = draw(st.one_of(st.none(), st.integers(1, 8)))
    clipped = L is None and draw(st.booleans())
    if grid == "dyadic":
        shift = draw(st.integers(0, 7)) / 8
        return Activation(lambda_=draw(st.integers(1, 16)) / 4, L=L, shift=shift, clipped=clipped)
    lambda_ = draw(st.floats(0.1, 4, allow_subnormal=False))
    return Activation(lambda_=lambda_, L=L, shift=draw(st.sampled_from([0.5, 0.0, 0.3])), delta=0.1, clipped=clipped)


@st.composite
def neurons(draw: st.DrawFn, shape: Shape, grid: Grid = "dyadic") -> Neuron:
    """A neuron for a population of the given shape, (C, H, W) or (N,)."""
    numbers = Numbers(draw(st.integers(0, 2**32 - 1)), grid)
    layouts: tuple[Shape, ...] = ((), shape[:1], shape)
    theta = numbers.thresholds(draw(st.sampled_from(layouts)))
    v0_layout = draw(st.sampled_from(layouts))
    # theta / 2 is what papers use; the rest, also of v0 < 0 and v0 >= theta, must work all the same.
    v0 = theta / 2 if draw(st.booleans()) else numbers.currents(v0_layout)
    theta_neg, mode = np.array(-np.inf), _MODES[0]
    if draw(st.integers(0, 2)):
        mode = draw(st.sampled_from(_MODES))
        share = numbers.shares(draw(st.sampled_from(layouts)))
        theta_neg = -share if mode == "relative" else -share * _least(theta, share.shape)
    leak = 1.0
    if draw(st.integers(0, 4)) == 0:
        leak = draw(st.sampled_from([0.5, 0.75, 0.0] if grid == "dyadic" else [0.9, 0.3]))
    return Neuron(
        theta=theta,
        v0=v0,
        theta_neg=theta_neg,
        theta_neg_mode=mode,
        gate=draw(st.sampled_from(_GATES)),
        reset="zero" if draw(st.integers(0, 4)) == 0 else "subtract",
        leak=leak,
        strict=draw(st.integers(0, 4)) == 0,
        activation=draw(activations(grid)),
    )


def _least(theta: Floats, layout: Shape) -> Floats:
    """The smallest theta among the neurons that share a parameter of this layout."""
    if theta.ndim == 0 or len(layout) == 0:
        return np.asarray(theta.min())
    if theta.ndim > len(layout):
        return np.asarray(theta.reshape(theta.shape[0], -1).min(axis=1))
    return theta.reshape(theta.shape + (1,) * (len(layout) - theta.ndim))
