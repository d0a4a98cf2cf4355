"""What a `Network` refuses, with every message, and what it tells about itself."""

from dataclasses import replace

import numpy as np
import pytest

from refsim.exceptions import NetworkError, UsageError
from refsim.model import (
    DUAL_THETA_NEG,
    Activation,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    InputSpec,
    Linear,
    MaxPool2d,
    Network,
    Neuron,
    Spiking,
)


def conv(name: str = "conv", source: str = "input", shape=(4, 2, 3, 3), **options) -> Conv2d:
    return Conv2d(name=name, inputs=(source,), weight=np.ones(shape), bias=np.zeros(shape[0]), **options)


def linear(name: str = "out", source: str = "act", shape=(3, 36)) -> Linear:
    return Linear(name=name, inputs=(source,), weight=np.ones(shape), bias=np.zeros(shape[0]))


def act(name: str = "act", source: str = "conv", **options) -> Spiking:
    return Spiking(name=name, inputs=(source,), neuron=Neuron(**{"theta": 1.0, "v0": 0.5} | options))


def network(*layers, **options) -> Network:
    """A network on a (2, 5, 5) image; the default is conv (4, 3, 3), neurons, readout."""
    return Network(
        name="small", input=InputSpec(shape=(2, 5, 5)), layers=layers or (conv(), act(), linear()), **options
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lambda_": 0.0, "L": 4}, r"activation: lambda must be positive and finite, got 0\.0"),
        ({"lambda_": -1.0, "L": 4}, r"activation: lambda must be positive and finite, got -1\.0"),
        ({"lambda_": np.inf, "L": 4}, r"activation: lambda must be positive and finite, got inf"),
        ({"lambda_": np.nan, "L": 4}, r"activation: lambda must be positive and finite, got nan"),
        ({"lambda_": 1.0, "L": -1}, r"activation: L must be at least 1 \(0: unknown\), got -1"),
        ({"lambda_": 1.0, "L": 4, "clipped": True}, "activation: a clipped ReLU has no steps, L must be None, got 4"),
        ({"lambda_": 1.0, "L": 4, "shift": 1.0}, r"activation: shift must lie in \[0, 1\), got 1\.0"),
        ({"lambda_": 1.0, "L": 4, "shift": -0.1}, r"activation: shift must lie in \[0, 1\), got -0\.1"),
        ({"lambda_": 1.0, "L": 4, "shift": np.nan}, r"activation: shift must lie in \[0, 1\), got nan"),
        ({"lambda_": 1.0, "L": 4, "delta": -0.5}, r"activation: delta must be finite and not negative, got -0\.5"),
        ({"lambda_": 1.0, "L": 4, "delta": np.inf}, r"activation: delta must be finite and not negative, got inf"),
    ],
)
def test_activation_refuses(options, message):
    with pytest.raises(NetworkError, match=f"^{message}$"):
        Activation(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gate": "sum"}, r"neuron: gate must be net or gross, got 'sum'"),
        ({"reset": "hard"}, r"neuron: reset must be subtract or zero, got 'hard'"),
        ({"theta_neg_mode": "ratio"}, r"neuron: theta_neg_mode must be absolute or relative, got 'ratio'"),
        ({"theta": 0.0}, r"neuron: theta must be positive and finite, got 0\.0"),
        ({"theta": [1.0, -0.5]}, r"neuron: theta must be positive and finite, got -0\.5"),
        ({"theta": [1.0, np.inf]}, r"neuron: theta must be positive and finite, got inf"),
        ({"theta": np.nan}, r"neuron: theta must be positive and finite, got nan"),
        ({"v0": [0.0, np.nan]}, r"neuron: v0 must be finite, got nan"),
        ({"v0": -np.inf}, r"neuron: v0 must be finite, got -inf"),
        ({"leak": 1.5}, r"neuron: leak must lie in \[0, 1\], got 1\.5"),
        ({"leak": -0.5}, r"neuron: leak must lie in \[0, 1\], got -0\.5"),
        ({"leak": np.nan}, r"neuron: leak must lie in \[0, 1\], got nan"),
        ({"theta_neg": 0.0}, r"neuron: theta_neg must lie in \[-theta, 0\), got 0\.0 \(absolute\) at theta 1\.0"),
        ({"theta_neg": 0.1}, r"neuron: theta_neg must lie in \[-theta, 0\), got 0\.1 \(absolute\) at theta 1\.0"),
        ({"theta_neg": -1.5}, r"neuron: theta_neg must lie in \[-theta, 0\), got -1\.5 \(absolute\) at theta 1\.0"),
        ({"theta_neg": np.nan}, r"neuron: theta_neg must lie in \[-theta, 0\), got nan \(absolute\) at theta 1\.0"),
        (
            {"theta": [1.0, 1.0, 1.0], "theta_neg": [-0.5, -0.5]},
            r"neuron: theta_neg and theta have shapes that do not fit, \(2,\) and \(3,\)",
        ),
        (
            {"theta_neg": [-0.5, -np.inf]},
            r"neuron: theta_neg must lie in \[-theta, 0\), got -inf \(absolute\) at theta 1\.0",
        ),
        (
            {"theta": 2.0, "theta_neg": -1.25, "theta_neg_mode": "relative"},
            r"neuron: theta_neg must lie in \[-theta, 0\), got -2\.5 \(relative\) at theta 2\.0",
        ),
    ],
)
def test_neuron_refuses(options, message):
    with pytest.raises(NetworkError, match=f"^{message}$"):
        act(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"theta_neg": -1.0},
        {"theta_neg": -1e-300},
        {"theta": 3.0, "theta_neg": -1.0, "theta_neg_mode": "relative"},
        {"leak": 0.0},
        {"v0": -7.0},
        {"theta": np.ones((2, 3, 4)), "theta_neg": [-0.5, -1.0]},  # neither is the shape of the other's last axis
        {"theta": [1.0, 2.0], "theta_neg": np.full((2, 3, 4), -0.5), "theta_neg_mode": "relative"},
    ],
)
def test_neuron_accepts_the_bounds_themselves(options):
    assert act(**options).neuron.theta.dtype == np.float64


