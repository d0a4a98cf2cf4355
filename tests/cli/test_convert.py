"""`refsim convert` on checkpoints written without PyTorch."""

import inspect

import numpy as np
import pytest

from refsim.analysis.statistics import wilson_interval
from refsim.cli.convert import convert
from refsim.cli.main import main
from refsim.formats.weights.hdf5 import load
from refsim.importers.presets import PRESETS
from refsim.reference.network import forward
from refsim.runs import convert as library
from tests.importers import pickles, sources

STAGES = [[4, 5], [6], [3, 7]]


def run(capsys, *arguments, pool="avg"):
    """Exit code, stdout and stderr of `refsim convert`; what is converted here is a VGG, unless `pool` is None."""
    try:
        main(["convert", *map(str, arguments), *(["--pool", pool] if pool else [])])
        code = 0
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def checkpoint(tmp_path):
    state = sources.random_vgg(np.random.default_rng(1), STAGES, side=32, head=[9, 10])
    return pickles.write_pth(tmp_path / "small.pth", state)


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(2)
    path = tmp_path / "test.npz"
    images = rng.integers(0, 256, (240, 32, 32, 3), np.uint8)
    labels = np.arange(240) % 10
    np.savez(path, x_test=images[:200], y_test=labels[:200], x_train=images[200:], y_train=labels[200:])
    return path


def test_a_checkpoint_becomes_a_weight_file_with_samples(capsys, tmp_path, checkpoint, samples):
    out_path = tmp_path / "small.h5"
    code, out, err = run(
        capsys, checkpoint, "-o", out_path, "--L", 4, "--preset", "cifar10", "--samples", samples, "--n-samples", 50
    )
    assert (code, err) == (0, "")
    file = load(out_path)
    assert out == (
        f"{out_path}: small, VGG, 5 convolutions, 6 spiking layers, IF, 2,051 parameters, input 3x32x32, "
        f"10 classes, 50 samples\nANN {file.network.metadata['ann_accuracy_samples']}\n"
        f"assumed: QCFS activations (TCL and clipped ReLU have the same keys: --activation clip)\n"
        f"sha256 {file.sha256}\n"
    )
    network, preset = file.network, PRESETS["cifar10"]
    logits = forward(network, network.input.normalize(file.samples.images))[network.layers[-1].name]
    correct = int((logits.argmax(axis=1) == file.samples.labels).sum())
    low, high = (100 * end for end in wilson_interval(correct, 50))
    assert network.metadata["ann_accuracy_samples"] == (
        f"{2 * correct:.1f} % of 50 samples (95 % interval {low:.1f} to {high:.1f} %)"
    )
    assert network.classes == preset.classes
    np.testing.assert_array_equal(network.input.mean, preset.mean)
    np.testing.assert_array_equal(network.input.std, preset.std)
    assert network.input.dataset == "cifar10"
    assert {layer.neuron.activation.L for layer in network.spiking} == {4}
    np.testing.assert_array_equal(np.bincount(file.samples.labels), [5] * 10)
    with np.load(samples) as archive:
        rows = [np.flatnonzero((archive["x_test"] == image).all((1, 2, 3)))[0] for image in file.samples.images]
    assert max(rows) > 150, "a prefix was taken"


def test_without_L_the_file_says_so_and_the_user_is_warned(capsys, tmp_path, checkpoint):
    code, _, err = run(capsys, checkpoint, "-o", tmp_path / "a.h5", "--preset", "cifar10")
    assert code == 0
    assert err.startswith("refsim: warning: without L the file says L=0 (unknown): it simulates, but the ANN itself")
    assert {layer.neuron.activation.L for layer in load(tmp_path / "a.h5").network.spiking} == {0}


