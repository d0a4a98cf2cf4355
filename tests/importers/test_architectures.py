"""State dicts of the official QCFS code become networks that compute what the source computes."""

from pathlib import Path

import numpy as np
import pytest

from refsim.exceptions import FormatError, NetworkError, UsageError
from refsim.importers.architectures import to_network
from refsim.importers.checkpoint import Checkpoint
from refsim.importers.options import ImportOptions
from refsim.importers.parameters import NeuronChoice
from refsim.model import AvgPool2d, Conv2d, MaxPool2d
from refsim.reference.network import forward, simulate
from tests.importers import sources

L = 4
STAGES = [[4, 5], [6], [3, 7]]
VGG16 = [[2, 2], [2, 2], [3, 3, 3], [3, 3, 3], [4, 4, 4]]


def network_of(state, *, arch="auto", **options):
    is_vgg = any(key.startswith("classifier.") for key in state)
    options = {"choice": NeuronChoice(L=L), "usual_shape": (3, 16, 16), "pool": "avg" if is_vgg else None} | options
    return to_network(
        Checkpoint(path=Path("x.pth"), tensors=state, sha256="0" * 64), ImportOptions(**options), arch=arch
    )


def rng(seed=1):
    return np.random.default_rng(seed)


def assert_computes(network, expected, x):
    actual = forward(network, x)
    assert len(expected) > 3
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=0, atol=1e-9, err_msg=name)
        assert np.ptp(value) > 0.1, f"{name} is constant: nothing is compared"


@pytest.mark.parametrize("bn", [True, False])
@pytest.mark.parametrize("head", [[5], [9, 8, 5]])
def test_a_vgg_computes_in_every_layer_what_its_source_computes(bn, head):
    state = sources.random_vgg(rng(), STAGES, side=16, head=head, bn=bn)
    network = network_of(state)
    x = rng(2).normal(size=(3, 3, 16, 16))
    assert_computes(network, sources.evaluate_vgg(sources.Source(state, L), x, STAGES, head), x)


def test_a_resnet_computes_in_every_layer_what_its_source_computes():
    state = sources.random_resnet(rng(), [2, 2, 1], [4, 6, 8])
    network = network_of(state)
    x = rng(2).normal(size=(2, 3, 16, 16))
    assert_computes(network, sources.evaluate_resnet(sources.Source(state, L), x, [2, 2, 1]), x)


def in_steps(weight):
    """The weight rounded to multiples of 2^-10, the largest of each channel 127 of them."""
    whole = np.rint(weight / np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True) * 127)
    return (whole * 2.0**-10).astype(np.float32)


@pytest.mark.parametrize("bn", [True, False])
def test_weights_of_8_bits_are_stored_as_such_and_compute_the_same(bn):
    state = sources.random_vgg(rng(), STAGES, side=16, head=[9, 5], bn=bn)
    state = {key: in_steps(value) if value.ndim > 1 else value for key, value in state.items()}
    network = network_of(state, pool="avg")
    weighted = [layer for layer in network.layers if hasattr(layer, "weight")]
    assert {layer.weight.dtype for layer in weighted} == {np.dtype(np.int8)}
    assert (weighted[-1].effective_weight() == state["classifier.4.weight"]).all()
    x = rng(2).normal(size=(2, 3, 16, 16))
    assert_computes(network, sources.evaluate_vgg(sources.Source(state, L), x, STAGES, [9, 5]), x)

    state["layer1.0.weight"][0, 0, 0, 0] = np.nextafter(state["layer1.0.weight"][0, 0, 0, 0], np.float32(9))
    kinds = {
        layer.name: layer.weight.dtype for layer in network_of(state, pool="avg").layers if hasattr(layer, "weight")
    }
    assert (kinds.pop("layer1.0"), set(kinds.values())) == (np.dtype(np.float32), {np.dtype(np.int8)})