def test_relative_negative_threshold_is_a_multiple_of_each_theta():
    neuron = Neuron(theta=[1.0, 4.0], v0=0.0, theta_neg=np.full((2, 1, 2), -0.25), theta_neg_mode="relative")
    assert neuron.negative_threshold.tolist() == [[[-0.25, -0.25]], [[-1.0, -1.0]]]
    assert Neuron(theta=4.0, v0=0.0, theta_neg=-0.25).negative_threshold == -0.25


def test_neuron_changes_between_if_and_dual():
    single = Neuron(theta=2.0, v0=1.0)
    assert not single.dual
    assert single.negative_threshold == -np.inf
    dual = single.as_dual()
    assert dual.dual
    assert dual.theta_neg == DUAL_THETA_NEG == -1e-3
    own = Neuron(theta=2.0, v0=1.0, theta_neg=-0.5, theta_neg_mode="relative")
    assert own.as_dual() is own
    assert not own.as_if().dual
    assert own.as_if().theta_neg_mode == "absolute"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Linear(name="fc", inputs=("x",), weight=np.ones(3), bias=np.zeros(3)),
            r"layer 'fc': weight must have 2 axes, got shape \(3,\)",
        ),
        (
            lambda: Conv2d(name="c", inputs=("x",), weight=np.ones((3, 2)), bias=np.zeros(3)),
            r"layer 'c': weight must have 4 axes, got shape \(3, 2\)",
        ),
        (
            lambda: Linear(name="fc", inputs=("x",), weight=np.ones((3, 2)), bias=np.zeros(2)),
            r"layer 'fc': bias must have shape \(3,\), got \(2,\)",
        ),
        (
            lambda: Linear(name="fc", inputs=("x",), weight=np.ones((3, 2)), bias=np.zeros(3), scale=np.ones(1)),
            r"layer 'fc': scale must have shape \(3,\), got \(1,\)",
        ),
        (
            lambda: Linear(name="fc", inputs=("x",), weight=np.ones((1, 2)), bias=[np.nan]),
            r"layer 'fc': bias holds values that are not finite",
        ),
        (
            lambda: Linear(name="fc", inputs=("x",), weight=np.ones((1, 2)), bias=[0.0], scale=[np.inf]),
            r"layer 'fc': scale holds values that are not finite",
        ),
        (
            lambda: Linear(name="fc", inputs=("x",), weight=[[np.inf]], bias=[0.0]),
            r"layer 'fc': weight holds values that are not finite",
        ),
        (lambda: conv(stride=(0, 1)), r"layer 'conv': stride must be two integers of at least 1, got \(0, 1\)"),
        (lambda: conv(stride=(1,)), r"layer 'conv': stride must be two integers of at least 1, got \(1,\)"),
        (lambda: conv(padding=(0, -1)), r"layer 'conv': padding must be two integers of at least 0, got \(0, -1\)"),
        (lambda: conv(dilation=(1, 0)), r"layer 'conv': dilation must be two integers of at least 1, got \(1, 0\)"),
        (lambda: conv(groups=3), r"layer 'conv': 4 output channels do not divide into 3 groups"),
        (lambda: conv(groups=0), r"layer 'conv': 4 output channels do not divide into 0 groups"),
        (lambda: conv(groups=1.0), r"layer 'conv': groups must be an integer, got 1\.0"),
        (lambda: conv(groups=True), r"layer 'conv': groups must be an integer, got True"),
        (lambda: conv(stride=0), r"layer 'conv': stride must be two integers of at least 1, got 0"),
        (lambda: conv(stride=2.0), r"layer 'conv': stride must be two integers of at least 1, got 2\.0"),
        (lambda: conv(stride=True), r"layer 'conv': stride must be two integers of at least 1, got True"),
        (lambda: conv(stride=(2.0, 2)), r"layer 'conv': stride must be two integers of at least 1, got \(2\.0, 2\)"),
        (lambda: conv(padding="same"), r"layer 'conv': padding must be two integers of at least 0, got 'same'"),
        (lambda: conv(padding="11"), r"layer 'conv': padding must be two integers of at least 0, got '11'"),
        (lambda: conv(dilation=None), r"layer 'conv': dilation must be two integers of at least 1, got None"),
        (lambda: Flatten(name=3, inputs=("x",)), r"a layer's name must be text, got 3"),
        (lambda: Flatten(name="f", inputs=3), r"layer 'f': inputs must be the names of layers, got 3"),
        (lambda: Flatten(name="f", inputs=("x", 3)), r"layer 'f': inputs must be the names of layers, got \('x', 3\)"),
        (
            lambda: Linear(name="fc", inputs="x", weight=[["a"]], bias=[0.0]),
            r"layer 'fc': weight must be numbers, got elements of type <U1",
        ),
        (
            lambda: Linear(name="fc", inputs="x", weight=[[1j]], bias=[0.0]),
            r"layer 'fc': weight must be numbers, got elements of type complex128",
        ),
        (
            lambda: Linear(name="fc", inputs="x", weight=[[1.0]], bias=["0"]),
            r"layer 'fc': bias must be numbers, got elements of type <U1",
        ),
        (
            lambda: AvgPool2d(name="p", inputs=("x",), kernel=(0, 2), stride=(1, 1)),
            r"layer 'p': kernel must be two integers of at least 1, got \(0, 2\)",
        ),
        (
            lambda: AvgPool2d(name="p", inputs=("x",), kernel=(2, 2), stride=(1, 2, 3)),
            r"layer 'p': stride must be two integers of at least 1, got \(1, 2, 3\)",
        ),
        (
            lambda: max_pool(padding=(2, 0), kernel=(3, 3)),
            r"layer 'pool': padding must be at most half of the kernel \(3, 3\), got \(2, 0\)",
        ),
        (lambda: max_pool(dilation=(1, 0)), r"layer 'pool': dilation must be two integers of at least 1, got \(1, 0\)"),
        (lambda: max_pool(mode="sum"), r"layer 'pool': mode must be cumulative or or, got 'sum'"),
    ],
)
def test_layer_refuses(make, message):
    with pytest.raises(NetworkError, match=f"^{message}$"):
        make()


