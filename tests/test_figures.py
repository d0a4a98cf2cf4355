"""The worked examples of the papers: QCFS Fig. 1 (b, c, d) and Fig. S1, IF and dual, by name and number.

Two neurons with threshold 1 spike at the steps shown in the figure and reach the third through weights 2 and -2;
T = 5. Their mean weighted input is (2 * 3 - 2 * 2) / 5 = 0.4, which is also the ANN's activation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from refsim.analysis.split import split
from refsim.engine import simulator
from refsim.engine.plan import compile_network
from refsim.model import InputSpec, Linear, Network, Neuron, Spiking
from refsim.reference import network as specification

T = 5

# A neuron with threshold 1 and a constant current spikes at these steps: (current, v0).
TIMING = {
    (1, 3, 5): (0.5, 0.5),
    (2, 4): (0.5, 0.0),
    (1, 2, 3): (0.0, 3.0),
    (4, 5): (1.0, -3.0),
    (3, 4, 5): (1.0, -2.0),
    (1, 2): (0.0, 2.0),
}


class Example(NamedTuple):
    """Spike times of both sources, threshold, neuron, and the spikes that the figure shows."""

    figure: str
    first: tuple[int, ...]
    second: tuple[int, ...]
    theta: float
    kind: str
    spikes: list[int]
    phi: float


EXAMPLES = [
    Example("1b", (1, 3, 5), (2, 4), 1.0, "if", [1, 0, 1, 0, 0], 0.4),
    Example("1b", (1, 3, 5), (2, 4), 1.0, "dual", [1, -1, 1, -1, 1], 0.2),
    Example("1c", (1, 2, 3), (4, 5), 1.0, "if", [1, 1, 1, 1, 0], 0.8),
    Example("1c", (1, 2, 3), (4, 5), 1.0, "dual", [1, 1, 1, 1, -1], 0.6),
    Example("1d", (3, 4, 5), (1, 2), 1.0, "if", [0, 0, 0, 0, 1], 0.2),
    Example("1d", (3, 4, 5), (1, 2), 1.0, "dual", [0, 0, 0, 0, 1], 0.2),
    # Printed as 0.6, which is the firing rate; phi = theta N / T = 6 / 5 (QCFS Eq. 5).
    Example("S1", (1, 2, 3), (4, 5), 2.0, "if", [1, 1, 1, 0, 0], 1.2),
    Example("S1", (1, 2, 3), (4, 5), 2.0, "dual", [1, 1, 1, -1, -1], 0.4),
]


def build(example: Example, v0: float = 0.0, theta: float | None = None) -> Network:
    current, start = zip(TIMING[example.first], TIMING[example.second])
    neuron = Neuron(theta=np.array(theta or example.theta), v0=np.array(v0))
    layers = (
        Linear(name="fc1", inputs=("input",), weight=np.array(current)[:, None], bias=np.zeros(2)),
        Spiking(name="sources", inputs=("fc1",), neuron=Neuron(theta=np.array(1.0), v0=np.array(start))),
        Linear(name="fc2", inputs=("sources",), weight=np.array([[2.0, -2.0]]), bias=np.zeros(1)),
        Spiking(name="neuron", inputs=("fc2",), neuron=neuron.as_dual() if example.kind == "dual" else neuron),
        Linear(name="readout", inputs=("neuron",), weight=np.ones((1, 1)), bias=np.zeros(1)),
    )
    return Network(name=example.figure, input=InputSpec(shape=(1, 1, 1)), layers=layers)


def run(network: Network, engine: str) -> tuple[list[list[int]], list[int], float]:
    """Spike times of the sources, spikes of the neuron, its final potential."""
    image = np.ones((1, 1, 1, 1))
    if engine == "specification":
        done = specification.simulate(network, image, T)
        sources, spikes, v = done.spikes["sources"], done.spikes["neuron"], done.v["neuron"]
    else:
        trace = simulator.simulate(compile_network(network), image, T, record={"spikes", "v"})
        sources, spikes = (trace.populations[name].spikes for name in ("sources", "neuron"))
        v = trace.populations["neuron"].v
    times = [(np.flatnonzero(sources[:, 0, i]) + 1).tolist() for i in range(2)]
    return times, spikes.ravel().tolist(), v.item()


def name(example: Example) -> str:
    return f"{example.figure}-{example.kind}"


engines = pytest.mark.parametrize("engine", ["specification", "event engine"])
examples = pytest.mark.parametrize("example", EXAMPLES, ids=name)


@engines
@examples
def test_neuron_spikes_as_in_the_figure(example: Example, engine: str):
    """QCFS Fig. 1 b-d and S1; for the dual neuron ECL Fig. 2."""
    times, spikes, _ = run(build(example), engine)
    assert [tuple(each) for each in times] == [example.first, example.second]
    assert spikes == example.spikes
    assert example.theta * sum(spikes) / T == example.phi


@engines
@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.theta == 1], ids=name)
def test_initial_potential_of_half_a_threshold_gives_the_same_counts_at_threshold_one(example: Example, engine: str):
    """v(0) = theta / 2 (QCFS Alg. 1, line 25) does not change the three counts of Fig. 1."""
    _, spikes, _ = run(build(example, v0=0.5), engine)
    assert sum(spikes) == sum(example.spikes)


@engines
@examples
def test_unevenness_explains_the_whole_error_of_the_example(example: Example, engine: str):
    """phi - 0.4 is spikes too many or too few (QCFS Sec. 3.3); clipping and quantization are 0 in all of them."""
    _, spikes, v = run(build(example), engine)
    n = np.array([sum(spikes)])
    errors = split(np.array([2.0]), n, np.array([v]), np.array(example.theta), T)
    assert errors.clipping == 0
    assert errors.level == 2 / example.theta
    assert errors.quantization == 0
    assert errors.k == sum(spikes) - 2 / example.theta
    assert errors.phi == example.phi


@engines
def test_strict_comparison_contradicts_fig_1b(engine: str):
    """With m > theta instead of m >= theta the figure's 0.4 would be 0.2: a threshold one ulp higher shows it."""
    example = EXAMPLES[0]
    _, spikes, _ = run(build(example, theta=np.nextafter(1.0, 2.0)), engine)
    assert sum(spikes) / T == 0.2