def test_an_image_of_odd_halves_loses_its_last_row_as_in_the_source():
    state = sources.random_vgg(rng(), [[4], [5], [6]], side=28, head=[10], channels=1)
    network = network_of(state, usual_shape=(1, 28, 28))
    assert network.shapes["layer3.pool"] == (6, 3, 3)
    x = rng(2).normal(size=(2, 1, 28, 28))
    assert_computes(network, sources.evaluate_vgg(sources.Source(state, L), x, [[4], [5], [6]], [10]), x)


def assert_spikes(network, source, logits, x, T):
    actual = simulate(network, x, T)
    assert set(actual.spikes) == set(source.spikes)
    for name, expected in source.spikes.items():
        np.testing.assert_array_equal(actual.spikes[name], np.stack(expected), err_msg=name)
        np.testing.assert_allclose(actual.v[name], source.v[name], rtol=0, atol=1e-9, err_msg=name)
        assert 0 < np.mean(expected) < 1, f"{name} says nothing"
    np.testing.assert_allclose(actual.logits, np.stack(logits), rtol=0, atol=1e-9)


def test_every_spike_and_potential_is_that_of_the_source_with_its_neurons():
    T = 6
    state = sources.random_vgg(rng(), STAGES, side=16, head=[9, 5])
    x = rng(2).normal(size=(2, 3, 16, 16))
    source = sources.SpikingSource(state)
    logits = [sources.evaluate_vgg(source, x, STAGES, [9, 5])["classifier.4"] for _ in range(T)]
    assert_spikes(network_of(state), source, logits, x, T)
    state = sources.random_resnet(rng(), [2, 1, 1], [4, 6, 8])
    source = sources.SpikingSource(state)
    logits = [sources.evaluate_resnet(source, x, [2, 1, 1])["fc"] for _ in range(T)]
    assert_spikes(network_of(state), source, logits, x, T)


