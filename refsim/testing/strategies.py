"""Strategies for input currents, and for networks together with them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from refsim.model import Network
from refsim.testing.networks import networks
from refsim.testing.numbers import Floats, Grid, Numbers


@st.composite
def inputs(draw: st.DrawFn, network: Network, grid: Grid = "dyadic", max_images: int = 3) -> Floats:
    """Input currents (B, C, H, W): dense, sparse, or all zero."""
    numbers = Numbers(draw(st.integers(0, 2**32 - 1)), grid)
    n_images = draw(st.integers(1, max_images))
    density = draw(st.sampled_from([1.0, 0.6, 0.2, 0.0]))
    return np.ascontiguousarray(numbers.currents((n_images, *network.input.shape), density))


@st.composite
def networks_with_inputs(
    draw: st.DrawFn, grid: Grid = "dyadic", max_images: int = 3, max_blocks: int = 4, wide: bool = True
) -> tuple[Network, Floats]:
    """A network and a batch of input currents for it."""
    network = draw(networks(grid=grid, max_blocks=max_blocks, wide=wide))
    return network, draw(inputs(network, grid=grid, max_images=max_images))
