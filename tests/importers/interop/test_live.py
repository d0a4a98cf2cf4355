"""A PyTorch model of one's own goes in with one line, and is simulated as PyTorch would simulate it."""

from __future__ import annotations

import copy
import re
import subprocess
import sys

import numpy as np
import pytest

import refsim
from refsim.exceptions import FormatError, UsageError

torch = pytest.importorskip("torch")

from . import torch_models as models  # noqa: E402

T = 6
UNIT = {"mean": [0.0], "std": [1.0]}


def images(n=3, side=16):
    return np.random.default_rng(5).normal(size=(n, 3, side, side))


def converted(model, **options):
    return refsim.convert(model, torch.zeros(2, 3, 16, 16), **UNIT | options).network


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (models.Residual, {}),
        (models.Pooling, {"max_pool": "cumulative"}),
        (models.Pooling, {"max_pool": "or"}),
        (models.Depthwise, {}),
    ],
)
def test_a_model_equals_its_simulation_in_pytorch_spike_for_spike(make, options):
    model = models.randomised(make())
    network = converted(model, **options)
    x = images()
    double = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        expected = double(torch.from_numpy(x)).numpy()
    plan = refsim.compile_network(network, fold=False)
    actual = refsim.forward(plan, x).logits
    # A softmax at the end is left out, and takes the same off every class.
    expected, actual = (each - each.max(axis=1, keepdims=True) for each in (expected, actual))
    assert np.abs(actual - expected).max() < 1e-9 * np.abs(expected).max()
    spikes, logits = models.simulate(double, torch.from_numpy(x), T, options.get("max_pool"))
    trace = refsim.simulate(refsim.compile_network(network), x, T=T, record=("spikes",))
    assert len(spikes) == len(network.spiking)
    for name, (layer, theirs) in zip(trace.populations, spikes.items(), strict=True):
        assert name == layer
        ours = trace.populations[name].spikes
        assert theirs.any()
        np.testing.assert_array_equal(ours, theirs.reshape(ours.shape))
    np.testing.assert_allclose(trace.logits, logits, atol=1e-9)


def test_relu_is_calibrated_and_a_trained_bound_beside_it_is_kept(tmp_path):
    torch.manual_seed(2)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(inplace=True), torch.nn.Conv2d(4, 4, 3), torch.nn.ReLU6(),
        torch.nn.Flatten(), torch.nn.Linear(576, 10),
    )  # fmt: skip
    np.savez(tmp_path / "x.npz", x=images(20))
    with pytest.raises(UsageError, match=r"Sequential: ReLU \('1'\) has no thresholds: --calibrate DATA"):
        converted(model)
    one, two = converted(model, calibrate=tmp_path / "x.npz").spiking
    assert (one.neuron.activation.kind, two.neuron.activation.kind) == ("relu", "clipped")
    assert one.neuron.theta not in (1, 6)
    assert (two.neuron.theta, two.neuron.v0) == (6, 3)
    with pytest.raises(
        UsageError, match=r"thresholds of this network are trained; --calibrate .* is for ReLU networks"
    ):
        converted(models.Residual(), calibrate=tmp_path / "x.npz")


def test_the_model_is_left_as_it_was():
    model = models.Residual()
    model.train()
    model.stem.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    converted(model)
    assert (model.training, model.stem.training, model.act.training) == (True, False, True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_all_obstacles_are_listed_at_once_by_module():
    with pytest.raises(FormatError) as caught:
        converted(models.Obstacles())
    text = str(caught.value)
    assert text.startswith("Obstacles: 7 obstacles: ")
    assert re.search(r"silu at 'first': no spiking counterpart; fine-tune with ReLU", text)
    assert re.search(r"conv2d at 'b' and conv2d at 'c' with no activation between them", text)
    assert re.search(r"mul at 'gate'.*squeeze-and-excitation", text)
    assert re.search(r"adaptive average pool \(16, 16\) to \(3, 3\): windows of unequal position", text)
    assert re.search(r"layer_norm at 'norm': its statistics depend on the input", text)
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (models.PreActivation, r"Add|add at 'add' is read twice.*pre-activation"),
        (models.TwoThresholds, r"div at 'act': .*its two thresholds or its two numbers of steps do not agree"),
        (models.PerChannel, r"minimum at 'act': a bound for each channel"),
        (models.Leaky, r"leaky_relu at 'act': no spiking counterpart"),
        (models.Nothing, r"the output .* does not depend on the image"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(make, reason):
    with pytest.raises(FormatError, match=reason):
        converted(make())


def test_what_is_missing_or_contradicts_the_model_is_a_wrong_usage():
    with pytest.raises(
        UsageError, match=r"Pooling: max pools \('a\.2', 'a\.8'\): say --max-pool cumulative.*or --max-pool or"
    ):
        converted(models.Pooling())
    with pytest.raises(UsageError, match=r"L = 5 contradicts the graph, where 'act' has no steps; leave it out"):
        converted(models.Residual(), L=5)
    with pytest.raises(UsageError, match=r"give an example input, a tensor \(B, C, H, W\)"):
        refsim.convert(models.Residual(), **UNIT)
    with pytest.raises(UsageError, match="pool is for state dicts"):
        converted(models.Residual(), pool="avg")
    with pytest.raises(UsageError, match="mean is missing"):
        converted(models.Residual(), mean=None)
    with pytest.raises(FormatError, match=r"Residual: torch\.export cannot trace it: "):
        refsim.convert(models.Residual(), torch.zeros(2, 4, 16, 16), **UNIT)


def test_preprocessing_inside_becomes_mean_and_std():
    model = torch.nn.Sequential(models.Normalise([0.5, 0.25, 0.1], [0.5, 0.2, 0.3]), *models.small())
    network = refsim.convert(model, torch.zeros(1, 3, 16, 16)).network
    np.testing.assert_array_equal(network.input.mean, np.float32([0.5, 0.25, 0.1]).astype(float))
    np.testing.assert_array_equal(network.input.std, np.float32([0.5, 0.2, 0.3]).astype(float))
    with pytest.raises(UsageError, match=r"the graph itself takes off the mean 0.5,0.25,0.1 .* leave them out"):
        converted(model, mean=[0.0], std=[1.0])
    of_bytes = torch.nn.Sequential(models.Normalise([127.5], [255.0]), *models.small())
    file = refsim.convert(of_bytes, torch.zeros(1, 3, 16, 16))
    raw = np.full((1, 16, 16, 3), 255, np.uint8)
    assert (file.network.input.normalize(raw) == 0.5).all()
    assert "the graph's own preprocessing takes pixels of 0 to 255" in file.warnings


def test_neither_refsim_nor_a_run_imports_a_framework():
    code = (
        "import sys, refsim; refsim.run(refsim.load(), T=1, limit=2);"
        "import refsim.runs.convert; sys.exit(any(m in sys.modules for m in ('torch', 'onnx')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
