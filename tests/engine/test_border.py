"""What `simulate`, `forward` and `compile_network` refuse, and how they say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refsim.engine.border import RECORDABLE
from refsim.engine.modes import MODES
from refsim.engine.plan import compile_network
from refsim.engine.simulator import forward, simulate
from refsim.exceptions import DataError, UsageError
from refsim.model import Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
from tests.simulation.networks import raw_images, small_network

SHAPE = (1, 6, 5)


def small() -> Network:
    """A convolution, neurons and a readout on a grey image that is not square."""
    layers = (
        Conv2d(name="c", inputs=("input",), weight=np.ones((2, 1, 3, 3)), bias=np.zeros(2)),
        Spiking(name="s", inputs=("c",), neuron=Neuron(theta=1.0, v0=0.5)),
        Flatten(name="f", inputs=("s",)),
        Linear(name="out", inputs=("f",), weight=np.ones((2, 24)), bias=np.zeros(2)),
    )
    return Network(name="small", input=InputSpec(shape=SHAPE), layers=layers)


def by_simulate(x: Any) -> Any:
    return simulate(compile_network(small()), x, 2).logits


def by_forward(x: Any) -> Any:
    layers = (
        Flatten(name="f", inputs=("input",)),
        Linear(name="out", inputs=("f",), weight=np.ones((2, 30)), bias=np.zeros(2)),
    )
    network = Network(name="small", input=InputSpec(shape=SHAPE), layers=layers)
    return forward(compile_network(network, fold=False), x).logits


def one_line(caught: pytest.ExceptionInfo[Exception]) -> bool:
    return "\n" not in str(caught.value)


@pytest.mark.parametrize("run", [by_simulate, by_forward])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 1, 6, 6)), r"x must be \(n, 1, 6, 5\) for network 'small', got \(2, 1, 6, 6\)$"),
        (np.zeros((2, 2, 6, 5)), r"x must be \(n, 1, 6, 5\) for network 'small', got \(2, 2, 6, 5\)$"),
        (np.zeros((1, 30)), r"x must be \(n, 1, 6, 5\) for network 'small', got \(1, 30\)$"),
        (np.float64(3), r"x must be \(n, 1, 6, 5\) for network 'small', got \(\)$"),
        (np.zeros((1, 1, 1, 6, 5)), r"x must be \(n, 1, 6, 5\) for network 'small', got \(1, 1, 1, 6, 5\)$"),
        (np.zeros(SHAPE), r"got \(1, 6, 5\), one image; give x\[None\]$"),
        (np.zeros((2, 6, 5, 1)), r"got \(2, 6, 5, 1\), channels last; call network.input.normalize\(images\)"),
        (np.zeros((6, 5, 1)), r"got \(6, 5, 1\), channels last; call network.input.normalize\(images\)"),
        (np.zeros((2, 6, 5, 1), np.uint8), r"raw pixels \(uint8 \(2, 6, 5, 1\)\).*call network.input.normalize"),
        (np.zeros((2, *SHAPE), np.uint8), r"raw pixels \(uint8 \(2, 1, 6, 5\)\).*call network.input.normalize"),
        (np.zeros((0, *SHAPE)), r"x holds no images, shape \(0, 1, 6, 5\); give at least one"),
        (np.zeros((1, *SHAPE), complex), "x must hold real numbers, got complex128"),
        (np.zeros((1, *SHAPE), bool), "x must hold real numbers, got bool"),
        (np.full((1, *SHAPE), "1"), "x must hold real numbers, got <U1"),
        (np.full((1, *SHAPE), None), "x must hold real numbers, got object"),
        (None, "x must hold real numbers, got object"),
        ([[1.0], [1.0, 2.0]], "x must be one array of numbers .*, got parts of unequal shapes"),
    ],
)
def test_input_that_is_no_input_current_of_the_network_is_refused(
    run: Callable[[Any], Any], x: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        run(x)
    assert one_line(caught)


@pytest.mark.parametrize("run", [by_simulate, by_forward])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_that_is_not_finite_is_named(run: Callable[[Any], Any], value: float) -> None:
    x = np.zeros((3, *SHAPE))
    x[1, 0, 5, 4] = value
    with pytest.raises(DataError, match="x: image 1 holds values that are not finite numbers in float64"):
        run(x)


def test_a_value_beyond_float32_is_refused_without_a_warning() -> None:
    x = np.full((1, *SHAPE), 1e39)
    with pytest.raises(DataError, match="x: image 0 holds values that are not finite numbers in float32"):
        simulate(compile_network(small(), np.float32), x, 1)


@pytest.mark.parametrize("run", [by_simulate, by_forward])
@pytest.mark.parametrize("make", [np.asarray, np.ndarray.tolist, lambda x: x.astype(np.int64), np.float32])
def test_whatever_holds_the_same_numbers_gives_the_same_result(run: Callable[[Any], Any], make: Any) -> None:
    x = np.arange(60.0).reshape(2, *SHAPE) - 30
    np.testing.assert_array_equal(run(make(x)), run(x))


@pytest.mark.parametrize("T", [True, np.True_, 2.0, np.float64(2), "2", None])
def test_steps_are_a_whole_number(T: Any) -> None:
    with pytest.raises(UsageError, match="T must be a whole number of time steps, got ") as caught:
        simulate(compile_network(small()), np.zeros((1, *SHAPE)), T)
    assert repr(T) in str(caught.value)


def test_steps_may_be_an_integer_of_numpy() -> None:
    assert simulate(compile_network(small()), np.zeros((1, *SHAPE)), np.uint8(3)).logits.shape == (3, 1, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in RECORDABLE if name != "followed"])  # which needs a max pool
def test_one_name_of_what_to_record_may_stand_alone(name: str) -> None:
    plan, x = compile_network(small()), np.ones((1, *SHAPE))
    alone, listed = (simulate(plan, x, 2, record).populations["s"] for record in (name, [name]))
    for each in RECORDABLE:
        assert (getattr(alone, each) is None) == (each != name)
    np.testing.assert_array_equal(getattr(alone, name), getattr(listed, name))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (("spikes", "potential"), "record: nothing is called 'potential'; known are spikes, n, v, current"),
        ("spike", "record: nothing is called 'spike'; known are spikes, n, v, current"),
        ("", "record: nothing is called ''; known are"),
        ([["v"]], r"record: nothing is called \['v'\]; known are"),
        (True, r"record must be a collection of names \(spikes, n, v, current, followed\), got True"),
        (None, "record must be a collection of names .*, got None"),
    ],
)
def test_what_cannot_be_recorded_is_refused(record: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        simulate(compile_network(small()), np.zeros((1, *SHAPE)), 1, record)
    assert one_line(caught)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (np.float16, "float16"),
        (np.complex128, "complex128"),
        (int, "int64"),
        ("f8", "f8"),
        ("Exact", "Exact"),
        (None, "None"),
        ([1, 2], r"\[1, 2\]"),
        ({"names": 3}, r"\{'names': 3\}"),
        (object(), "<object object at"),
    ],
)
def test_unknown_number_types_are_refused_with_the_known_ones(dtype: Any, name: str) -> None:
    message = f"dtype must be one of exact, float64, float32, int16, int8, got {name}"
    with pytest.raises(UsageError, match=message) as caught:
        compile_network(small(), dtype)
    assert one_line(caught)


@pytest.mark.parametrize(
    ("dtype", "mode"), [(float, "float64"), (np.float32, "float32"), (np.dtype(">f8"), "float64"), ("exact", "exact")]
)
def test_number_types_are_known_by_their_names(dtype: Any, mode: str) -> None:
    assert compile_network(small(), dtype).mode == mode


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": np.array([1.0, 1e-46])}, "layer 's': theta 1e-46 is 0 in float32; use --dtype exact or float64"),
        ({"theta": np.array([1e39, 1.0])}, "layer 's': theta 1e.39 is inf in float32; use"),
        ({"theta": 1.0, "theta_neg": -1e-46}, "layer 's': theta_neg -1e-46 is -0 in float32; use"),
    ],
)
def test_thresholds_that_float32_cannot_hold_are_refused(change: dict[str, Any], message: str) -> None:
    network = small().with_neurons({"s": Neuron(**{"v0": 0.5} | change)})
    compile_network(network, np.float64)
    with pytest.raises(UsageError, match=message):
        compile_network(network, np.float32)


@pytest.mark.parametrize("mode", MODES)
def test_a_network_without_neurons_is_its_readout_at_every_step(mode: str) -> None:
    layers = (
        Flatten(name="f", inputs=("input",)),
        Linear(name="out", inputs=("f",), weight=[np.arange(30.0), np.ones(30)], bias=[0.5, -1.0]),
    )
    network = Network(name="readout", input=InputSpec(shape=SHAPE), layers=layers)
    x = np.arange(-30.0, 30.0).reshape(2, *SHAPE)
    expected = x.reshape(2, -1) @ layers[1].weight.T + layers[1].bias
    trace = simulate(compile_network(network, mode), x, 3, record=("spikes", "n", "v", "current"))
    assert trace.populations == {}
    assert trace.ops == {}
    assert trace.nonzero_macs.tolist() == [60, 58]
    assert trace.logits.tolist() == [expected.tolist()] * 3
    assert forward(compile_network(network, mode, fold=False), x).logits.tolist() == expected.tolist()


def test_a_network_stands_for_its_plan() -> None:
    network = small_network()
    x = network.input.normalize(raw_images(3))
    expected = simulate(compile_network(network, "exact"), x, 3, ("spikes",))
    actual = simulate(network, x, 3, ("spikes",))
    np.testing.assert_array_equal(actual.logits, expected.logits)
    for name, each in expected.populations.items():
        np.testing.assert_array_equal(actual.populations[name].spikes, each.spikes)
    ann = forward(compile_network(network, fold=False), x)
    np.testing.assert_array_equal(forward(network, x).logits, ann.logits)