def pool(source: str = "act", kernel=(2, 2), stride=(1, 1)) -> AvgPool2d:
    return AvgPool2d(name="pool", inputs=(source,), kernel=kernel, stride=stride)


def max_pool(source: str = "act", **options) -> MaxPool2d:
    return MaxPool2d(
        name="pool", inputs=(source,), **{"kernel": (2, 2), "stride": (1, 1), "mode": "cumulative"} | options
    )


FLAT = Flatten(name="flat", inputs=("act",))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            (conv(shape=(4, 3, 3, 3)), act(), linear()),
            r"layer 'conv': weight expects \(3, H, W\) inputs, got \(2, 5, 5\) from 'input'",
        ),
        (
            (conv(groups=2, shape=(4, 2, 3, 3)), act(), linear()),
            r"layer 'conv': weight expects \(4, H, W\) inputs, got \(2, 5, 5\) from 'input'",
        ),
        (
            (conv(dilation=(3, 1)), act(), linear()),
            r"layer 'conv': kernel \(3, 3\) is larger than the padded input \(2, 5, 5\)",
        ),
        (
            (conv(shape=(4, 2, 3, 8), padding=(0, 1)), act(), linear()),
            r"layer 'conv': kernel \(3, 8\) is larger than the padded input \(2, 5, 5\)",
        ),
        (
            (conv(), act(), linear(shape=(3, 35))),
            r"layer 'out': weight expects 35 inputs, got \(4, 3, 3\) = 36 from 'act'",
        ),
        (
            (conv(), act(), FLAT, act("b", "flat"), conv("c", "b", (4, 36, 1, 1)), act("d", "c"), linear(source="d")),
            r"layer 'c': conv2d reads \(C, H, W\), got \(36,\) from 'b'",
        ),
        (
            (conv(), act(), pool(kernel=(4, 1)), linear(source="pool")),
            r"layer 'pool': window \(4, 1\) is larger than the input \(4, 3, 3\)",
        ),
        (
            (conv(), act(), max_pool(kernel=(4, 1)), linear(source="pool")),
            r"layer 'pool': window \(4, 1\) is larger than the padded input \(4, 3, 3\)",
        ),
        (
            (conv(), act(), max_pool(kernel=(2, 8), padding=(0, 4)), linear(source="pool")),
            r"layer 'pool': padding \(0, 4\) is larger than the input \(4, 3, 3\)",
        ),
        (
            (conv(), act(), max_pool(padding=(1, 0), dilation=(4, 1)), linear(source="pool")),
            r"layer 'pool': a window of dilation \(4, 1\) lies in the padding alone, of an input \(4, 3, 3\)",
        ),
        (
            (conv(), act(theta=np.ones((4, 3, 3)), v0=0.5), max_pool(), linear(source="pool")),
            r"layer 'pool': theta of 'act' has a value for each position, and a max pool compares spikes of one size; "
            r"give 'act' one theta, or one for each channel",
        ),
        (
            (conv(), max_pool("conv"), linear(source="pool")),
            r"layer 'pool': max_pool2d cannot read 'conv' \(conv2d\); put a spiking layer between them",
        ),
        (
            (conv(), act(), linear("fc"), act("b", "fc"), pool("b"), linear(source="pool")),
            r"layer 'pool': avg_pool2d reads \(C, H, W\), got \(3,\) from 'b'",
        ),
        (
            (conv(), act(), Add(name="add", inputs=("act",)), act("b", "add"), linear(source="b")),
            r"layer 'add': add reads at least two inputs, got 1",
        ),
        (
            (conv(), act(), Add(name="add", inputs=("act", "input")), act("b", "add"), linear(source="b")),
            r"layer 'add': add needs inputs of one shape, got \(4, 3, 3\) from 'act', \(2, 5, 5\) from 'input'",
        ),
        (
            (conv(), act(), replace(linear(), inputs=("act", "act"))),
            r"layer 'out': linear reads one input, got 2",
        ),
        (
            (conv(), act(theta=np.ones(3)), linear()),
            r"layer 'act': theta must be a scalar or of shape \(4,\) or \(4, 3, 3\), got \(3,\)",
        ),
        (
            (conv(), act(v0=np.ones((4, 3))), linear()),
            r"layer 'act': v0 must be a scalar or of shape \(4,\) or \(4, 3, 3\), got \(4, 3\)",
        ),
        (
            (conv(), act(theta_neg=[-0.5]), linear()),
            r"layer 'act': theta_neg must be a scalar or of shape \(4,\) or \(4, 3, 3\), got \(1,\)",
        ),
        ((conv(), act("conv"), linear()), r"layer 'conv': the name is used twice or reserved"),
        ((conv("input"), act(), linear()), r"layer 'input': the name is used twice or reserved"),
        ((replace(conv(), inputs=()), act(), linear()), r"layer 'conv': reads nothing"),
        ((conv(), act(source="cnv"), linear()), r"layer 'act': reads 'cnv', which does not exist"),
        ((act(), conv(), linear()), r"layer 'act': reads 'conv', which comes later or is part of a cycle"),
        ((act(source="act"), linear()), r"layer 'act': reads 'act', which comes later or is part of a cycle"),
        (
            (conv(), conv("c", "conv", (4, 4, 1, 1)), act(source="c"), linear()),
            r"layer 'c': conv2d cannot read 'conv' \(conv2d\); put a spiking layer between them",
        ),
        (
            (conv(), act(), linear("fc"), linear(source="fc", shape=(3, 3))),
            r"layer 'out': linear cannot read 'fc' \(linear\); put a spiking layer between them",
        ),
        (
            (conv(), pool("conv"), act(source="pool"), linear()),
            r"layer 'pool': avg_pool2d cannot read 'conv' \(conv2d\); put a spiking layer between them",
        ),
        ((conv(), act()), r"layer 'act': the last layer must be linear \(the readout\), got spiking"),
        (
            (conv(), act(), act("b", "act"), linear()),
            r"layer 'b': nobody reads it, and only the last layer is the readout",
        ),
        (
            (
                conv(),
                act(),
                act("b", "conv"),
                Add(name="add", inputs=("act", "b")),
                act("c", "add"),
                linear(source="c"),
            ),
            r"layer 'conv': conv2d is read by 2 layers; put a spiking layer after it and let them read that",
        ),
        (
            (conv(), Add(name="add", inputs=("conv", "conv")), act(source="add"), linear()),
            r"layer 'conv': conv2d is read by 2 layers; put a spiking layer after it and let them read that",
        ),
    ],
)
def test_network_refuses(layers, message):
    with pytest.raises(NetworkError, match=f"^{message}$"):
        network(*layers)