def test_batch_normalisation_is_folded_in_float64_and_weights_stay_as_trained():
    state = sources.random_vgg(rng(), STAGES, side=16, head=[5])
    conv = network_of(state).by_name["layer1.0"]
    assert isinstance(conv, Conv2d)
    assert conv.weight.dtype == np.float32
    assert conv.weight.tobytes() == state["layer1.0.weight"].tobytes()
    gamma, beta, mean, var = (
        state[f"layer1.1.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    np.testing.assert_array_equal(conv.scale, gamma / np.sqrt(var + 1e-5))
    np.testing.assert_array_equal(conv.bias, (state["layer1.0.bias"].astype(np.float64) - mean) * conv.scale + beta)
    assert network_of(state, bn_eps=1e-3).by_name["layer1.0"].scale[0] != conv.scale[0]


def test_layers_keep_the_names_of_the_source():
    network = network_of(sources.random_vgg(rng(), STAGES, side=16, head=[9, 8, 5]))
    assert [layer.name for layer in network.layers] == [
        "layer1.0", "layer1.2", "layer1.4", "layer1.6", "layer1.8", "layer2.0", "layer2.2", "layer2.4",
        "layer3.0", "layer3.2", "layer3.4", "layer3.6", "layer3.8",
        "classifier.0", "classifier.1", "classifier.2", "classifier.4", "classifier.5", "classifier.7",
    ]  # fmt: skip
    pools = [layer.name for layer in network.layers if isinstance(layer, AvgPool2d)]
    assert pools == ["layer1.8", "layer2.4", "layer3.8"]
    resnet = network_of(sources.random_resnet(rng(), [1, 1], [3, 4]))
    assert [layer.name for layer in resnet.spiking] == [
        "conv1.2", "conv2_x.0.residual_function.2", "conv2_x.0.act", "conv3_x.0.residual_function.2", "conv3_x.0.act",
    ]  # fmt: skip
    assert resnet.by_name["conv3_x.0.add"].inputs == ("conv3_x.0.residual_function.3", "conv3_x.0.shortcut.0")
    assert resnet.by_name["conv2_x.0.add"].inputs == ("conv2_x.0.residual_function.3", "conv1.2")


def test_thresholds_and_initial_potentials_are_lambda_and_half_of_it():
    state = sources.random_vgg(rng(), STAGES, side=16, head=[5])
    for layer in network_of(state).spiking:
        lambda_ = float(state[f"{layer.name}.thresh"][0])
        assert layer.neuron.theta == lambda_
        assert layer.neuron.v0 == lambda_ / 2
        assert not layer.neuron.dual
        assert layer.neuron.activation.L == L
        assert layer.neuron.activation.lambda_ == lambda_
    dual = network_of(state, choice=NeuronChoice(kind="dual")).spiking[0].neuron
    assert dual.theta_neg == -1e-3
    assert dual.activation.L == 0
    assert network_of(state, choice=NeuronChoice(kind="dual", theta_neg=-0.25)).spiking[0].neuron.theta_neg == -0.25


@pytest.mark.parametrize(
    ("depths", "name"),
    [
        ((1, 1, 2, 2, 2), "VGG-11"),
        ((2, 2, 2, 2, 2), "VGG-13"),
        ((2, 2, 3, 3, 3), "VGG-16"),
        ((2, 2, 4, 4, 4), "VGG-19"),
    ],
)
def test_vggs_are_called_by_their_names(depths, name):
    state = sources.random_vgg(rng(), [[2] * depth for depth in depths], side=32, head=[3])
    network = network_of(state, usual_shape=None)
    assert network.metadata["architecture"] == name
    assert network.input.shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("depths", "name"), [([2, 2, 2, 2], "ResNet-18"), ([3, 3, 3], "ResNet-20"), ([3, 4, 6, 3], "ResNet-34")]
)
def test_resnets_are_called_by_their_names(depths, name):
    network = network_of(sources.random_resnet(rng(), depths, [2, 3, 4, 5][: len(depths)]))
    assert network.metadata["architecture"] == name
    assert len(network.spiking) == 1 + 2 * sum(depths)


def test_metadata_says_where_the_network_comes_from():
    metadata = network_of(sources.random_vgg(rng(), STAGES, side=16, head=[5])).metadata
    assert metadata["source"] == "x.pth"
    assert metadata["source_sha256"] == "0" * 64
    assert metadata["method"] == "qcfs"


def test_older_keys_mean_the_same():
    state = sources.random_resnet(rng(), [1, 1], [3, 4])
    older = {key.replace("act.thresh", "relu.up").replace(".thresh", ".up"): value for key, value in state.items()}
    assert "conv2_x.0.relu.up" in older
    assert "conv1.2.up" in older
    network, expected = network_of(older), network_of(state)
    assert [layer.name for layer in network.layers] == [layer.name for layer in expected.layers]
    for one, other in zip(network.spiking, expected.spiking, strict=True):
        assert one.neuron.theta == other.neuron.theta
    with pytest.raises(FormatError, match=r"both the old and the new name of 'conv1\.2\.thresh'"):
        network_of({**state, "conv1.2.up": state["conv1.2.thresh"]})


def test_a_convolution_without_bias_and_without_normalisation_has_bias_zero():
    state = sources.random_resnet(rng(), [1], [3])
    folded = {key: value for key, value in state.items() if ".1." not in key and ".4." not in key}
    network = network_of(folded)
    assert network.by_name["conv1.0"].scale is None
    assert not network.by_name["conv1.0"].bias.any()


# -- the size of the image ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("usual", "expected"), [((3, 16, 16), 16), ((3, 17, 17), 17), ((3, 23, 23), 23)])
def test_the_data_set_decides_among_the_sizes_that_fit(usual, expected):
    network = network_of(sources.random_vgg(rng(), STAGES, side=16, head=[5]), usual_shape=usual)
    assert network.input.shape == (3, expected, expected)


def test_a_size_the_weights_leave_open_is_asked_for():
    state = sources.random_vgg(rng(), [[2], [2], [2]], side=28, head=[5])
    with pytest.raises(UsageError, match="the image has 24 to 31 pixels a side; give --input-shape 3,H,W"):
        network_of(state, usual_shape=None)
    with pytest.raises(UsageError, match=r"images of 24 to 31 pixels a side, and those of the data set have 64 x 64"):
        network_of(state, usual_shape=(3, 64, 64))
    assert network_of(state, usual_shape=None, shape=(3, 25, 30)).input.shape == (3, 25, 30)
    with pytest.raises(NetworkError, match=r"classifier\.1.*weight expects 18 inputs"):
        network_of(state, shape=(3, 32, 32))
    with pytest.raises(UsageError, match="takes any image size; give --input-shape 3,H,W"):
        network_of(sources.random_resnet(rng(), [1], [3]), usual_shape=None)


def test_features_that_are_no_square_are_asked_about():
    state = sources.random_vgg(rng(), STAGES, side=16, head=[5])
    state["classifier.1.weight"] = np.ones((5, 7 * 6), np.float32)
    with pytest.raises(UsageError, match="42 features of 7 channels are not a square; give --input-shape"):
        network_of(state)
    assert network_of(state, shape=(3, 24, 16)).shapes["layer3.8"] == (7, 3, 2)


# -- what is refused ---------------------------------------------------------------------------------------


def changed(state, **changes):
    """The state dict with `a__b` = None dropping the keys that begin with a.b, and an array replacing one."""
    state = dict(state)
    for key, value in changes.items():
        key = key.replace("__", ".")
        for name in [name for name in state if name.startswith(key)]:
            del state[name]
        if value is not None:
            state[key] = np.asarray(value, np.float32)
    return state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer1__2__thresh": None}, r"layer1\.0 has no trained threshold behind it \(layer1\.2\.thresh is missing\)"),
        ({"classifier__2__thresh": None}, r"classifier\.1 has no trained threshold behind it"),
        ({"layer1__0": None}, "follow no layout refsim knows"),
        ({"layer2__0": None}, r"layer2\.1 is not the Conv2d expected at layer2\.0"),
        ({"layer1__4__weight": np.ones((5, 4, 3, 3)), "layer1__0__weight": np.ones((4, 3, 2, 2))}, "with k odd"),
        ({"layer1__1__bias": None}, r"'layer1\.1\.bias' is missing"),
        ({"layer1__1__bias": np.ones(3)}, r"'layer1\.1' has \(3,\) values for 4 channels of 'layer1\.0'"),
        (
            {"layer1__2__thresh": [1, 2]},
            r"'layer1\.2\.thresh' has shape \(2,\); expected one value, or one for each of 4",
        ),
        ({"attention__weight": np.ones((2, 2))}, "'attention.weight' does not belong to the VGG layout"),
        ({"layer1__9__weight": np.ones((2, 2, 2))}, r"'layer1\.9\.weight' of shape \(2, 2, 2\) is not part of a layer"),
        ({"layer1__7__alpha": [1]}, r"'layer1\.7\.alpha' of shape \(1,\) is not part of a layer"),
        ({"layer2": None}, "expected layer1, layer2, ... and classifier, got classifier, layer1, layer3"),
        ({"classifier__3__weight": np.ones(4)}, r"classifier\.3 \(bn\) belongs to no Linear before it"),
    ],
)
def test_a_vgg_that_does_not_follow_the_layout_is_refused_by_name(changes, message):
    state = changed(sources.random_vgg(rng(), STAGES, side=16, head=[9, 5]), **changes)
    with pytest.raises(FormatError, match=message):
        network_of(state)


