"""The smallest cases, written out; and what the engine refuses."""

import numpy as np
import pytest

from refsim.engine.plan import compile_network
from refsim.engine.simulator import forward, simulate
from refsim.exceptions import NetworkError, RefsimError, UsageError
from refsim.model import Activation, AvgPool2d, Conv2d, InputSpec, Linear, MaxPool2d, Network, Neuron, Spiking
from refsim.testing import assert_equals_reference


def chain(theta: float, weight: float = 1.0, bias: float = 0.0, **options) -> Network:
    """One pixel, one neuron, one output of weight 3 and bias 1/4."""
    activation = Activation(lambda_=theta, L=options.pop("L", 4))
    neuron = Neuron(theta=theta, v0=options.pop("v0", 0.0), activation=activation, **options)
    layers = (
        Linear(name="in", inputs=("input",), weight=[[weight]], bias=[bias]),
        Spiking(name="act", inputs=("in",), neuron=neuron),
        Linear(name="out", inputs=("act",), weight=[[3.0]], bias=[0.25]),
    )
    return Network(name="chain", input=InputSpec(shape=(1, 1, 1)), layers=layers)


def pixel(value: float) -> np.ndarray:
    return np.full((1, 1, 1, 1), value)


def spikes(network: Network, value: float, T: int) -> list[int]:
    trace = simulate(compile_network(network), pixel(value), T, record=("spikes",))
    return trace.populations["act"].spikes[:, 0, 0].tolist()


def test_potential_that_meets_the_threshold_fires():
    assert spikes(chain(1.0), 0.5, 6) == [0, 1, 0, 1, 0, 1]


def test_logits_of_each_step_are_weight_times_theta_plus_bias():
    trace = simulate(compile_network(chain(2.0)), pixel(1.0), 4)
    assert trace.logits[:, 0, 0].tolist() == [0.25, 6.25, 0.25, 6.25]


def test_one_step_and_one_image():
    trace = simulate(compile_network(chain(1.0)), pixel(1.0), 1)
    assert trace.logits.shape == (1, 1, 1)
    assert trace.ops["act", "out"].unit.tolist() == [[1]]


def test_a_black_image_delivers_nothing_but_biases():
    network = chain(1.0, bias=0.5)
    trace = simulate(compile_network(network), pixel(0.0), 4, record=("spikes",))
    assert trace.nonzero_macs.tolist() == [0]
    assert trace.populations["act"].spikes[:, 0, 0].tolist() == [0, 1, 0, 1]
    assert_equals_reference(network, pixel(0.0), 4)


def test_a_silent_network_answers_with_its_biases():
    network = chain(1e6)
    trace = simulate(compile_network(network), pixel(1.0), 3)
    assert trace.populations["act"].n_pos.sum() == 0
    assert trace.ops["act", "out"].unit.sum() == 0
    assert trace.logits.tolist() == [[[0.25]]] * 3
    assert_equals_reference(network, pixel(1.0), 3)


def test_a_readout_sees_the_image_at_every_step():
    layers = (Linear(name="out", inputs=("input",), weight=[[2.0, 1.0]], bias=[0.5]),)
    network = Network(name="readout", input=InputSpec(shape=(2, 1, 1)), layers=layers)
    trace = simulate(compile_network(network), np.array([1.0, -4.0]).reshape(1, 2, 1, 1), 3)
    assert trace.logits.tolist() == [[[-1.5]]] * 3
    assert trace.ops == {}
    assert trace.nonzero_macs.tolist() == [2]


def test_a_kernel_that_lies_wholly_in_the_padding_leaves_the_bias():
    layers = (
        Conv2d(name="c", inputs=("input",), weight=np.ones((1, 1, 1, 1)), bias=[0.25], padding=(1, 1)),
        Spiking(name="act", inputs=("c",), neuron=Neuron(theta=1.0, v0=0.0)),
        Linear(name="out", inputs=("act",), weight=np.ones((1, 9)), bias=[0.0]),
    )
    network = Network(name="border", input=InputSpec(shape=(1, 1, 1)), layers=layers)
    trace = simulate(compile_network(network), pixel(1.0), 1, record=("current",))
    expected = np.full((3, 3), 0.25)
    expected[1, 1] = 1.25
    assert trace.populations["act"].current[0, 0].tolist() == expected.tolist()
    assert trace.nonzero_macs.tolist() == [1]
    assert_equals_reference(network, pixel(1.0), 1)


def test_a_pool_passes_negative_sums_and_nothing_where_spikes_cancel():
    # From v0 = 2, a current of -1 fires +1, -1 and then nothing; a current of 0 fires +1, +1 and then nothing.
    neuron = Neuron(theta=1.0, v0=2.0, theta_neg=-0.5)
    layers = (
        Spiking(name="act", inputs=("input",), neuron=neuron),
        AvgPool2d(name="pool", inputs=("act",), kernel=(1, 2), stride=(1, 1)),
        Linear(name="out", inputs=("pool",), weight=[[1.0, 8.0]], bias=[0.0]),
    )
    network = Network(name="pooled", input=InputSpec(shape=(1, 1, 3)), layers=layers)
    trace = simulate(compile_network(network), np.array([-1.0, -1.0, 0.0]).reshape(1, 1, 1, 3), 3)
    assert trace.logits[:, 0, 0].tolist() == [9.0, -1.0, 0.0]
    ops = trace.ops["act", "out"]
    assert [ops.event_pos[:, 0].tolist(), ops.event_neg[:, 0].tolist()] == [[2, 0, 0], [0, 1, 0]]
    assert [ops.unit_pos[:, 0].tolist(), ops.unit_neg[:, 0].tolist()] == [[4, 1, 0], [0, 3, 0]]
    assert ops.pool_in[:, 0].tolist() == [4, 4, 0]