@pytest.mark.parametrize("two", [2, np.int64(2), (2, 2), [2, 2], np.array([2, 2], np.uint8)])
def test_one_integer_stands_for_rows_and_columns(two):
    layer = conv(stride=two, padding=two, dilation=two, groups=np.int32(2))
    assert (layer.stride, layer.padding, layer.dilation, layer.groups) == ((2, 2), (2, 2), (2, 2), 2)
    assert {type(n) for n in (*layer.stride, *layer.padding, *layer.dilation, layer.groups)} == {int}
    layer = AvgPool2d(name="p", inputs="x", kernel=two, stride=two)
    assert (layer.kernel, layer.stride) == ((2, 2), (2, 2))


@pytest.mark.parametrize("one", ["input", ("input",), ["input"]])
def test_the_only_input_may_be_named_alone(one):
    for layer in (
        replace(conv(), inputs=one),
        replace(linear(), inputs=one),
        replace(act(), inputs=one),
        Flatten(name="f", inputs=one),
        AvgPool2d(name="p", inputs=one, kernel=2, stride=2),
    ):
        assert layer.inputs == ("input",)


def test_metadata_numbers_become_text():
    made = network(metadata={"epochs": 30, "lr": 0.1, "seed": np.int64(7), "loss": np.float64(0.25), "who": "me"})
    assert made.metadata == {"epochs": "30", "lr": "0.1", "seed": "7", "loss": "0.25", "who": "me"}
    assert {type(value) for value in made.metadata.values()} == {str}