def test_a_gap_where_a_module_without_parameters_could_be_is_refused():
    state = sources.random_vgg(rng(), [[4, 5], [6]], side=16, head=[5])
    moved = {
        key.replace("layer1.5", "layer1.7").replace("layer1.6", "layer1.8").replace("layer1.4", "layer1.6"): value
        for key, value in sorted(state.items(), reverse=True)
    }
    with pytest.raises(FormatError, match=r"layer1\.6 is not the Conv2d expected at layer1\.3; layers without param"):
        network_of(moved)
    state = sources.random_vgg(rng(), [[4]], side=16, head=[6, 5])
    moved = {key.replace("classifier.4", "classifier.5"): value for key, value in state.items()}
    with pytest.raises(
        FormatError, match=r"classifier\.5 is not the Linear expected at classifier\.3 or classifier\.4"
    ):
        network_of(moved)


@pytest.mark.parametrize("bn", [True, False])
def test_the_keys_of_a_vgg_do_not_show_its_pools_so_the_user_is_asked(bn):
    state = sources.random_vgg(rng(), STAGES, side=16, head=[5], bn=bn)
    with pytest.raises(UsageError, match=r"x\.pth: the keys of a VGG do not show how it pools; say --pool avg"):
        network_of(state, pool=None)
    assert sum(isinstance(layer, AvgPool2d) for layer in network_of(state, pool="avg").layers) == len(STAGES)
    for kind, mode in (("max-cumulative", "cumulative"), ("max-or", "or")):
        pools = [layer for layer in network_of(state, pool=kind).layers if isinstance(layer, MaxPool2d)]
        assert [(pool.kernel, pool.stride, pool.mode) for pool in pools] == [((2, 2), (2, 2), mode)] * len(STAGES)
    with pytest.raises(UsageError, match="pool must be one of none, avg, max-cumulative, max-or, got 'max'"):
        network_of(state, pool="max")


