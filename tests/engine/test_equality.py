"""The event engine and the specification are one machine: every bit of every result is the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.model import (
    Activation,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    InputSpec,
    Linear,
    Network,
    Neuron,
    Spiking,
)
from refsim.testing import assert_equals_reference, networks_with_inputs

from .effort import examples

STEPS = st.integers(1, 6)


@examples(300)
@given(networks_with_inputs("dyadic"), STEPS)
def test_engine_equals_the_specification_where_potentials_meet_thresholds(drawn, T):
    assert_equals_reference(*drawn, T)


@examples(200)
@given(networks_with_inputs("normal"), STEPS)
def test_engine_equals_the_specification_on_any_numbers(drawn, T):
    assert_equals_reference(*drawn, T)


@examples(100)
@given(networks_with_inputs("dyadic"), STEPS)
def test_engine_equals_the_specification_in_float32_where_potentials_meet_thresholds(drawn, T):
    assert_equals_reference(*drawn, T, dtype=np.float32)


@examples(100)
@given(networks_with_inputs("normal"), STEPS)
def test_engine_equals_the_specification_in_float32_on_any_numbers(drawn, T):
    assert_equals_reference(*drawn, T, dtype=np.float32)


@examples(20, interpreted=1)
@given(networks_with_inputs("normal", max_blocks=2), st.integers(20, 70))
def test_engine_equals_the_specification_over_many_steps(drawn, T):
    assert_equals_reference(*drawn, T)


@pytest.mark.parametrize("dual", [False, True], ids=["IF", "dual"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_engine_equals_the_specification_beyond_one_mask_word(dual, dtype):
    rng = np.random.default_rng(11)
    size = 8 if dual else 5  # seven and more positions: start lists run over images, rows and columns
    assert_equals_reference(_wide_residual(rng, size, dual), rng.normal(size=(2, 3, size, 4)), 3, dtype=dtype)


def _wide_residual(rng: np.random.Generator, size: int, dual: bool) -> Network:
    """70 channels in two groups, a residual, an overlapping pool, 130 channels, a flatten of more than one cell."""

    def neuron(c: int) -> Neuron:
        return Neuron(
            theta=rng.uniform(0.3, 1.2, c),
            v0=np.array(0.2),
            theta_neg=np.array(-0.05 if dual else -np.inf),
            activation=Activation(lambda_=1.0, L=4),
        )

    def conv(name: str, source: str, shape: tuple[int, int, int, int], **options) -> Conv2d:
        fan_in = np.prod(shape[1:])
        weight = rng.normal(0.05, 1.5 / np.sqrt(fan_in), shape)
        return Conv2d(name=name, inputs=(source,), weight=weight, bias=rng.normal(0, 0.1, shape[0]), **options)

    layers = [
        conv("c1", "input", (70, 3, 3, 3), padding=(1, 1)),
        Spiking(name="s1", inputs=("c1",), neuron=neuron(70)),
        conv("c2", "s1", (70, 35, 2, 2), padding=(1, 1), dilation=(2, 2), groups=2),
        Add(name="a2", inputs=("c2", "s1")),
        Spiking(name="s2", inputs=("a2",), neuron=neuron(70)),
        AvgPool2d(name="p2", inputs=("s2",), kernel=(3, 2), stride=(2, 1)),
        conv("c3", "p2", (130, 70, 1, 2)),
        Spiking(name="s3", inputs=("c3",), neuron=neuron(130)),
        Flatten(name="flat", inputs=("s3",)),
    ]
    n = 130 * ((size - 3) // 2 + 1) * 2
    layers.append(Linear(name="fc", inputs=("flat",), weight=rng.normal(0, 0.3, (66, n)), bias=np.zeros(66)))
    return Network(name="wide", input=InputSpec(shape=(3, size, 4)), layers=tuple(layers))
