import hashlib
import json
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner  # noqa: E402

from refsim.analysis.layer_errors import ErrorAccumulator  # noqa: E402
from refsim.cli.main import cli  # noqa: E402
from refsim.cli.train import ACTIVATIONS, ARCHITECTURES, AUGMENTATIONS  # noqa: E402
from refsim.engine.plan import compile_network  # noqa: E402
from refsim.engine.simulator import forward  # noqa: E402
from refsim.engine.simulator import simulate as simulate_events  # noqa: E402
from refsim.exceptions import UsageError  # noqa: E402
from refsim.formats.weights import hdf5  # noqa: E402
from refsim.importers.architectures import to_network  # noqa: E402
from refsim.importers.checkpoint import load_checkpoint  # noqa: E402
from refsim.importers.options import ImportOptions  # noqa: E402
from refsim.importers.parameters import NeuronChoice, as_int8  # noqa: E402
from refsim.reference import network as reference  # noqa: E402
from refsim.training import activations, architectures, augment, outcome  # noqa: E402
from refsim.training.architectures import build  # noqa: E402
from refsim.training.noise import measure_delta  # noqa: E402
from refsim.training.outcome import to_int8_steps  # noqa: E402
from refsim.training.snn import DUAL_THETA_NEG, evaluating, simulate  # noqa: E402


def trained_looking(arch: str):
    """A network whose batch normalisation and thresholds are not those of a fresh one."""
    torch.manual_seed(3)
    model = build(arch, input_shape=(1, 16, 16), classes=10, L=4, lambda_=1.5)
    model.train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.2, 0.5)
        for _ in range(20):
            model(torch.randn(16, 1, 16, 16))
    return model


@pytest.mark.parametrize("arch", ["small", "deep", "resnet20"])
def test_a_converted_network_computes_what_the_source_does_in_float64(arch, tmp_path, monkeypatch):
    monkeypatch.setitem(architectures.VGG_WIDTHS, "deep", ((4, 4), (6,), (8, 8, 8)))
    model = trained_looking(arch)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    network = to_network(
        load_checkpoint(tmp_path / "weights.pth"),
        ImportOptions(choice=NeuronChoice(L=4), shape=(1, 16, 16), pool=None if arch.startswith("resnet") else "avg"),
    )
    model.double()
    x = torch.randn(3, 1, 16, 16, dtype=torch.float64)

    with evaluating(model):
        expected = model(x).numpy()
    actual = reference.forward(network, x.numpy())[network.layers[-1].name]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9)

    for theta_neg in (float("-inf"), DUAL_THETA_NEG):
        T = 4
        expected_run = simulate(model, x, T, theta_neg=theta_neg)
        chosen = network.with_neurons(
            {layer.name: layer.neuron.as_dual() for layer in network.spiking} if np.isfinite(theta_neg) else {}
        )
        run = reference.simulate(chosen, x.numpy(), T)
        prefix_means = run.logits.cumsum(0) / np.arange(1, T + 1).reshape(T, 1, 1)
        np.testing.assert_allclose(prefix_means, expected_run.logits.numpy(), rtol=0, atol=1e-9)
        for layer in network.spiking:
            counts = run.spikes[layer.name].astype(int).sum(0)
            expected_counts = np.rint(expected_run.phi[layer.name].numpy() * T / float(layer.neuron.theta))
            np.testing.assert_array_equal(counts, expected_counts)


def test_delta_measured_in_training_is_that_of_the_residual_analysis(tmp_path):
    """One number two ways: PyTorch while it trains, and `refsim errors` on the converted network."""
    model = trained_looking("small")
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    network = to_network(
        load_checkpoint(tmp_path / "weights.pth"),
        ImportOptions(choice=NeuronChoice(L=4), shape=(1, 16, 16), pool="avg"),
    )
    x = torch.randn(11, 1, 16, 16, dtype=torch.float64)
    measured = measure_delta(model.double(), [x[:8], x[8:]], 4)

    trace = simulate_events(compile_network(network), x.numpy(), 4, record=("spikes", "v", "current"))
    activations = forward(compile_network(network, fold=False), x.numpy(), record=True)
    analysed = {}
    for layer in network.spiking:
        accumulator = ErrorAccumulator(network, layer, 4)
        accumulator.add(trace.populations[layer.name], activations.z[layer.name])
        analysed[layer.name] = accumulator.result().residual.std
    assert max(analysed.values()) > 0.05
    assert measured == pytest.approx(analysed, rel=1e-9, abs=1e-7)