def test_the_pools_of_a_resnet_are_known():
    state = sources.random_resnet(rng(), [2, 2, 1], [4, 6, 8])
    with pytest.raises(UsageError, match=r"the pools of this ResNet are known; leave pool out"):
        network_of(state, pool="avg")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv2_x__0__act__thresh": None}, r"'conv2_x\.0\.act\.thresh' is missing"),
        ({"conv2_x__0": None}, r"follow no layout refsim knows"),
        ({"conv3_x__0": None}, r"conv3_x has blocks \[1\]; expected 0, 1, 2"),
        ({"conv3_x": None}, r"expected conv2_x, conv3_x, ..., got stages \[2, 4\]"),
        (
            {"conv2_x__0__residual_function__6__weight": np.ones((4, 4, 1, 1))},
            "residual_function.5.thresh' is missing",
        ),
        ({"conv1__0__weight": np.ones((4, 3, 7, 7))}, r"conv1\.0 has a kernel of \(7, 7\)"),
        ({"fc__weight": None}, r"'fc\.weight' is missing"),
    ],
)
def test_a_resnet_that_does_not_follow_the_layout_is_refused_by_name(changes, message):
    state = changed(sources.random_resnet(rng(), [2, 2, 1], [4, 6, 8]), **changes)
    with pytest.raises(FormatError, match=message):
        network_of(state)


def test_a_stride_without_a_shortcut_is_refused_with_both_shapes():
    state = changed(sources.random_resnet(rng(), [1, 1], [4, 4]), conv3_x__0__shortcut=None)
    with pytest.raises(UsageError, match=r"conv3_x\.0 changes the shape, and no key belongs to its shortcut"):
        network_of(state)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_threshold_that_is_no_threshold_is_refused_with_its_key(value):
    state = changed(sources.random_vgg(rng(), STAGES, side=16, head=[5]), layer3__2__thresh=[value])
    with pytest.raises(NetworkError, match="lambda must be positive and finite") as caught:
        network_of(state)
    assert caught.value.__notes__ == ["x.pth:layer3.2.thresh"]


def test_a_variance_that_is_no_variance_is_refused_with_its_key():
    state = changed(sources.random_vgg(rng(), STAGES, side=16, head=[5]), layer3__1__running_var=[1, -2, 1])
    with pytest.raises(NetworkError, match=r"variance \+ eps must be positive and finite, got -1\.99999") as caught:
        network_of(state)
    assert caught.value.__notes__ == ["x.pth:layer3.1"]


def test_weights_that_are_not_finite_are_refused():
    state = sources.random_vgg(rng(), STAGES, side=16, head=[5])
    state["layer2.0.weight"][0, 0, 0, 0] = np.nan
    with pytest.raises(NetworkError, match=r"layer 'layer2\.0': weight holds values that are not finite"):
        network_of(state)


