"""`assert_equals_reference` sees every difference, and says where it is."""

from dataclasses import fields, replace

import numpy as np
import pytest

from refsim.engine.trace import SynapticOps
from refsim.model import AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
from refsim.testing import Observed, assert_equals_reference, event_engine


@pytest.fixture
def network() -> Network:
    layers = (
        Conv2d(name="conv", inputs=("input",), weight=np.ones((2, 1, 1, 1)), bias=[0.0, -0.5]),
        Spiking(name="act", inputs=("conv",), neuron=Neuron(theta=1.0, v0=0.5, theta_neg=-0.25)),
        AvgPool2d(name="pool", inputs=("act",), kernel=(2, 1), stride=(1, 1)),
        Flatten(name="flat", inputs=("pool",)),
        Linear(name="out", inputs=("flat",), weight=np.ones((3, 4)), bias=np.zeros(3)),
    )
    return Network(name="small", input=InputSpec(shape=(1, 2, 2)), layers=layers)


X = np.array([[[[0.5, 1.0], [0.0, 2.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])


def spoiled(change) -> object:
    """A backend that is wrong in one place."""

    def backend(network, x, T, dtype) -> Observed:
        outcome = event_engine(network, x, T, dtype)
        return replace(outcome, **change(outcome))

    return backend


def bump(values: np.ndarray, *place: int) -> np.ndarray:
    """A copy in which one number is the next larger one."""
    values = values.copy()
    step = 1 if values.dtype.kind in "iu" else np.spacing(values[place])
    values[place] += step
    return values


def test_the_engine_passes(network):
    assert_equals_reference(network, X, 3)


def test_what_a_backend_does_not_report_is_not_compared(network):
    nothing = spoiled(lambda _: {"v": None, "current": None, "reached": None, "ops": None})
    assert_equals_reference(network, X, 3, backend=nothing)


def test_a_backend_computes_in_the_asked_number_type(network):
    x = X + 0.1
    with pytest.raises(AssertionError, match=r"layer 'act': "):
        assert_equals_reference(
            network, x, 3, backend=lambda n, x, T, _: event_engine(n, x, T, np.float64), dtype=np.float32
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda o: {"spikes": {"act": bump(o.spikes["act"], 1, 1, 0, 1, 0)}},
            r"layer 'act': spike at t 1, image 1, index \(0, 1, 0\): expected 1, got 2 \(1 of 48 differ\)",
        ),
        (
            lambda o: {"v": {"act": bump(o.v["act"], 1, 0, 0, 0)}},
            r"layer 'act': v\(T\) at image 1, index \(0, 0, 0\): expected 0.5, got 0.50000000000000",
        ),
        (
            lambda o: {"current": {"act": bump(o.current["act"], 0, 1, 1, 1)}},
            r"layer 'act': sum of currents at image 0, index \(1, 1, 1\)",
        ),
        (lambda o: {"logits": bump(o.logits, 2, 0, 1)}, r"logits at t 2, image 0, index \(1,\)"),
        (lambda o: {"logits": o.logits[:2]}, r"logits: expected shape \(3, 2, 3\), got \(2, 2, 3\)"),
        (
            lambda o: {"reached": {"act": bump(o.reached["act"], 0, 1)}},
            r"layer 'act': neurons reached at t 0, image 1, index \(\): expected 8, got 9",
        ),
        (lambda _: {"ops": {}}, r"projections counted: expected \[\('act', 'out'\)\], got \[\]"),
    ],
)
def test_one_wrong_number_is_found(network, change, message):
    with pytest.raises(AssertionError, match=message):
        assert_equals_reference(network, X, 3, backend=spoiled(change))


@pytest.mark.parametrize("kind", [each.name for each in fields(SynapticOps)])
def test_one_wrong_count_is_found(network, kind):
    def change(outcome: Observed) -> dict[str, object]:
        ops = outcome.ops["act", "out"]
        return {"ops": {("act", "out"): replace(ops, **{kind: bump(getattr(ops, kind), 2, 1)})}}

    with pytest.raises(AssertionError, match=rf"projection 'act' -> 'out': {kind} at t 2, image 1, index \(\)"):
        assert_equals_reference(network, X, 3, backend=spoiled(change))