def command(data, folder, *more: str) -> list[str]:
    text = "train --arch small --epochs 1 --batch 50 --lambda 2 --validation 50 --watch 20 -T 2 --augment none"
    return [*text.split(), "--data-path", str(data), "--run", str(folder), *more]


def test_training_ends_in_a_weight_file_with_samples_and_provenance(tiny_fashion, tmp_path):
    arguments = command(tiny_fashion, tmp_path, "--activation", "nq", "-L", "2", "-o", str(tmp_path / "mine.h5"))
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["epoch", "test", "test", "test", "wrote"]

    file = hdf5.load(tmp_path / "mine.h5")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert file.network.input.shape == (1, 28, 28)
    assert file.network.metadata["method"] == "nq"
    assert file.network.metadata["training_command"] == (
        "refsim train --arch small --activation nq -L 2 --lambda 2.0 --epochs 1 --batch 50 --augment none "
        "--validation 50 -T 2 --watch 20"
    )
    assert str(tmp_path) not in str(dict(file.network.metadata))
    assert np.bincount(file.samples.labels).tolist() == [10] * 10
    assert file.samples.images.shape == (100, 28, 28, 1)
    assert [(each.neuron, each.T, each.logits.shape[1]) for each in file.golden] == [("if", 4, 10), ("dual", 4, 10)]
    for layer in file.network.spiking:
        assert layer.neuron.activation.L == 2
        assert layer.neuron.activation.delta == pytest.approx(summary["delta"][layer.name])

    logits = reference.forward(file.network, file.network.input.normalize(file.samples.images))
    right = logits[file.network.layers[-1].name].argmax(1) == file.samples.labels
    assert 100 * right.mean() == pytest.approx(summary["test"]["ann"], abs=1)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_rounded_weights_are_the_ones_that_were_scored(tiny_fashion, tmp_path, precision):
    assert CliRunner().invoke(cli, command(tiny_fashion, tmp_path, "--round-to", precision)).exit_code == 0
    file = hdf5.load(tmp_path / "small.h5")
    weighted = [layer for layer in file.network.layers if hasattr(layer, "weight")]
    assert {layer.weight.dtype for layer in weighted} == {np.dtype(precision)}
    assert file.network.metadata["training_command"].endswith(f"--round-to {precision}")

    twin = build("small", input_shape=(1, 28, 28), classes=10, L=4)
    state = torch.load(tmp_path / "weights.pth", weights_only=True)
    twin.load_state_dict(state)
    last = weighted[-1]
    np.testing.assert_array_equal(last.effective_weight(), twin.state_dict()["classifier.1.weight"].double().numpy())
    x = file.network.input.normalize(file.samples.images[:5])
    with evaluating(twin.double()):
        expected = twin(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(reference.forward(file.network, x)[last.name], expected, rtol=0, atol=1e-9)


def test_mixed_precision_is_int8_where_there_are_many_weights(tiny_fashion, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "LARGE", 10_000)
    assert CliRunner().invoke(cli, command(tiny_fashion, tmp_path, "--round-to", "mixed")).exit_code == 0
    weighted = [each for each in hdf5.load(tmp_path / "small.h5").network.layers if hasattr(each, "weight")]
    kinds = {layer.weight.dtype: layer.weight.size >= 10_000 for layer in weighted}
    assert kinds == {np.dtype(np.float16): False, np.dtype(np.int8): True}


def test_int8_weights_differ_by_half_a_step_at_most():
    torch.manual_seed(0)
    weight = torch.randn(5, 3, 3, 3) * torch.tensor([1e-6, 0.1, 1, 7, 0]).reshape(-1, 1, 1, 1)
    rounded = to_int8_steps(weight)
    whole, step = as_int8(rounded.numpy())
    np.testing.assert_array_equal(whole * step.reshape(-1, 1, 1, 1), rounded.double().numpy())
    assert (np.abs((rounded - weight).double().numpy()) <= step.reshape(-1, 1, 1, 1) * (0.5 + 1e-6)).all()
    assert np.abs(whole).max(axis=(1, 2, 3)).tolist() == [127, 127, 127, 127, 0]


def test_a_relu_network_ends_in_a_checkpoint_without_a_weight_file(tiny_fashion, tmp_path):
    result = CliRunner().invoke(cli, command(tiny_fashion, tmp_path, "--activation", "relu"))
    assert result.exit_code == 0
    assert (tmp_path / "weights.pth").exists()
    assert not list(tmp_path.glob("*.h5"))


@pytest.mark.parametrize(("activation", "L", "shift"), [("tcl", 0, 0.5), ("qcf", 4, 0.0)])
def test_the_weight_file_says_which_activation_was_trained(activation, L, shift, tiny_fashion, tmp_path):
    assert CliRunner().invoke(cli, command(tiny_fashion, tmp_path, "--activation", activation)).exit_code == 0
    neuron = hdf5.load(tmp_path / "small.h5").network.spiking[0].neuron
    assert (neuron.activation.L, neuron.activation.shift) == (L, shift)
    assert float(neuron.v0) == shift * float(neuron.theta)


def test_train_without_torch_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r"train needs PyTorch: pip install 'refsim\[train\]'") as caught:
        CliRunner().invoke(cli, ["train", "--arch", "small", "--run", str(tmp_path)], catch_exceptions=False)
    assert caught.value.exit_code == 2


