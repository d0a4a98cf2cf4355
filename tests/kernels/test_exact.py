"""Mode `exact`: the spikes and logits of float64 by whole numbers, ties included."""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsim.engine.exact import Exact
from refsim.engine.kernels.lanes import TILE
from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.model import Add, AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
from refsim.testing import assert_equals_reference, networks_with_inputs

# Interpreted kernels take 30 times as long.
INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
SOME = settings(max_examples=max(1, settings.default.max_examples * (2 if INTERPRETED else 6) // 10))
STEPS = st.sampled_from([1, 2, 3, 5, 9])


def compare(network: Network, x: np.ndarray, T: int) -> int:
    """Check that `exact` and float64 agree in all they report; returns how many decisions were recomputed."""
    exact, floats = compile_network(network, "exact"), compile_network(network)
    actual, expected = (simulate(plan, x, T, record=("spikes", "n")) for plan in (exact, floats))
    np.testing.assert_array_equal(actual.logits, expected.logits)
    for name, each in expected.populations.items():
        ours = actual.populations[name]
        np.testing.assert_array_equal(ours.spikes, each.spikes, err_msg=name)
        np.testing.assert_array_equal(ours.n, each.n)
        np.testing.assert_array_equal(ours.reached, each.reached)
        assert (ours.margin <= each.margin * (1 + 1e-12)).all(), (
            f"{name}: {ours.margin} is no lower bound of {each.margin}"
        )
    for key, counted in expected.ops.items():
        for what, values in vars(counted).items():
            np.testing.assert_array_equal(getattr(actual.ops[key], what), values, err_msg=f"{key} {what}")
    return sum(int(each.recomputed.sum()) for each in actual.populations.values())


@SOME
@given(networks_with_inputs(grid="normal"), STEPS)
def test_exact_gives_the_spikes_of_float64_on_any_numbers(drawn, T):
    compare(*drawn, T)


@SOME
@given(networks_with_inputs(grid="dyadic"), STEPS)
def test_exact_gives_the_spikes_of_float64_where_potentials_meet_thresholds(drawn, T):
    compare(*drawn, T)


@pytest.mark.parametrize("neuron", ["if", "dual", "gross", "zero"])
def test_every_tie_is_recomputed(neuron):
    # Weights, thresholds and biases of thirds, which no float holds: potentials meet theta but for rounding.
    third = 1 / 3
    rng = np.random.default_rng(0)
    make = {
        "if": Neuron(theta=third, v0=third),
        "dual": Neuron(theta=third, v0=third, theta_neg=-third),
        "gross": Neuron(theta=third, v0=third, theta_neg=-third, gate="gross"),
        "zero": Neuron(theta=third, v0=third, theta_neg=-third, reset="zero"),
    }[neuron]
    network = Network(
        name="thirds",
        input=InputSpec(shape=(4, 5, 5)),
        layers=(
            Conv2d(name="c1", inputs=("input",), weight=rng.integers(-2, 3, size=(8, 4, 3, 3)) * 1.0, bias=np.zeros(8)),
            Spiking(name="s1", inputs=("c1",), neuron=make),
            Conv2d(name="c2", inputs=("s1",), weight=rng.integers(-2, 3, size=(70, 8, 3, 3)) * 1.0, bias=np.zeros(70)),
            Spiking(name="s2", inputs=("c2",), neuron=make),
            Linear(name="out", inputs=("s2",), weight=rng.normal(size=(3, 70)), bias=np.zeros(3)),
        ),
    )
    x = rng.integers(-3, 4, size=(3, 4, 5, 5)) / 3
    assert compare(network, x, 20) > 20


def test_an_identity_beside_groups_is_recomputed_within_its_words():
    # Tiles begin at channels 0 and 20; a whole tile of lanes from 20 on would reach into a second mask word.
    rng = np.random.default_rng(0)
    weight = rng.integers(-2, 3, (40, 20, 1, 1)) / 4
    network = Network(
        name="grouped",
        input=InputSpec(shape=(40, 2, 2)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=Neuron(theta=1.0, v0=0.5, theta_neg=-0.25)),
            Conv2d(name="c", inputs=("s1",), weight=weight, bias=np.zeros(40), groups=2),
            Add(name="add", inputs=("c", "s1")),
            Spiking(name="s2", inputs=("add",), neuron=Neuron(theta=1.0, v0=0.5, theta_neg=-0.25)),
            Flatten(name="flat", inputs=("s2",)),
            Linear(name="out", inputs=("flat",), weight=rng.normal(size=(3, 160)), bias=np.zeros(3)),
        ),
    )
    assert compare(network, rng.integers(-2, 3, (2, 40, 2, 2)) / 4, 4) > 0


@pytest.mark.parametrize("by_bias", [False, True], ids=["spikes", "bias"])
@pytest.mark.parametrize(
    ("current", "theta", "integers_fire"), [(0.18, 0.9, True), (0.1 / 3, 0.1, False)], ids=["too early", "too late"]
)
def test_a_decision_that_integers_get_wrong_is_put_right_and_so_is_the_potential(
    current, theta, integers_fire, by_bias
):
    # After 5 (3) steps the float64 sum is just below (at) theta, and that of the rounded currents is not.
    # A spike every step, worth 1/4; the factors of the weight are powers of two, and change no rounding.
    weight, bias = (0.0, current) if by_bias else (8 * current, 0.0)
    layers = (
        Spiking(name="s1", inputs=("input",), neuron=Neuron(theta=0.25, v0=0.0)),
        Linear(name="h", inputs=("s1",), weight=[[weight]], bias=[bias], scale=[0.5]),
        Spiking(name="s2", inputs=("h",), neuron=Neuron(theta=theta, v0=0.0)),
        Linear(name="out", inputs=("s2",), weight=[[1.0]], bias=[0.0]),
    )
    network = Network(name="turned", input=InputSpec(shape=(1, 1, 1)), layers=layers)
    integers = compile_network(network, "exact").populations[1].numbers
    assert isinstance(integers, Exact)
    n = round(theta / current)
    units = int(integers.bias[0, 0]) + int(integers.synapses[0].weight[0, 0, 0])
    assert (n * units >= 2**integers.bits) == integers_fire
    assert (sum([current] * n) >= theta) != integers_fire
    assert compare(network, np.full((1, 1, 1, 1), 0.25), 4 * n) > 0


@pytest.mark.parametrize("theta_neg", [-np.inf, -0.05], ids=["IF", "dual"])
def test_pooled_counts_of_several_digits_and_both_signs_are_summed_exactly(theta_neg):
    # Windows of 2 x 3 cells: counts up to 6 have three digits. All neurons fire first, then what their currents say.
    neuron = Neuron(theta=np.array([0.5, 0.7, 0.9]), v0=1.2, theta_neg=theta_neg)
    rng = np.random.default_rng(7)
    network = Network(
        name="pooled",
        input=InputSpec(shape=(3, 4, 6)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=neuron),
            AvgPool2d(name="p1", inputs=("s1",), kernel=(2, 3), stride=(1, 2)),
            Conv2d(name="c2", inputs=("p1",), weight=rng.normal(size=(5, 3, 2, 1)), bias=rng.normal(size=5) / 9),
            Spiking(name="s2", inputs=("c2",), neuron=Neuron(theta=0.3, v0=0.1, theta_neg=theta_neg)),
            Linear(name="out", inputs=("s2",), weight=rng.normal(size=(3, 5 * 2 * 2)), bias=np.zeros(3)),
        ),
    )
    x = rng.normal(-0.1, 0.4, size=(2, 3, 4, 6))
    spikes = simulate(compile_network(network), x, 6, record=("spikes",)).populations["s1"].spikes
    window = spikes[..., :2, :3].sum(axis=(3, 4))
    assert window.max() >= 4
    assert (window.min() <= -2) == (theta_neg > -np.inf)
    compare(network, x, 6)