def test_layers_and_classes_may_be_any_sequence():
    made = Network(
        name="n",
        input=InputSpec(shape=[2, 5, np.int64(5)], mean=0.5),
        layers=[conv(), act(), linear()],
        classes=iter("abc"),
    )
    assert made.classes == ("a", "b", "c")
    assert isinstance(made.layers, tuple)
    assert made.input.shape == (2, 5, 5)
    assert made.input.mean.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": 3}, r"a network's name must be text, got 3"),
        ({"input": (2, 5, 5)}, r"network 'n': input must be an InputSpec, got tuple"),
        ({"layers": conv()}, r"network 'n': layers must be a sequence of layers, got Conv2d"),
        ({"layers": ["conv"]}, r"network 'n': layers must be a sequence of layers, got str in it"),
        ({"classes": "abc"}, r"network 'n': classes must be a sequence of names, got str"),
        ({"classes": (1, 2, 3)}, r"network 'n': classes must be a sequence of names, got int in it"),
        ({"metadata": None}, r"network 'n': metadata must be a mapping, got NoneType"),
        ({"metadata": {"a": None}}, r"network 'n': metadata must be text or numbers by names, got 'a': None"),
        ({"metadata": {"a": [1]}}, r"network 'n': metadata must be text or numbers by names, got 'a': \[1\]"),
        ({"metadata": {1: "a"}}, r"network 'n': metadata must be text or numbers by names, got 1: 'a'"),
    ],
)
def test_fields_of_another_type_are_refused(options, message):
    fields = {"name": "n", "input": InputSpec(shape=(2, 5, 5)), "layers": (conv(), act(), linear())} | options
    with pytest.raises(NetworkError, match=f"^{message}$"):
        Network(**fields)


def test_network_without_layers_is_refused():
    with pytest.raises(NetworkError, match=r"^network 'empty' has no layers$"):
        Network(name="empty", input=InputSpec(shape=(1, 1, 1)), layers=())