def test_an_unknown_augmentation_is_refused(tmp_path):
    result = CliRunner().invoke(cli, ["train", "--arch", "small", "--augment", "crop,mixup", "--run", str(tmp_path)])
    assert result.exit_code == 2
    assert "'mixup' is not one of crop, flip, cutout, autoaugment" in result.stderr


def test_the_command_offers_what_the_training_room_has():
    assert tuple(architectures.ARCHITECTURES) == ARCHITECTURES
    assert tuple(activations.ACTIVATIONS) == ACTIVATIONS
    assert augment.AUGMENTATIONS == AUGMENTATIONS


def test_a_warm_start_says_what_it_left_alone_and_is_part_of_the_provenance(tiny_fashion, tmp_path):
    torch.save(build("small", input_shape=(3, 28, 28), classes=10).state_dict(), tmp_path / "rgb.pth")
    arguments = command(tiny_fashion, tmp_path / "run", "--init", str(tmp_path / "rgb.pth"))
    result = CliRunner().invoke(cli, arguments)
    assert result.stdout.startswith(
        "started from rgb.pth; left as initialised: classifier.1.weight, classifier.1.bias\n"
    )
    metadata = hdf5.load(tmp_path / "run" / "small.h5").network.metadata
    digest = hashlib.sha256((tmp_path / "rgb.pth").read_bytes()).hexdigest()
    assert metadata["training_started_from"] == f"rgb.pth sha256 {digest}"


def test_quiet_training_prints_only_what_came_out(tiny_fashion, tmp_path):
    result = CliRunner().invoke(cli, command(tiny_fashion, tmp_path, "--quiet"))
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["test", "test", "test", "wrote"]


def test_a_terminal_gets_a_progress_bar(tiny_fashion, tmp_path, monkeypatch):
    monkeypatch.setattr("refsim.cli.train._is_terminal", lambda: True)
    result = CliRunner().invoke(cli, command(tiny_fashion, tmp_path))
    assert f"\r[{'#' * 15}{'.' * 15}] step 6/11" not in result.stdout
    assert f"\r[{'#' * 30}] step 11/11\n" in result.stderr