@pytest.mark.parametrize(
    ("options", "mean", "std"),
    [
        (["--mean", "cifar10"], (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        (["--mean", "cifar10-qcfs", "--std", "cifar10-qcfs"], (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        (["--mean", "0.5,0.25,0.125", "--std", "1,2,4"], (0.5, 0.25, 0.125), (1, 2, 4)),
        (["--preset", "imagenet", "--std", "0.5", "--input-shape", "3,32,32"], (0.485, 0.456, 0.406), (0.5,) * 3),
        (["--preset", "cifar100-qcfs"], (129.3 / 255, 124.1 / 255, 112.4 / 255), (68.2 / 255, 65.4 / 255, 70.4 / 255)),
    ],
)
def test_preprocessing_comes_from_numbers_or_presets(capsys, tmp_path, checkpoint, options, mean, std):
    code, _, err = run(capsys, checkpoint, "-o", tmp_path / "a.h5", "--L", 4, *options)
    assert (code, err) == (0, "")
    spec = load(tmp_path / "a.h5").network.input
    np.testing.assert_array_equal(spec.mean, mean)
    np.testing.assert_array_equal(spec.std, std)
    assert spec.shape == (3, 32, 32)


def test_classes_from_a_file_a_list_and_a_preset(capsys, tmp_path, checkpoint):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"class {i}\n" for i in range(10)), encoding="utf-8")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\x00")
    code, _, err = run(capsys, checkpoint, "-o", tmp_path / "a.h5", "--L", 4, "--mean", "cifar10", "--classes", binary)
    assert (code, err) == (2, f"refsim: --classes: {binary}: is not a text file (UTF-8)\n")
    for given, expected in (
        (names, tuple(f"class {i}" for i in range(10))),
        (",".join("abcdefghij"), tuple("abcdefghij")),
        ("fashion-mnist", PRESETS["fashion-mnist"].classes),
    ):
        code, *_ = run(
            capsys, checkpoint, "-o", tmp_path / "a.h5", "--L", 4, "--mean", "cifar10", "--classes", given, "--force"
        )
        assert code == 0
        assert load(tmp_path / "a.h5").network.classes == expected


def test_dual_neurons_and_their_threshold(capsys, tmp_path, checkpoint):
    for options, theta_neg in (([], -1e-3), (["--theta-neg", "-0.25"], -0.25)):
        code, *_ = run(
            capsys,
            checkpoint,
            "-o",
            tmp_path / "a.h5",
            "--L",
            4,
            "--mean",
            "cifar10",
            "--neuron",
            "dual",
            "--force",
            *options,
        )
        assert code == 0
        assert {float(layer.neuron.theta_neg) for layer in load(tmp_path / "a.h5").network.spiking} == {theta_neg}


def test_grey_images_are_padded_when_asked(capsys, tmp_path):
    state = sources.random_vgg(np.random.default_rng(1), [[2], [3]], side=32, head=[10], channels=1)
    path = pickles.write_legacy(tmp_path / "grey.th", state)
    images = np.random.default_rng(2).integers(0, 256, (20, 28, 28), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(20) % 10)
    options = (path, "-o", tmp_path / "a.h5", "--L", 4, "--preset", "fashion-mnist", "--samples", tmp_path / "a.npz")
    code, _, err = run(capsys, *options, "--n-samples", 10)
    assert (code, "come from images of 32 to 35 pixels a side, and those of the data set have 28 x 28" in err) == (
        2,
        True,
    )
    options += ("--input-shape", "1,32,32")
    code, _, err = run(capsys, *options, "--n-samples", 10)
    assert code == 3
    assert err == (
        "refsim: a.npz: images are (1, 28, 28) (C, H, W), the network expects (1, 32, 32); "
        "--pad puts black around them\n"
    )
    assert not (tmp_path / "a.h5").exists()
    assert run(capsys, *options, "--n-samples", 10, "--pad")[0] == 0
    assert load(tmp_path / "a.h5").samples.images.shape == (10, 32, 32, 1)


def test_an_existing_file_is_overwritten_only_when_told(capsys, tmp_path, checkpoint):
    out = tmp_path / "a.h5"
    out.write_text("precious")
    code, _, err = run(capsys, checkpoint, "-o", out, "--L", 4, "--mean", "cifar10")
    assert (code, err) == (2, f"refsim: {out} exists; --force overwrites it\n")
    assert out.read_text() == "precious"
    assert run(capsys, checkpoint, "-o", out, "--L", 4, "--mean", "cifar10", "--force")[0] == 0
    assert load(out).network.name == "small"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "mean is missing: preprocessing is not in a checkpoint"),
        (["--mean", "0.5"], 2, "std is missing"),
        (["--mean", "cifar10", "--std", "cifar100"], 2, "mean and std name different data sets: cifar10, cifar100"),
        (["--mean", "mnist"], 2, "'mnist' is neither numbers (m,m,m) nor one of cifar10, cifar10-qcfs"),
        (["--mean", "nan", "--std", "1"], 2, "the numbers must be finite"),
        (["--mean", "0,0", "--std", "1"], 3, "input: mean must have shape (3,), got (2,)"),
        (["--mean", "cifar10", "--std", "0"], 3, "std must be finite and positive"),
        (["--mean", "cifar10", "--L", "0"], 2, "0 is not in the range 1<=x<=1048576"),
        (["--mean", "cifar10", "--classes", "a,b"], 3, "2 class names for 10 outputs"),
        (["--mean", "cifar10", "--classes", "missing.txt"], 2, "--classes: no file 'missing.txt'"),
        (["--mean", "cifar10", "--theta-neg", "-1"], 2, "theta_neg belongs to dual neurons; choose neuron dual"),
        (["--mean", "cifar10", "--neuron", "dual", "--theta-neg", "0"], 3, "theta_neg must lie in [-theta, 0)"),
        (["--mean", "cifar10", "--input-shape", "3,32"], 2, "'3,32' is not C,H,W"),
        (["--mean", "cifar10", "--input-shape", "3,64,64"], 3, "weight expects"),
        (["--mean", "cifar10", "--arch", "resnet"], 3, "do not follow the resnet layout"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_leaves_no_file(capsys, tmp_path, checkpoint, options, code, message):
    actual, out, err = run(capsys, checkpoint, "-o", tmp_path / "a.h5", *options)
    assert actual == code
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "a.h5").exists()


def test_a_threshold_that_cannot_be_is_named_with_file_and_key(capsys, tmp_path):
    state = sources.random_vgg(np.random.default_rng(1), STAGES, side=32, head=[10])
    state["layer2.2.thresh"] = np.array([-1], np.float32)
    path = pickles.write_pth(tmp_path / "bad.pth", state)
    code, _, err = run(capsys, path, "-o", tmp_path / "a.h5", "--L", 4, "--mean", "cifar10")
    assert code == 3
    assert err == f"refsim: {path}:layer2.2.thresh: activation: lambda must be positive and finite, got -1.0\n"


def test_a_pickle_that_calls_something_ends_with_code_3(capsys, tmp_path):
    content = pickles.pickle({"a": pickles.call("posix.system", f"touch {tmp_path / 'pwned'}")})
    path = pickles.write_zip(tmp_path / "evil.pth", content, {})
    code, _, err = run(capsys, path, "-o", tmp_path / "a.h5", "--mean", "cifar10")
    assert (code, err) == (
        3,
        f"refsim: {path}: holds 'posix.system', which refsim does not load; save a plain state_dict\n",
    )
    assert not (tmp_path / "pwned").exists()


def test_a_relu_network_is_calibrated_on_training_images(capsys, tmp_path, samples):
    state = sources.random_resnet_cifar(np.random.default_rng(1), depth=1, widths=[4, 8, 16])
    state["linear.weight"], state["linear.bias"] = np.ones((10, 16), np.float32), np.zeros(10, np.float32)
    path = pickles.write_legacy(tmp_path / "relu.th", state)
    options = (path, "-o", tmp_path / "a.h5", "--preset", "cifar10", "--mean", "imagenet", "--std", "imagenet")
    code, _, err = run(capsys, *options, "--L", 4, pool=None)
    assert (code, "--calibrate DATA (in Python, calibrate=) takes them from its activations" in err) == (2, True)
    code, _, err = run(capsys, *options, "--L", 4, "--calibrate", samples, pool=None)
    assert (code, err) == (2, "refsim: L belongs to QCFS activations, calibrate to ReLU; with both, say which method\n")
    code, _, err = run(capsys, *options, "--calibrate", samples, "--n-calibrate", 8, "--method", "max", pool=None)
    assert (code, err) == (0, "")
    network = load(tmp_path / "a.h5").network
    assert network.input.mean[0] == 0.485
    assert network.input.dataset == "cifar10"
    assert network.metadata["thresholds"] == "largest activations, 8 images"
    assert network.metadata["method"] == "max"
    with np.load(samples) as archive:
        a = forward(network, network.input.normalize(archive["x_train"][::5]))["act"]
    np.testing.assert_allclose(network.spiking[0].neuron.theta, a.max(), rtol=1e-12)
    assert {layer.neuron.activation.L for layer in network.spiking} == {None}
    assert len({float(layer.neuron.theta) for layer in network.spiking}) == 7


def test_help_lists_the_presets_with_their_values(capsys):
    _, out, _ = run(capsys, "--help")
    for name in PRESETS:
        assert f"{name}: mean" in out
    assert "cifar10: mean 0.4914,0.4822,0.4465 std 0.247,0.2435,0.2616, 32x32" in out
    assert convert.name == "convert"


def test_a_relu_network_has_the_99_9th_percentile_and_half_a_theta_by_default(capsys, tmp_path, samples):
    state = sources.random_resnet_cifar(np.random.default_rng(1), depth=1, widths=[4, 8, 16])
    state["linear.weight"], state["linear.bias"] = np.ones((10, 16), np.float32), np.zeros(10, np.float32)
    path = pickles.write_legacy(tmp_path / "relu.th", state)
    options = ("--preset", "cifar10", "--calibrate", samples, "--n-calibrate", 8)
    code, _, err = run(capsys, path, "-o", tmp_path / "a.h5", *options, pool=None)
    assert (code, err) == (0, "")
    network = load(tmp_path / "a.h5").network
    assert network.metadata["method"] == "opi:99.9"
    with np.load(samples) as archive:
        a = forward(network, network.input.normalize(archive["x_train"][::5]))["act"]
    neuron = network.spiking[0].neuron
    np.testing.assert_allclose(neuron.theta, np.percentile(a[a > 0], 99.9), rtol=1e-12)
    assert neuron.v0 == neuron.theta / 2
    code, _, _ = run(
        capsys, path, "-o", tmp_path / "b.h5", *options, "--neuron", "dual", "--theta-neg", -0.01, pool=None
    )
    assert code == 0
    assert {float(layer.neuron.theta_neg) for layer in load(tmp_path / "b.h5").network.spiking} == {-0.01}


def test_methods_write_their_neurons_into_the_file(capsys, tmp_path, checkpoint, samples):
    options = (checkpoint, "--L", 4, "--preset", "cifar10", "-o", tmp_path / "a.h5", "--force")
    assert run(capsys, *options, "--method", "tcl")[0] == 0
    for layer in load(tmp_path / "a.h5").network.spiking:
        assert (float(layer.neuron.v0), layer.neuron.activation.L) == (0, 4)
        assert layer.neuron.theta == layer.neuron.activation.lambda_
    assert run(capsys, *options, "--method", "signed", "--samples", samples, "--n-samples", 10)[0] == 0
    file = load(tmp_path / "a.h5")
    assert file.network.metadata["method"] == "signed"
    assert {(float(each.neuron.theta_neg), each.neuron.theta_neg_mode) for each in file.network.spiking} == {
        (-1e-5, "relative")
    }


def test_thresholds_of_each_neuron_are_stored_as_calibration_finds_them(capsys, tmp_path, samples):
    state = sources.random_vgg(np.random.default_rng(1), STAGES, side=32, head=[9, 10])
    # Bounds that some activation reaches; with the drawn ones every neuron of the last layers is silent.
    for key in state:
        if key.endswith("thresh"):
            state[key] = np.full_like(state[key], 0.05)
    path = pickles.write_pth(tmp_path / "small.pth", state)
    options = (path, "--L", 4, "--preset", "cifar10", "-o", tmp_path / "a.h5")
    code, _, err = run(capsys, *options, "--method", "snm", "--calibrate", samples, "--n-calibrate", 8)
    assert (code, err) == (0, "")
    network = load(tmp_path / "a.h5").network
    with np.load(samples) as archive:
        a = forward(network, network.input.normalize(archive["x_train"][::5]))
    for layer in network.spiking:
        peak = a[layer.name].max(axis=0)
        np.testing.assert_allclose(layer.neuron.theta, np.where(peak > 0, peak, peak.max()), rtol=1e-12)
    assert {float(layer.neuron.theta_neg) for layer in network.spiking} == {-1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "srp"), "method srp finds its parameters anew for every image, so no file can hold them"),
        (("--method", "rts"), "method rts changes biases, and for one T only; a file of it would not hold the ANN"),
        (("--method", "snnc+dual"), "method snnc+dual changes biases"),
        (("--method", "max"), "method max takes its parameters from calibration images; name some"),
        (("--method", "theorem3"), "method theorem3 is for networks without bias"),
        (("--method", "ecl", "--neuron", "dual"), "method ecl has negative thresholds of its own; choose neuron if"),
        (("--method", "best"), "no method 'best'; there are qcfs"),
    ],
)
def test_methods_that_no_file_can_hold_and_others_are_refused(capsys, tmp_path, checkpoint, options, message):
    code, out, err = run(capsys, checkpoint, "--L", 4, "--preset", "cifar10", "-o", tmp_path / "a.h5", *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"refsim: {message}")
    assert not (tmp_path / "a.h5").exists()