@pytest.mark.parametrize(
    ("mode", "logits", "positive"), [("cumulative", [73, -64, 1], [3, 0, 1]), ("or", [73, 9 - 64, 1], [3, 2, 1])]
)
def test_a_max_pool_sends_spikes_of_its_own(mode, logits, positive):
    # Four neurons fire + 0 +, 0 + 0, + - 0 and + - 0; the first two by turns, the last two together.
    neuron = Neuron(theta=1.0, v0=np.array([0.5, 0.0, 2.0, 2.0]).reshape(1, 1, 4), theta_neg=-0.5)
    layers = (
        Spiking(name="act", inputs=("input",), neuron=neuron),
        MaxPool2d(name="pool", inputs=("act",), kernel=(1, 2), stride=(1, 1), mode=mode),
        Linear(name="out", inputs=("pool",), weight=[[1.0, 8.0, 64.0]], bias=[0.0]),
    )
    network = Network(name="pooled", input=InputSpec(shape=(1, 1, 4)), layers=layers)
    trace = simulate(compile_network(network), np.array([0.5, 0.5, -1.0, -1.0]).reshape(1, 1, 1, 4), 3)
    assert trace.logits[:, 0, 0].tolist() == logits
    ops = trace.ops["act", "out"]
    assert ops.unit_pos[:, 0].tolist() == ops.event_pos[:, 0].tolist() == positive
    assert ops.unit_neg[:, 0].tolist() == ops.event_neg[:, 0].tolist() == [0, 1, 0]
    assert ops.pool_in[:, 0].tolist() == [4, 5, 1]


def test_a_pool_weighs_each_spike_by_the_theta_of_its_neuron():
    neuron = Neuron(theta=np.array([[[0.5, 0.25], [4.0, 2.0]]]), v0=4.0)
    layers = (
        Spiking(name="act", inputs=("input",), neuron=neuron),
        AvgPool2d(name="pool", inputs=("act",), kernel=(1, 2), stride=(1, 1)),
        Linear(name="out", inputs=("pool",), weight=[[1.0, 0.0], [0.0, 1.0]], bias=[0.0, 0.0]),
    )
    network = Network(name="unequal", input=InputSpec(shape=(1, 2, 2)), layers=layers)
    trace = simulate(compile_network(network), np.zeros((1, 1, 2, 2)), 1)
    assert trace.logits[0, 0].tolist() == [0.375, 3.0]


@pytest.mark.parametrize(("z", "a"), [(-1.0, 0.0), (0.1875, 0.0), (0.25, 0.5), (1.0, 1.0), (1.75, 2.0), (9.0, 2.0)])
def test_the_ann_is_a_staircase(z, a):
    activations = forward(compile_network(chain(2.0), fold=False), pixel(z), record=True)
    assert (activations.z["act"].tolist(), activations.a["act"].tolist()) == ([[z]], [[a]])
    assert activations.logits.tolist() == [[3 * a + 0.25]]


@pytest.mark.parametrize(("z", "a"), [(-1.0, 0.0), (0.1875, 0.1875), (9.0, 9.0)])
def test_the_ann_of_relu_has_no_steps(z, a):
    activations = forward(compile_network(chain(2.0, L=None), fold=False), pixel(z), record=True)
    assert activations.a["act"].tolist() == [[a]]


def test_state_does_not_pass_from_one_image_to_the_next():
    x = np.concatenate([pixel(0.75), pixel(0.75)])
    trace = simulate(compile_network(chain(1.0)), x, 2, record=("spikes", "v"))
    first, second = trace.populations["act"].spikes[:, :, 0].T.tolist()
    assert first == second == [0, 1]
    assert trace.populations["act"].v.tolist() == [[0.5], [0.5]]


def test_nothing_is_recorded_that_was_not_asked_for():
    population = simulate(compile_network(chain(1.0)), pixel(1.0), 1).populations["act"]
    assert (population.spikes, population.v, population.current) == (None, None, None)


@pytest.mark.parametrize("T", [0, -1])
def test_no_steps_are_refused(T):
    with pytest.raises(UsageError, match=f"T must be at least 1, got {T}"):
        simulate(compile_network(chain(1.0)), pixel(1.0), T)


def test_the_ann_needs_weights_without_theta():
    with pytest.raises(UsageError, match="the ANN needs a plan compiled with fold=False"):
        forward(compile_network(chain(1.0)), pixel(1.0))


def test_the_ann_of_unknown_L_is_refused():
    plan = compile_network(chain(1.0, L=0), fold=False)
    with pytest.raises(NetworkError, match="layer 'act': the file does not say L, the ANN's quantization steps"):
        forward(plan, pixel(1.0))


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("value", [1e300, -1e300])
def test_a_current_that_is_not_finite_is_refused_by_name(value):
    with pytest.raises(RefsimError, match="layer 'act': a current overflowed or is not a number"):
        simulate(compile_network(chain(1.0, weight=1e300)), pixel(value), 2)


@pytest.mark.filterwarnings("ignore:overflow")
def test_an_output_that_is_not_finite_is_refused_by_name():
    layers = (Linear(name="out", inputs=("input",), weight=[[1e300]], bias=[0.0]),)
    network = Network(name="loud", input=InputSpec(shape=(1, 1, 1)), layers=layers)
    with pytest.raises(RefsimError, match="layer 'out': a current overflowed"):
        simulate(compile_network(network), pixel(1e300), 1)
    with pytest.raises(RefsimError, match="layer 'out': a current overflowed"):
        forward(compile_network(network, fold=False), pixel(1e300))
