"""Every row of docs/layouts.md: a narrow random network of that layout computes what its source computes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from refsim import compile_network, simulate
from refsim.exceptions import FormatError, UsageError
from refsim.importers.architectures import to_network
from refsim.importers.checkpoint import Checkpoint
from refsim.importers.keys import KeyMap, read_key_map
from refsim.importers.options import ImportOptions
from refsim.importers.parameters import NeuronChoice
from refsim.reference import network as reference
from tests.importers import modules
from tests.importers.codes import MAX, ROWS, He, Row, act_linear, bare, features, hybrid, with_head
from tests.importers.modules import Act

TABLE = Path(__file__).parents[2] / "docs" / "layouts.md"
T = 6


def convert(state, *, side=32, relu=True, channels=3, keys=None, arch="auto", **options):
    choice = NeuronChoice(L=None if relu else 0 if options.get("activation") == "clip" else Act.L)
    options = ImportOptions(choice=choice, shape=(channels, side, side), keys=KeyMap(**(keys or {})), **options)
    return to_network(Checkpoint(path=Path("x.pth"), tensors=state, sha256="0" * 64), options, arch=arch)


def convert_row(row, state, **changes):
    arguments = {"side": row.side, "relu": row.relu, "channels": row.channels, "keys": row.keys} | row.options
    return convert(state, **(arguments | changes))


@pytest.mark.parametrize("name", ROWS, ids=" ".join)
def test_the_network_of_a_code_computes_what_the_code_computes(name):
    row = ROWS[name]
    model = row.make()
    network = convert_row(row, model.state(np.random.default_rng(1)))
    x = np.random.default_rng(2).normal(size=(2, row.channels, row.side, row.side))
    expected = model(x)
    logits = reference.forward(network, x)[network.readout.name]
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-9)

    expected, counts = modules.simulate(model, x, T)
    trace = simulate(compile_network(network), x, T=T, record=("spikes",))
    np.testing.assert_allclose(trace.logits, expected, rtol=0, atol=1e-9)
    found = [
        trace.populations[layer.name].spikes.reshape(T, len(x), -1).sum(2, dtype=np.int64) for layer in network.spiking
    ]
    assert sorted(each.tolist() for each in found) == sorted(each.astype(np.int64).tolist() for each in counts)
    assert all(each.sum() > 0 for each in counts)


def test_the_documented_table_is_what_is_tested():
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")[:2]) for line in lines]
    start = rows.index(("code", "networks")) + 1
    assert rows[start : start + len(ROWS)] == list(ROWS)


# -- what the keys do not show -----------------------------------------------------------------------------


def state_of(model):
    return model.state(np.random.default_rng(1))


def test_pools_that_could_be_dropout_are_asked_for():
    state = state_of(hybrid())
    with pytest.raises(
        UsageError, match=r"whether pools or Dropout stand behind features\.0, features\.3, features\.6; several"
    ):
        convert(state, pool="avg")
    with pytest.raises(
        UsageError, match=r"pools\.after names 'features\.1'; the convolutions are features\.0, features"
    ):
        convert(state, pool="avg", keys={"pools": ("features.1",)})


def test_sizes_that_no_reading_makes_are_refused():
    state = state_of(with_head(features("max"), act_linear(8 * 4, 9, 5)))
    with pytest.raises(UsageError, match=r"no reading of the keys makes 2 x 2 cells of images of 96 x 96"):
        convert(state, side=96, **MAX)
    state["classifier.0.weight"] = np.ones((9, 8 * 3), np.float32)
    with pytest.raises(UsageError, match="24 features of 8 channels are not a square"):
        convert(state, **MAX)


def test_an_adaptive_pool_joins_the_average_pool_before_it_and_is_said():
    state = state_of(with_head(features("avg"), act_linear(8, 9, 5)))
    network = convert(state, side=64, pool="avg")
    assert network.by_name["avg_pool"].kernel == (4, 4)
    assert "an adaptive average pool of 2 x 2 to 1 x 1 cells assumed" in network.metadata["assumed"]
    with pytest.raises(FormatError, match="two pools in a row are not simulated"):
        convert(state, side=64, **MAX)


def test_the_places_of_pools_are_said():
    row = ROWS["chengyangfu/pytorch-vgg-cifar10", "VGG-BN"]
    network = convert_row(row, state_of(row.make()))
    assert network.metadata["assumed"] == (
        "pools of 2 x 2 behind features.3, features.7, features.14, features.18, features.22: "
        "the reading of the keys that fits 8 features"
    )


def test_padding_is_that_which_fits_or_is_asked_for():
    state = state_of(bare("avg"))
    assert {layer.padding for layer in convert(state, pool="avg").layers if hasattr(layer, "padding")} == {(1, 1)}
    state = {key: value for key, value in state.items() if not key.startswith("3.")} | {
        "7.weight": np.ones((9, 4 * 15 * 15), np.float32)
    }
    padded = convert(state, pool="avg", keys={"padding": 0})
    assert [layer.padding for layer in padded.layers if hasattr(layer, "padding")] == [(0, 0)]
    with pytest.raises(UsageError, match=r"convolutions\.padding is 2; refsim pads by 0 or half a kernel"):
        convert(state, pool="avg", keys={"padding": 2})


def test_a_stem_that_may_have_kept_its_pool_is_asked_about():
    state = state_of(He()())
    with pytest.raises(UsageError, match="its stem of 3 x 3 may or may not be followed by a max pool"):
        convert(state)
    with pytest.raises(
        UsageError, match="has a max pool of 3 x 3, stride 2, behind its stem; say --pool max-cumulative"
    ):
        convert(state_of(He(stem="7")()), side=64)
    with pytest.raises(UsageError, match="a padded average pool in its place is not simulated"):
        convert(state_of(He(stem="7")()), side=64, pool="avg")
    with pytest.raises(UsageError, match="the pools of this ResNet are known; leave pool out"):
        convert(state_of(He("shortcut", "linear")()), pool="avg")


def test_zeros_of_shortcuts_are_asked_for_where_codes_differ():
    state = state_of(He("behind", "fc", 3)())
    with pytest.raises(UsageError, match=r"layer2\.0 changes the shape, and no key belongs to its shortcut"):
        convert(state)
    around, behind = (
        convert(state, keys={"zeros": zeros}).by_name["layer2.0.shortcut"].weight[:, :, 0, 0]
        for zeros in ("around", "behind")
    )
    assert np.flatnonzero(around.any(1)).tolist() == [2, 3, 4, 5]
    assert np.flatnonzero(behind.any(1)).tolist() == [0, 1, 2, 3]


def test_a_pre_activation_resnet_is_not_taken_for_another():
    state = {key: value for key, value in state_of(He("shortcut", "linear")()).items() if not key.startswith("bn1.")}
    with pytest.raises(FormatError, match="a pre-activation ResNet, whose sums are read twice"):
        convert(state)


def test_keys_of_other_modules_are_refused_and_nobody_is_told_to_drop_them():
    state = state_of(He("shortcut", "linear")()) | {"layer1.0.se.fc1.weight": np.ones((2, 4), np.float32)}
    with pytest.raises(
        FormatError, match=r"'layer1\.0\.se\.fc1\.weight' belongs to no layer .* would be lost"
    ) as caught:
        convert(state)
    assert "remove" not in str(caught.value)


def test_an_image_of_another_size_than_the_head_expects_is_refused():
    state = state_of(He("shortcut", "linear", final="pool")())
    with pytest.raises(FormatError, match="'linear' reads 4 cells of each channel, the plane before it has 3 x 3"):
        convert(state, side=24)


# -- activations -------------------------------------------------------------------------------------------


def test_which_activation_was_assumed_is_said_and_can_be_said():
    state = state_of(ROWS["putshua/ANN_SNN_QCFS", "VGG"].make())
    assert (
        convert(state, relu=False, pool="avg").metadata["assumed"].startswith("QCFS activations (TCL and clipped ReLU")
    )
    assert "assumed" not in convert(state, relu=False, pool="avg", activation="qcfs").metadata
    with pytest.raises(UsageError, match="say --activation relu"):
        convert(state, pool="avg")
    relu = convert(state, pool="avg", activation="relu")
    assert {layer.neuron.activation.L for layer in relu.spiking} == {None}
    assert relu.metadata["method"] == "relu"
    with pytest.raises(UsageError, match="with ReLU the thresholds come from activations: --calibrate DATA"):
        convert(state, relu=False, pool="avg", activation="relu")
    clip = convert(state, relu=False, pool="avg", activation="clip")
    assert {layer.neuron.activation.kind for layer in clip.spiking} == {"clipped"}
    assert clip.metadata["method"] == "tcl"
    steps = ImportOptions(choice=NeuronChoice(L=4), shape=(3, 32, 32), pool="avg", activation="clip")
    with pytest.raises(UsageError, match="a clipped ReLU has no quantization steps; leave out L"):
        to_network(Checkpoint(path=Path("x.pth"), tensors=state, sha256="0" * 64), steps)
    with pytest.raises(UsageError, match="activation must be one of qcfs, clip, relu, got 'tcl'"):
        convert(state, pool="avg", activation="tcl")


def test_thresholds_of_an_unknown_name_are_not_taken_for_relu():
    state = {
        key.replace(".thresh", ".alpha"): value
        for key, value in state_of(ROWS["putshua/ANN_SNN_QCFS", "VGG"].make()).items()
    }
    with pytest.raises(UsageError, match=r"'layer1\.2\.alpha' may be a threshold of another name"):
        convert(state, pool="avg")
    renamed = {key: key.replace(".alpha", ".thresh") for key in state if key.endswith(".alpha")}
    assert len(convert(state, relu=False, pool="avg", keys={"rename": renamed}).spiking) == 9
    plain = {key: value for key, value in state.items() if not key.endswith(".alpha")}
    with pytest.raises(UsageError, match=r"QCFS activations have thresholds, and no key ends in \.thresh"):
        convert(plain, pool="avg", activation="qcfs")


def test_thresholds_of_each_channel_are_kept_in_a_weight_file(tmp_path):
    from refsim import load, save

    row = ROWS["thresholds of each channel", "VGG"]
    state = state_of(row.make())
    network = convert_row(row, state)
    save(tmp_path / "a.h5", network)
    again = load(tmp_path / "a.h5").network
    for layer, key in zip(again.spiking, ("features.2.act_alpha", "features.6.act_alpha"), strict=True):
        np.testing.assert_array_equal(layer.neuron.activation.bound, state[key])
        np.testing.assert_array_equal(layer.neuron.theta, state[key])
    x = np.random.default_rng(3).normal(size=(2, 3, 32, 32))
    readout = network.readout.name
    np.testing.assert_array_equal(reference.forward(again, x)[readout], reference.forward(network, x)[readout])
    state["features.2.act_alpha"] = np.ones(3, np.float32)
    with pytest.raises(
        FormatError, match=r"'features\.2\.thresh' has shape \(3,\); expected one value, or one for each"
    ):
        convert_row(row, state)


# -- a user's own names ------------------------------------------------------------------------------------


def test_a_map_renames_keys_and_beginnings_of_keys(tmp_path):
    (tmp_path / "map.toml").write_text(
        '[rename]\n"backbone" = "features"\n"backbone.9.alpha" = "features.2.thresh"\n"top" = "classifier"\n'
        '[pools]\nafter = ["features.0"]\n[convolutions]\npadding = 1\n[shortcuts]\nzeros = "behind"\n'
    )
    keys = read_key_map(tmp_path / "map.toml")
    assert (keys.pools, keys.padding, keys.zeros) == (("features.0",), 1, "behind")
    row = Row(lambda: with_head(features("avg"), act_linear(8, 9, 5)), options={"pool": "avg"})
    state = {
        key.replace("features", "backbone").replace("classifier", "top"): value
        for key, value in state_of(row.make()).items()
    }
    rename = {old: new for old, new in keys.rename.items() if "alpha" not in old}
    network = convert_row(row, state, keys={"rename": rename})
    assert network.layers[0].name == "features.0"
    with pytest.raises(UsageError, match=r"no key begins with 'backbone\.9\.alpha', which --keys renames"):
        convert_row(row, state, keys={"rename": keys.rename})
    with pytest.raises(FormatError, match=r"both the old and the new name of 'backbone\.0\.weight' are there"):
        convert_row(row, state, keys={"rename": {"backbone.1": "backbone.0"}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[rename", "not a TOML file"),
        ("[names]\na = 1", r"unknown entry 'names'; expected \[rename\], pools\.after"),
        ("[rename]\na = 1", r"\[rename\] must hold lines such as"),
        ("rename = 3", r"\[rename\] must hold lines such as"),
        ("[pools]\nbefore = []", r"\[pools\] holds after and nothing else"),
        ("[pools]\nafter = [1]", r"pools\.after must be a list of names"),
        ("[convolutions]\npadding = -1", r"convolutions\.padding must be a whole number, got -1"),
        ("[shortcuts]\nzeros = 'left'", r"shortcuts\.zeros must be around or behind, got 'left'"),
    ],
)
def test_a_map_that_says_nothing_sensible_is_refused(tmp_path, text, message):
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_key_map(tmp_path / "map.toml")
    with pytest.raises(UsageError, match=r"none\.toml: cannot be opened: No such file"):
        read_key_map(tmp_path / "none.toml")


# -- the libraries themselves ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "name", "arguments", "options"),
    [
        ("torchvision", "ResNet", {"block": "BasicBlock"}, MAX),
        ("torchvision", "ResNet", {"block": "Bottleneck"}, MAX),
        ("timm", "ResNet", {"block": "BasicBlock"}, MAX),
        ("timm", "ResNet", {"block": "Bottleneck"}, MAX),
        ("timm", "ResNet", {"block": "BasicBlock", "stem_type": "deep", "stem_width": 8, "avg_down": True}, MAX),
        ("torchvision", "VGG", {}, MAX),
    ],
)
def test_modules_of_the_libraries_compute_what_their_weight_files_compute(library, name, arguments, options):
    torch = pytest.importorskip("torch")
    try:
        module = import_module("torchvision.models" if library == "torchvision" else "timm.models.resnet")
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another torch
        pytest.skip(f"{library}: {error}")
    torch.manual_seed(1)
    if name == "VGG":
        from torchvision.models.vgg import make_layers

        cfg = [8, "M", 12, "M", 16, 16, "M", 16, 16, "M", 16, 16, "M"]
        model = module.VGG(make_layers(cfg, batch_norm=True), num_classes=10)
        model.classifier = torch.nn.Sequential(
            torch.nn.Linear(16 * 49, 20), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(20, 20),
            torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(20, 10),
        )  # fmt: skip
        side = 224
    else:
        home = module.resnet if library == "torchvision" else module
        block = getattr(home, arguments["block"])
        rest = {key: value for key, value in arguments.items() if key != "block"}
        model = home.ResNet(block, layers=[1, 1, 1, 1], num_classes=10, **rest)
        side = 64
    model = model.double().eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2)
    x = torch.randn(1, 3, side, side, dtype=torch.float64)
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    network = convert(state, side=side, **options)
    with torch.no_grad():
        expected = model(x).numpy()
    found = reference.forward(network, x.numpy())[network.readout.name]
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
