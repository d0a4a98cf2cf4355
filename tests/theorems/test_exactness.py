"""The two bounds of docs/exactness.md, in exact rational arithmetic: never exceeded, and no looser than they say."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from refsim.analysis.margin import rounding_bound
from refsim.engine.exact import Exact
from refsim.engine.kernels.exact import SLACK
from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.model import AvgPool2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
from refsim.reference.network import simulate as specified

HALF = Fraction(1, 2)


def layered(weight: np.ndarray, bias: float, target: Neuron, source: Neuron, pool: int = 1) -> Network:
    """An image of one row drives neurons that, perhaps through windows of `pool`, drive one neuron, s2."""
    n = weight.shape[1]
    return Network(
        name="layered",
        input=InputSpec(shape=(1, 1, n * pool)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=source),
            AvgPool2d(name="pool", inputs=("s1",), kernel=(1, pool), stride=(1, pool)),
            Flatten(name="flat", inputs=("pool",)),
            Linear(name="fc", inputs=("flat",), weight=weight, bias=[bias]),
            Spiking(name="s2", inputs=("fc",), neuron=target),
            Linear(name="out", inputs=("s2",), weight=[[1.0]], bias=[0.0]),
        ),
    )


def differences(
    network: Network, x: np.ndarray, T: int, pool: int
) -> list[tuple[Fraction, Fraction, Fraction, int, int]]:
    """Before each decision of s2, in half units: integers less rationals, floats less rationals, integers less floats.

    And the values delivered so far, and the number of steps. The rationals are those of the weights, psp and bias as
    the specification has them, in float64, and are summed without rounding; all three fire as the specification does.
    """
    plan = compile_network(network, "exact")
    numbers = next(each.numbers for each in plan.populations if each.name == "s2")
    assert isinstance(numbers, Exact)
    conv, target = network.by_name["fc"], network.by_name["s2"]
    assert isinstance(conv, Linear)
    assert isinstance(target, Spiking)
    theta, v0 = (Fraction(float(value)) for value in (target.neuron.theta, target.neuron.v0))
    psp = Fraction(float(network.spiking[0].neuron.theta)) / pool
    unit = theta / 2**numbers.bits
    trace = specified(network, x, T)
    counts = trace.spikes["s1"].reshape(T, -1, pool).sum(axis=2).astype(int)
    weights = [Fraction(float(w)) for w in conv.weight[0]]
    table = numbers.synapses[0].weight
    whole = [int(w) for w in table.reshape(-1, table.shape[-1])[: len(weights), 0]]
    bias, whole_bias = Fraction(float(conv.bias[0])), int(numbers.bias[0, 0])
    rational, integer = v0, int(numbers.neurons.v0.reshape(-1)[0])
    found, floats, delivered = [], float(target.neuron.v0), 0
    for t in range(T):
        rational += bias + sum((int(c) * w * psp for c, w in zip(counts[t], weights)), Fraction(0))
        integer += whole_bias + sum(int(c) * w for c, w in zip(counts[t], whole))
        floats = floats + float(trace.currents["s2"][t].reshape(-1)[0])
        delivered += int(np.abs(counts[t]).sum())
        half = unit / 2
        found.append(
            (
                (integer * unit - rational) / half,
                (Fraction(floats) - rational) / half,
                (integer * unit - Fraction(floats)) / half,
                delivered,
                t + 1,
            )
        )
        s = int(trace.spikes["s2"][t].reshape(-1)[0])
        rational, integer, floats = rational - s * theta, integer - s * 2**numbers.bits, floats - s * float(theta)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_on_drawn_layers_no_potential_is_off_by_more_than_the_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, pool, T = int(rng.integers(1, 60)), int(rng.integers(1, 5)), 6
    scale = 10.0 ** rng.integers(-3, 3)
    theta = float(rng.uniform(0.1, 3))
    signed = -theta / 4 if seed % 2 else -np.inf
    network = layered(
        rng.normal(size=(1, n)) * scale,
        float(rng.normal() * scale),
        Neuron(theta=theta, v0=float(rng.uniform(0, theta)), theta_neg=signed),
        Neuron(theta=float(rng.uniform(0.1, 3)), v0=0.1, theta_neg=-0.05 if seed % 3 else -np.inf),
        pool,
    )
    x = rng.normal(size=(1, 1, 1, n * pool)) * 2
    for rounding, floats, both, delivered, t in differences(network, x, T, pool):
        # The rounding of v0, of each value delivered, and of a bias a step: half a unit each.
        assert abs(rounding) <= 1 + delivered + t
        # All rounding of float64: less than 2 half units a step.
        assert abs(floats) <= (SLACK - 1) * t
        assert abs(both) <= 1 + delivered + SLACK * t


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("pool", [1, 3])
def test_the_worst_layer_reaches_the_bound_within_half_a_unit(sign: int, pool: int) -> None:
    """Every weight, the bias and v0 lie just short of half a unit from a whole number, all on the same side."""
    n, T, bits = 20, 4, 30
    short = HALF - Fraction(1, 2**12)

    def off(k: int) -> float:
        return float((k + sign * short) / 2**bits)

    theta_in = float(pool)  # a count of 1 is then worth the weight itself
    network = layered(
        np.array([[off(3 * i - 31) for i in range(n)]]),
        off(5),
        Neuron(theta=1.0, v0=off(7)),
        Neuron(theta=theta_in, v0=0.0),
        pool,
    )
    x = np.full((1, 1, 1, n * pool), theta_in)
    steps = differences(network, x, T, pool)
    for rounding, floats, both, delivered, t in steps:
        assert delivered == n * pool * t
        bound = 1 + delivered + t
        assert bound - 1 < -sign * rounding < bound
        assert floats == 0
        # What is left are the half units that are kept for float64.
        assert -sign * both > 1 + delivered + SLACK * t - (SLACK - 1) * t - 1


def test_a_decision_at_the_bound_is_recomputed_and_one_beyond_it_is_not() -> None:
    """One source, one step: half units 1 + 1 + SLACK, so distances up to their half, rounded down, are too close."""
    bound = (1 + 1 + SLACK) // 2
    for distance in range(-bound - 2, bound + 3):
        weight = float(1 + Fraction(distance, 2**30))
        network = layered(np.array([[weight]]), 0.0, Neuron(theta=1.0, v0=0.0), Neuron(theta=1.0, v0=0.0))
        trace = simulate(compile_network(network, "exact"), np.ones((1, 1, 1, 1)), 1, record=("spikes",))
        assert int(trace.populations["s2"].recomputed.sum()) == int(abs(distance) <= bound)
        assert int(trace.populations["s2"].spikes.sum()) == int(distance >= 0)


def test_sums_that_rounding_enlarges_still_fit_32_bits() -> None:
    """Neurons behind a window of four, of 2^29 - 1/2 units a count: rounded up, four of them are 2^31."""
    theta = 2 - 2.0**-29
    network = Network(
        name="edge",
        input=InputSpec(shape=(1, 2, 2)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=Neuron(theta=theta, v0=0.0)),
            AvgPool2d(name="pool", inputs=("s1",), kernel=(2, 2), stride=(2, 2)),
            Spiking(name="s2", inputs=("pool",), neuron=Neuron(theta=1.0, v0=0.0)),
            Flatten(name="flat", inputs=("s2",)),
            Linear(name="out", inputs=("flat",), weight=[[1.0]], bias=[0.0]),
        ),
    )
    x = np.full((1, 1, 2, 2), 2.0)
    for dtype in ("float64", "exact"):
        trace = simulate(compile_network(network, dtype), x, 1, record=("spikes",))
        assert int(trace.populations["s2"].spikes.sum()) == 1, dtype


def bound_of(
    weight: np.ndarray, bias: float, v0: float, T: int, dtype: type, leak: float = 1.0
) -> tuple[float, Network]:
    """The bound on what another order can do to the potential of one neuron that the image drives."""
    network = Network(
        name="driven",
        input=InputSpec(shape=(weight.size, 1, 1)),
        layers=(
            Linear(name="fc", inputs=("input",), weight=weight[None], bias=[bias]),
            Spiking(name="s", inputs=("fc",), neuron=Neuron(theta=1.0, v0=v0, leak=leak)),
            Linear(name="out", inputs=("s",), weight=[[1.0]], bias=[0.0]),
        ),
    )
    return rounding_bound(network, network.spiking[0], T, 1.0, dtype), network


def potentials(
    terms: np.ndarray, order: np.ndarray, bias: float, v0: float, T: int, dtype: type, leak: float
) -> list[Fraction]:
    """Before each decision, summed in this order in this arithmetic; it fires nowhere here."""
    number = np.dtype(dtype).type
    v, found = number(v0), []
    for _ in range(T):
        total = number(0)
        for term in terms[order]:
            total = number(total + term)
        u = number(total + number(bias))
        v = number(number(leak) * v + u) if leak != 1 else number(v + u)
        found.append(Fraction(float(v)))
    return found


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("leak", [1.0, 0.9])
@pytest.mark.parametrize("seed", range(10))
def test_no_order_of_a_drawn_sum_changes_a_potential_by_more_than_the_bound(
    seed: int, leak: float, dtype: type
) -> None:
    rng = np.random.default_rng(seed)
    n, T = int(rng.integers(2, 50)), 3
    weight = (rng.normal(size=n) * 10.0 ** rng.integers(-6, 1, n) / n).astype(dtype)
    bias, v0 = float(dtype(rng.normal() / 10)), float(dtype(0.1))
    bound, _ = bound_of(weight.astype(np.float64), bias, v0, T, dtype, leak)
    orders = [
        np.arange(n),
        np.arange(n)[::-1],
        np.argsort(weight),
        np.argsort(np.abs(weight)),
        *map(rng.permutation, [n] * 5),
    ]
    by_order = [potentials(weight, order, bias, v0, T, dtype, leak) for order in orders]
    exact_leak, rational = Fraction(float(dtype(leak))), Fraction(v0)
    for t in range(T):
        rational = exact_leak * rational + sum(map(Fraction, map(float, weight)), Fraction(0)) + Fraction(bias)
        assert all(abs(each[t] - rational) <= Fraction(bound) / 2 for each in by_order)
        assert max(each[t] for each in by_order) - min(each[t] for each in by_order) <= Fraction(bound)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_bound_on_orders_is_of_the_size_of_what_the_worst_sum_does(dtype: type) -> None:
    """Half a last place of 1, a hundred times: added to 1 one by one they vanish, before it they do not."""
    n, eps = 1000, float(np.finfo(dtype).eps)
    weight = np.array([0.5, *[eps / 4] * n], dtype)
    bound, _ = bound_of(weight.astype(np.float64), 0.0, 0.0, 1, dtype)
    large_first, small_first = (
        potentials(weight, order, 0.0, 0.0, 1, dtype, 1.0)[0] for order in (np.arange(n + 1), np.arange(n + 1)[::-1])
    )
    difference = small_first - large_first
    assert difference == Fraction(n) * Fraction(eps) / 4
    assert Fraction(bound) / 3 < difference < Fraction(bound)
