"""The page of a small network, and of one whose names were chosen to do harm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import refsim
from refsim.verification.golden import record_goldens
from tests.simulation.networks import raw_images, small_network

HOSTILE = (
    "</script><script>window.broken = 1</script>",
    "<img src=x onerror='window.broken = 2'>",
    '" onmouseover="window.broken = 3',
    "--><svg onload=window.broken=4>",
    "\u202egpj.exe",
    "$\\frac{1}{2}$ {{ 7 * 7 }} {% raw %}",
)
"""Names that are markup, scripts, templates, formulas, or run from right to left."""


def weight_file(network: refsim.Network, n: int = 20) -> refsim.WeightFile:
    """As a file on the disk would be loaded."""
    samples = refsim.Samples(images=raw_images(n), labels=np.arange(n, dtype=np.int64) % 5)
    golden = tuple(record_goldens(network, samples, 2))
    return refsim.WeightFile(network=network, samples=samples, golden=golden, sha256="0" * 64, path="small.h5")


def renamed(network: refsim.Network) -> refsim.Network:
    """The network with hostile names of itself, its layers, classes and provenance."""
    names = {layer.name: f"{HOSTILE[i % len(HOSTILE)]} {i}" for i, layer in enumerate(network.layers)}
    layers = tuple(
        replace(layer, name=names[layer.name], inputs=tuple(names.get(source, source) for source in layer.inputs))
        for layer in network.layers
    )
    return replace(network, name=HOSTILE[0], layers=layers, classes=HOSTILE[:5], metadata={HOSTILE[1]: HOSTILE[0]})


@pytest.fixture(scope="session")
def page() -> refsim.Page:
    """Of a network that means no harm."""
    return refsim.report(weight_file(small_network()), T=5, closer=8)


@pytest.fixture(scope="session")
def hostile() -> refsim.Page:
    """Of one that does."""
    return refsim.report(weight_file(renamed(small_network())), T=3, closer=4)