def test_a_vgg_is_not_converted_before_its_pools_are_known(capsys, tmp_path, checkpoint):
    options = (checkpoint, "--L", 4, "--preset", "cifar10", "-o", tmp_path / "a.h5")
    message = "the keys of a VGG do not show how it pools; say --pool avg (in Python, pool='avg') if it"
    code, out, err = run(capsys, *options, pool=None)
    assert (code, out) == (2, "")
    assert err.startswith(f"refsim: {checkpoint}: {message}")
    assert not (tmp_path / "a.h5").exists()


def test_an_accuracy_that_the_samples_do_not_have_is_not_written(capsys, tmp_path, checkpoint, samples):
    options = (checkpoint, "--L", 4, "--preset", "cifar10", "--samples", samples, "--n-samples", 50, "--golden", 0)
    assert run(capsys, *options, "-o", tmp_path / "a.h5")[0] == 0
    found = load(tmp_path / "a.h5").network.metadata["ann_accuracy_samples"]
    measured, high = float(found.split(" ")[0]), float(found.split(" ")[-2])
    assert run(capsys, *options, "-o", tmp_path / "b.h5", "--expect", measured)[0] == 0
    assert (tmp_path / "b.h5").read_bytes() == (tmp_path / "a.h5").read_bytes()
    code, out, err = run(capsys, *options, "-o", tmp_path / "c.h5", "--expect", high + 0.5)
    assert (code, out) == (4, "")
    assert err.startswith(
        f"refsim: {checkpoint}: the ANN gets {found} right, {high + 0.5:g} % was expected; usual causes: the kind of "
        "pools (pool), mean and std, L, the order of the color channels"
    )
    assert not (tmp_path / "c.h5").exists()


def test_the_command_writes_what_the_function_returns(capsys, tmp_path, checkpoint, samples):
    options = ("--L", 4, "--preset", "cifar10", "--samples", samples, "--n-samples", 20, "--neuron", "dual")
    assert run(capsys, checkpoint, *options, "-o", tmp_path / "a.h5")[0] == 0
    file = library.convert(checkpoint, L=4, preset="cifar10", samples=samples, n_samples=20, neuron="dual", pool="avg")
    digest = file.save(tmp_path / "b.h5")
    assert digest == file.sha256 == load(tmp_path / "b.h5").sha256
    assert (tmp_path / "b.h5").read_bytes() == (tmp_path / "a.h5").read_bytes()
    assert [golden.neuron for golden in file.golden] == ["if", "dual"]


def test_options_and_arguments_have_the_same_names_and_defaults(checkpoint):
    options = convert.make_context("convert", [str(checkpoint), "-o", "a.h5"]).params
    arguments = inspect.signature(library.convert).parameters
    assert set(options) - set(arguments) == {"output", "force"}
    assert set(arguments) - set(options) == {"example", "notes"}
    for name in set(arguments) & set(options) - {"source"}:
        assert options[name] == arguments[name].default, name