def residual(theta: np.ndarray, source_theta: np.ndarray, groups: int = 2) -> Network:
    """Everything at once: a grouped branch, a pooled strided shortcut, an identity, 130 channels."""
    rng = np.random.default_rng(3)
    neuron = Neuron(theta=source_theta, v0=0.1, theta_neg=-0.05)
    return Network(
        name="residual",
        input=InputSpec(shape=(3, 8, 8)),
        layers=(
            Conv2d(
                name="c0", inputs=("input",), weight=rng.normal(size=(130, 3, 3, 3)) / 3, bias=rng.normal(size=130) / 9,
                padding=(1, 1),
            ),
            Spiking(name="s0", inputs=("c0",), neuron=neuron),
            AvgPool2d(name="p0", inputs=("s0",), kernel=(3, 2), stride=(2, 2)),
            Conv2d(
                name="c1", inputs=("p0",), weight=rng.normal(size=(130, 130 // groups, 3, 3)) / 9,
                bias=rng.normal(size=130) / 9, scale=rng.normal(size=130), padding=(1, 1), groups=groups,
            ),
            Spiking(name="s1", inputs=("c1",), neuron=neuron),
            Conv2d(name="c2", inputs=("s1",), weight=rng.normal(size=(130, 130, 1, 1)) / 9, bias=rng.normal(size=130)),
            Conv2d(
                name="c3", inputs=("p0",), weight=rng.normal(size=(130, 130, 1, 1)).astype(np.float32) / 9,
                bias=rng.normal(size=130) / 9,
            ),
            Add(name="add", inputs=("c2", "s1", "c3", "p0")),
            Spiking(name="s2", inputs=("add",), neuron=Neuron(theta=theta, v0=0.3)),
            Flatten(name="flat", inputs=("s2",)),
            Linear(name="h", inputs=("flat",), weight=rng.normal(size=(70, 130 * 3 * 4)) / 30, bias=np.zeros(70)),
            Spiking(name="s3", inputs=("h",), neuron=Neuron(theta=1.0, v0=0.5, theta_neg=-1.0, gate="gross")),
            Linear(name="out", inputs=("s3",), weight=rng.normal(size=(3, 70)), bias=np.zeros(3)),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("source_theta", [np.array(0.7), np.linspace(0.3, 0.9, 130)])
@pytest.mark.parametrize("theta", [np.array(1.1), np.linspace(0.5, 2, 130)])
def test_residual_networks_agree_whatever_the_thresholds(theta, source_theta):
    x = np.random.default_rng(1).normal(size=(3, 3, 8, 8))
    compare(residual(theta, source_theta), x, 12)


@pytest.mark.parametrize("T", [64, 300])
def test_long_runs_agree(T):
    compare(residual(np.array(1.1), np.array(0.7)), np.random.default_rng(2).normal(size=(1, 3, 8, 8)), T)


def with_neuron(name: str, **change: object) -> Network:
    """The residual network with one neuron changed."""
    network = residual(np.array(1.1), np.array(0.7))
    layer = network.by_name[name]
    assert isinstance(layer, Spiking)
    return network.with_neurons({name: replace(layer.neuron, **change)})


OWN = np.linspace(1.9, 2.1, 130 * 3 * 4).reshape(130, 3, 4)
"""A threshold of its own for each neuron."""


@pytest.mark.parametrize(
    ("network", "population", "reason"),
    [
        (with_neuron("s1"), "s0", "the image drives it"),
        (with_neuron("s1"), "out", "logits"),
        (with_neuron("s2", leak=0.5), "s2", "leaks"),
        (with_neuron("s2", strict=True), "s2", "has to exceed theta"),
        (with_neuron("s2", theta=OWN), "s2", "differs between positions"),
        (with_neuron("s2", theta=OWN), "s3", "differ in size"),
        (with_neuron("s2", theta=np.array(1e-9)), "s2", "too large"),
        (with_neuron("s2", v0=np.array(1e9)), "s2", "too large"),
    ],
)
def test_a_population_falls_back_to_float64_and_says_why(network, population, reason):
    found = next(each for each in compile_network(network, "exact").targets if each.name == population)
    assert found.mode == "float64"
    assert reason in found.reason
    compare(network, np.random.default_rng(1).normal(size=(1, 3, 8, 8)), 4)


def test_potentials_are_recorded_in_float64():
    network = residual(np.array(1.1), np.array(0.7))
    x = np.random.default_rng(1).normal(size=(1, 3, 8, 8))
    actual, expected = (simulate(compile_network(network, mode), x, 4, record=("v",)) for mode in ("exact", "float64"))
    for name, each in expected.populations.items():
        np.testing.assert_array_equal(actual.populations[name].v, each.v)


def test_weights_close_to_overflow_wrap_around_and_come_back():
    # Partial sums of one step exceed 32 bits; the whole does not.
    n = 4 * TILE
    weight = np.where(np.arange(n) < n // 2, 1.0, -1.0)[None].repeat(3, axis=0)
    network = Network(
        name="wrap",
        input=InputSpec(shape=(n, 1, 1)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=Neuron(theta=1.0, v0=0.0, theta_neg=-1.0)),
            Linear(name="h", inputs=("s1",), weight=weight, bias=np.array([0.3, -0.2, 0.0])),
            Spiking(name="s2", inputs=("h",), neuron=Neuron(theta=0.77, v0=0.0)),
            Linear(name="out", inputs=("s2",), weight=np.ones((2, 3)), bias=np.zeros(2)),
        ),
    )
    x = np.where(np.random.default_rng(0).random((4, n, 1, 1)) < 0.9, 1.0, 0.0)
    compare(network, x, 9)


def test_a_weight_beyond_32_bits_is_made_up_for_by_the_bias():
    # No current exceeds 1.6, which sets the unit; the weight alone has more units than an int32 holds.
    network = Network(
        name="opposed",
        input=InputSpec(shape=(1, 1, 1)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=Neuron(theta=1.0, v0=0.0)),
            Linear(name="h", inputs=("s1",), weight=np.array([[3.2], [-3.2]]), bias=np.array([-1.6, 1.6])),
            Spiking(name="s2", inputs=("h",), neuron=Neuron(theta=0.9, v0=0.45, theta_neg=-0.1)),
            Linear(name="out", inputs=("s2",), weight=np.ones((2, 2)), bias=np.zeros(2)),
        ),
    )
    plan = compile_network(network, "exact")
    integers = plan.populations[1].numbers
    assert isinstance(integers, Exact)
    assert 3.2 / 0.9 * 2**integers.bits > 2**31
    compare(network, np.array([0.3, 0.7, 1.0]).reshape(3, 1, 1, 1), 12)


def pooled(theta: float, next_theta: float, count: int) -> tuple[Network, np.ndarray]:
    """A neuron behind a 3 x 3 window in which `count` neurons of threshold theta fire once."""
    network = Network(
        name="pooled",
        input=InputSpec(shape=(1, 3, 3)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=Neuron(theta=theta, v0=0.0)),
            AvgPool2d(name="pool", inputs=("s1",), kernel=(3, 3), stride=(3, 3)),
            Flatten(name="flat", inputs=("pool",)),
            Linear(name="fc", inputs=("flat",), weight=[[1.0]], bias=[0.0]),
            Spiking(name="s2", inputs=("fc",), neuron=Neuron(theta=next_theta, v0=0.0)),
            Linear(name="out", inputs=("s2",), weight=[[1.0]], bias=[0.0]),
        ),
    )
    x = np.zeros((1, 1, 3, 3))
    x.reshape(-1)[:count] = 1.5 * theta
    return network, x


@pytest.mark.parametrize("dtype", ["float64", "exact"])
def test_a_window_s_value_is_rounded_as_the_specification_rounds_it(dtype):
    """count * theta / k and count * (theta / k) differ in their last bits, and here that is a spike more or less."""
    more = less = 0
    for count in range(1, 10):
        for theta in (0.1, 0.3, 0.7, 1.1, 1.3, 2.9):
            specified, other = count * theta / 9, count * (theta / 9)
            # A threshold at the larger of the two is met by that one alone.
            network, x = pooled(theta, max(specified, other), count)
            trace = simulate(compile_network(network, dtype), x, 1, record=("spikes",))
            fired = int(trace.populations["s2"].spikes.sum())
            assert fired == int(specified >= other), (count, theta)
            if dtype == "exact":
                assert trace.populations["s2"].recomputed.sum() == 1
            more, less = more + (specified > other), less + (specified < other)
    assert more > 3
    assert less > 3


def by_position(shape: tuple[int, int, int], pooled: bool) -> Network:
    """Thresholds given for each position, and all the same within a channel."""
    rng = np.random.default_rng(1)
    c = shape[0]
    theta = np.broadcast_to(rng.uniform(0.3, 0.9, size=(c, 1, 1)), shape)
    neuron = Neuron(theta=theta, v0=theta / 2, theta_neg=-theta / 8)
    n_flat = 3 if pooled else 3 * shape[1] * shape[2]
    layers = [
        Spiking(name="s1", inputs=("input",), neuron=neuron),
        Conv2d(name="c2", inputs=("s1",), weight=rng.normal(size=(c, c, 1, 1)), bias=rng.normal(size=c) / 9),
        Add(name="add", inputs=("c2", "s1")),
        Spiking(name="s2", inputs=("add",), neuron=neuron),
    ]
    if pooled:
        layers.append(AvgPool2d(name="p", inputs=("s2",), kernel=shape[1:], stride=(1, 1)))
    layers += [
        Conv2d(name="c3", inputs=(layers[-1].name,), weight=rng.normal(size=(3, c, 1, 1)), bias=rng.normal(size=3)),
        Spiking(name="s3", inputs=("c3",), neuron=Neuron(theta=1.0, v0=0.5)),
        Flatten(name="flat", inputs=("s3",)),
        Linear(name="out", inputs=("flat",), weight=rng.normal(size=(2, n_flat)), bias=np.zeros(2)),
    ]
    return Network(name="by position", input=InputSpec(shape=shape), layers=tuple(layers))


@pytest.mark.parametrize("shape", [(5, 1, 1), (4, 2, 2), (3, 2, 1)])
@pytest.mark.parametrize("pooled", [False, True])
def test_a_threshold_given_by_position_that_all_positions_share_is_one_of_the_channel(shape, pooled):
    network = by_position(shape, pooled)
    x = np.random.default_rng(2).normal(size=(3, *shape))
    for dtype in (np.float64, np.float32):
        assert_equals_reference(network, x, 9, dtype=dtype)
    compare(network, x, 9)
    modes = {each.name: each.mode for each in compile_network(network, "exact").populations}
    # A larger window adds up the sizes of its spikes, which the specification rounds otherwise than a count's.
    added = pooled and shape[1] > 1
    assert modes == {"s1": "float64", "s2": "exact", "s3": "float64" if added else "exact"}


def test_a_run_in_float64_for_its_potentials_counts_no_zero_weights_either():
    layers = (
        Spiking(name="s", inputs=("input",), neuron=Neuron(theta=1.0, v0=0.0)),
        Linear(name="out", inputs=("s",), weight=[[1.0], [0.0], [0.0], [0.0]], bias=np.zeros(4)),
    )
    network = Network(name="sparse", input=InputSpec(shape=(1, 1, 1)), layers=layers)
    for skip_zero_weights, sops in ((True, 1), (False, 4)):
        plan = compile_network(network, "exact", skip_zero_weights=skip_zero_weights)
        for record in ((), ("v",)):
            assert simulate(plan, np.ones((1, 1, 1, 1)), 1, record).ops["s", "out"].unit.tolist() == [[sops]]
