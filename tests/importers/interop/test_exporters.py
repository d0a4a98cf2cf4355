"""One model by every road: state dict, `.pt2`, both ONNX exporters; what torch.export keeps is the same to the bit."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

import refsim
from refsim.importers.presets import find_preset
from refsim.model import Conv2d, Flatten, Linear, Spiking

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from refsim.training.architectures import build  # noqa: E402

from .torch_models import randomised  # noqa: E402

UNIT = {"mean": [0.0], "std": [1.0]}
USUAL = 1e-6
"""Of the largest logit: what folding batch normalisation in float32 changes, unless it tips a step of an activation."""


def exported(model, folder, shape, *, decomposed=False):
    """The files of every exporter."""
    example = torch.zeros(2, *shape)
    torch.save(model.state_dict(), folder / "net.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(model, (example,))
        torch.export.save(program, folder / "net.pt2")
        torch.export.save(program.run_decompositions(), folder / "core.pt2")
        torch.onnx.export(model, (example,), folder / "dynamo.onnx", dynamo=True, verbose=False)
        batch = {"x": {0: "N"}}
        torch.onnx.export(
            model, (example,), folder / "legacy.onnx", dynamo=False, input_names=["x"], dynamic_axes=batch
        )
    return folder


def network(path, **options):
    return refsim.convert(path, **UNIT | options).network


def computing(net):
    """The layers without those that change only a shape: a state dict does not show all of them."""
    return [layer for layer in net.layers if not isinstance(layer, Flatten)]


def assert_same(actual, expected):
    """The same layers in the same order, weights and thresholds to the bit."""
    assert len(actual) == len(expected)
    for one, two in zip(actual, expected):
        assert type(one) is type(two)
        if isinstance(one, Conv2d | Linear):
            for key in ("weight", "scale", "bias"):
                np.testing.assert_array_equal(getattr(one, key), getattr(two, key), strict=True)
        if isinstance(one, Conv2d):
            assert (one.stride, one.padding, one.groups) == (two.stride, two.padding, two.groups)
        if isinstance(one, Spiking):
            assert one.name == two.name
            assert (one.neuron.theta, one.neuron.v0) == (two.neuron.theta, two.neuron.v0)
            assert one.neuron.activation == two.neuron.activation


def effect(net, reference, x, T):
    """By image, the largest difference of the ANN's logits, of the largest; spikes that differ, and all of them."""
    logits = [refsim.forward(refsim.compile_network(each, fold=False), x).logits for each in (net, reference)]
    ours, theirs = (refsim.simulate(refsim.compile_network(each), x, T=T) for each in (net, reference))
    differ = total = 0
    for one, two in zip(ours.populations.values(), theirs.populations.values()):
        differ += int(np.abs(one.n_pos - two.n_pos).sum())
        total += int(two.n_pos.sum())
    return np.abs(logits[0] - logits[1]).max(axis=1) / np.abs(logits[1]).max(), differ, total


def compare_all(folder, shape, x, **options):
    """Every road against the state dict; prints what float32 folding changes."""
    reference = network(folder / "net.pth", input_shape=shape, **options)
    for name in ("net.pt2", "core.pt2"):
        assert_same(computing(network(folder / name)), computing(reference))
    for name in ("dynamo.onnx", "legacy.onnx"):
        file = refsim.convert(folder / name, **UNIT)
        assert any("folded batch normalisation" in line for line in file.warnings)
        assert len(computing(file.network)) == len(computing(reference))
        logits, differ, total = effect(file.network, reference, x, T=4)
        print(
            f"{name}: ANN logits of {len(x)} images differ by {np.median(logits):.1e} (median) and {logits.max():.1e} "
            f"(most) of the largest, {differ} of {total} spikes"
        )
        assert np.median(logits) < USUAL
        assert differ < 1e-3 * total


@pytest.mark.parametrize("arch", ["small", "resnet20"])
@pytest.mark.parametrize("activation", ["qcfs"])
def test_a_model_is_the_same_by_every_road(arch, activation, tmp_path):
    shape = (3, 16, 16)
    options = {"head": "linear", "activation": activation, "L": 4, "lambda_": 2.0, "dropout": 0.1}
    model = build(arch, input_shape=shape, classes=10, **options)
    model = randomised(model).eval()
    exported(model, tmp_path, shape)
    options = {"L": 4} | ({"pool": "avg"} if arch == "small" else {})
    x = np.random.default_rng(1).normal(size=(4, *shape))
    compare_all(tmp_path, shape, x, **options)


def test_nothing_of_the_exporting_machine_reaches_the_weight_file(tmp_path):
    shape = (3, 16, 16)
    model = build("small", input_shape=shape, classes=10, L=4, lambda_=2.0)
    exported(model.eval(), tmp_path, shape)
    here = str(Path(__file__).parents[3]).encode()
    assert here in (tmp_path / "net.pt2").read_bytes() + (tmp_path / "dynamo.onnx").read_bytes()
    for name in ("net.pt2", "dynamo.onnx", "legacy.onnx"):
        refsim.convert(tmp_path / name, **UNIT).save(tmp_path / "out.h5")
        content = (tmp_path / "out.h5").read_bytes()
        assert here not in content
        assert b"forward" not in content
        assert str(tmp_path).encode() not in content


@pytest.mark.heavy
def test_the_trained_vgg16_is_the_same_by_every_road(tmp_path):
    """REFSIM_VGG16_PTH: a checkpoint with L = 4; REFSIM_CIFAR: an npz with x_test, uint8 (N, 32, 32, 3)."""
    checkpoint, images = (os.environ.get(key, "") for key in ("REFSIM_VGG16_PTH", "REFSIM_CIFAR"))
    if not (Path(checkpoint).is_file() and Path(images).is_file()):
        pytest.skip("REFSIM_VGG16_PTH and REFSIM_CIFAR do not name files")
    shape = (3, 32, 32)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    model = build("vgg16", input_shape=shape, classes=10, head=head_of(state), L=4, dropout=0.1)
    model.load_state_dict(state)
    exported(model.eval(), tmp_path, shape)
    with np.load(images) as archive:
        raw = archive["x_test"][:100]
    preset = find_preset("cifar10")
    x = refsim.InputSpec(shape=shape, mean=np.array(preset.mean), std=np.array(preset.std)).normalize(raw)
    compare_all(tmp_path, shape, x, L=4, pool="avg")


def head_of(state):
    """One Linear behind the features, or three."""
    return "4096" if sum(key.startswith("classifier.") and key.endswith(".weight") for key in state) == 3 else "linear"