def test_a_wrong_number_of_class_names_is_refused():
    with pytest.raises(NetworkError, match=r"^2 class names for 3 outputs of 'out'$"):
        network(classes=("cat", "dog"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (5, 5)}, r"input: shape must be \(C, H, W\), got \(5, 5\)"),
        ({"shape": (3, 0, 5)}, r"input: shape must be \(C, H, W\), got \(3, 0, 5\)"),
        ({"shape": (3.0, 5, 5)}, r"input: shape must be \(C, H, W\), got \(3\.0, 5, 5\)"),
        ({"shape": 5}, r"input: shape must be \(C, H, W\), got 5"),
        ({"mean": "0.5"}, r"input: mean must be numbers, got '0\.5'"),
        ({"scale": 0.0}, r"input: scale must be positive and finite, got 0\.0"),
        ({"scale": np.inf}, r"input: scale must be positive and finite, got inf"),
        ({"mean": np.zeros(3)}, r"input: mean must have shape \(2,\), got \(3,\)"),
        ({"std": np.ones((2, 1))}, r"input: std must have shape \(2,\), got \(2, 1\)"),
        ({"mean": [0.0, np.nan]}, r"input: mean must be finite, got \[ 0\. nan\]"),
        ({"std": [1.0, 0.0]}, r"input: std must be finite and positive, got \[1\. 0\.\]"),
        ({"std": [1.0, np.inf]}, r"input: std must be finite and positive, got \[ 1\. inf\]"),
    ],
)
def test_input_refuses(options, message):
    with pytest.raises(NetworkError, match=f"^{message}$"):
        InputSpec(**{"shape": (2, 5, 5)} | options)


def test_input_normalizes_each_channel_and_puts_it_first():
    spec = InputSpec(shape=(2, 1, 2), scale=0.5, mean=[1.0, 0.0], std=[2.0, 4.0])
    raw = np.array([[[[2, 8], [6, 16]]]], dtype=np.uint8)
    assert spec.normalize(raw).tolist() == [[[[0.0, 1.0]], [[1.0, 2.0]]]]


@pytest.mark.parametrize(("shape", "color"), [((1, 2, 2), "L"), ((3, 2, 2), "RGB")])
def test_input_color_follows_from_the_channels(shape, color):
    assert InputSpec(shape=shape).color == color
    assert InputSpec(shape=shape).mean.tolist() == [0.0] * shape[0]


def test_network_tells_shapes_and_populations():
    small = network(conv(), act(), pool(stride=(1, 2)), act("b", "pool"), linear(source="b", shape=(3, 8)))
    expected = {"input": (2, 5, 5), "conv": (4, 3, 3), "act": (4, 3, 3), "pool": (4, 2, 1), "b": (4, 2, 1), "out": (3,)}
    assert small.shapes == expected
    assert [layer.name for layer in small.spiking] == ["act", "b"]
    assert small.by_name["pool"] is small.layers[2]
    assert small.n_classes == 3


@pytest.mark.parametrize(("key", "name"), [("2", "b"), ("b", "b"), ("act", "act"), ("1", "act")])
def test_a_population_is_found_by_name_or_number(key, name):
    small = network(conv(), act(), act("b", "act"), linear(source="b"))
    assert small.find_spiking(key).name == name


@pytest.mark.parametrize("key", ["3", "0", "conv", ""])
def test_an_unknown_population_is_refused_with_those_there_are(key):
    small = network(conv(), act(), act("b", "act"), linear(source="b"))
    with pytest.raises(UsageError, match=rf"^no spiking layer '{key}' in 'small'; it has 1=act, 2=b$"):
        small.find_spiking(key)


def test_neurons_are_exchanged_by_name():
    small = network()
    other = small.with_neurons({"act": small.spiking[0].neuron.as_dual()})
    assert other.spiking[0].neuron.dual
    assert not small.spiking[0].neuron.dual
    assert [layer.name for layer in other.layers] == [layer.name for layer in small.layers]


def test_effective_weight_is_the_stored_one_times_the_scale_of_its_output():
    weight = np.array([[3, -4], [1, 2]], dtype=np.int8)
    layer = Linear(name="fc", inputs=("x",), weight=weight, bias=np.zeros(2), scale=[0.5, 0.1])
    assert layer.effective_weight().tolist() == [[1.5, -2.0], [0.1, 0.2]]
    assert layer.weight.dtype == np.int8