def test_a_network_without_thresholds_and_foreign_keys_say_what_is_expected():
    state = sources.random_vgg(rng(), STAGES, side=16, head=[5])
    with pytest.raises(UsageError, match=r"a ReLU network without thresholds .* --calibrate DATA"):
        network_of({key: value for key, value in state.items() if not key.endswith("thresh")})
    with pytest.raises(UsageError, match="thresholds of this network are trained; --calibrate is for ReLU networks"):
        network_of(state, choice=NeuronChoice(L=None))
    with pytest.raises(FormatError, match=r"the keys \('features\.0\.weight', \.\.\.\) follow no layout refsim knows"):
        network_of({"features.0.weight": np.ones(3)})
    with pytest.raises(FormatError, match="do not follow the resnet layout"):
        network_of(state, arch="resnet")
    with pytest.raises(FormatError, match=r"'layer1\.0\.weight' holds bool, not numbers"):
        network_of({**state, "layer1.0.weight": state["layer1.0.weight"] > 0})


# -- ReLU --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [[5], [9, 8, 5]])
def test_a_relu_vgg_computes_what_its_source_computes(head):
    state = sources.random_vgg(rng(), STAGES, side=16, head=head)
    state = {key: value for key, value in state.items() if not key.endswith("thresh")}
    network = network_of(state, choice=NeuronChoice(L=None))
    x = rng(2).normal(size=(3, 3, 16, 16))
    assert_computes(network, sources.evaluate_vgg(sources.Source(state, None), x, STAGES, head), x)
    assert network.metadata["method"] == "relu"
    assert [layer.name for layer in network.spiking][:3] == ["layer1.2", "layer1.6", "layer2.2"]


def test_a_relu_resnet_for_cifar_computes_what_its_source_computes():
    state = sources.random_resnet_cifar(rng(), depth=2, widths=[4, 8, 16])
    network = network_of(state, choice=NeuronChoice(L=None))
    assert network.metadata["architecture"].startswith("ResNet-14, option-A shortcuts")
    x = rng(2).normal(size=(2, 3, 16, 16))
    assert_computes(network, sources.evaluate_resnet_cifar(state, x, depth=2), x)
    with pytest.raises(FormatError, match=r"'layer1\.0\.bn1\.bias' is missing"):
        network_of(changed(state, layer1__0__bn1__bias=None), choice=NeuronChoice(L=None))
    with pytest.raises(FormatError, match=r"'layer2\.1\.conv2\.weight' is missing"):
        network_of(changed(state, layer2__1__conv2=None), choice=NeuronChoice(L=None))


# -- against PyTorch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["small", "vgg11", "resnet20"])
def test_a_model_of_pytorch_is_reproduced_in_every_activation(tmp_path, arch):
    torch = pytest.importorskip("torch")
    from refsim.importers.checkpoint import load_checkpoint
    from refsim.training.architectures import build

    torch.manual_seed(3)
    model = build(arch, input_shape=(3, 32, 32), classes=10, activation="qcfs", L=L, lambda_=1.0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1, 0.3)
            torch.nn.init.normal_(module.bias, 0, 0.3)
            torch.nn.init.normal_(module.running_mean, 0, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.1, 2)
    torch.save(model.state_dict(), tmp_path / "x.pth")
    model = model.double().eval()
    expected = {}
    for name, module in model.named_modules():
        if hasattr(module, "thresh") or isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _, __, out, name=name: expected.update({name: out.detach().numpy()}))
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    model(x)
    options = ImportOptions(
        choice=NeuronChoice(L=L), usual_shape=(3, 32, 32), pool=None if arch.startswith("resnet") else "avg"
    )
    network = to_network(load_checkpoint(tmp_path / "x.pth"), options)
    assert [layer.name for layer in network.spiking] == [name for name in expected if name in network.by_name][:-1]
    assert_computes(network, expected, x.numpy())
