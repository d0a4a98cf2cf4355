import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from refsim.exceptions import FormatError, UsageError  # noqa: E402
from refsim.training import checkpoint, loop  # noqa: E402
from refsim.training.architectures import build  # noqa: E402
from refsim.training.data import load_data  # noqa: E402
from refsim.training.loop import DivergedError, Training  # noqa: E402
from refsim.training.outcome import finish  # noqa: E402
from refsim.training.recipe import Recipe, learning_rate  # noqa: E402

COMMAND = [sys.executable, "-c", "from refsim.cli.main import main; main()", "train"]


def options(data: Path, folder: Path, *, epochs: int = 3) -> list[str]:
    """A run of seconds that uses every source of chance: order, crop, flip, cutout, dropout and noise."""
    text = (
        f"--arch small --activation nq -L 2 --data fashion-mnist --data-path {data} --epochs {epochs} --batch 20 "
        "--dropout 0.1 --augment crop,flip,cutout --validation 50 --watch 20 -T 2 --seed 7 --threads 1 --save-every 3"
    )
    return [*text.split(), "--run", str(folder)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def wait_for_a_save(path: Path, process: subprocess.Popen) -> None:
    def stamp() -> int:
        return path.stat().st_mtime_ns if path.exists() else 0

    before = stamp()
    while stamp() == before and process.poll() is None:
        time.sleep(0.001)


def test_a_run_killed_and_resumed_ends_with_the_weights_of_an_uninterrupted_one(tiny_fashion, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([*COMMAND, *options(tiny_fashion, whole)], check=True, env=environment(), capture_output=True)

    # Killed once in the first epoch and once in the second, where the noise is on.
    for line_before_kill in (None, "epoch 1"):
        process = subprocess.Popen(
            [*COMMAND, *options(tiny_fashion, broken)], env=environment(), stdout=subprocess.PIPE, text=True
        )
        if line_before_kill is not None:
            assert process.stdout.readline().startswith(line_before_kill)
        wait_for_a_save(broken / "checkpoint.pt", process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        assert not (broken / "weights.pth").exists()
    subprocess.run([*COMMAND, *options(tiny_fashion, broken)], check=True, env=environment(), capture_output=True)

    expected, actual = checkpoint.load(whole / "weights.pth"), checkpoint.load(broken / "weights.pth")
    assert list(expected) == list(actual)
    for key, value in expected.items():
        assert torch.equal(actual[key], value), key
    logs = [json.loads((folder / "summary.json").read_text()) for folder in (whole, broken)]
    for log in logs:
        for epoch in log["history"]:
            del epoch["seconds"], epoch["images_per_s"]
        del log["command"]
    assert logs[0] == logs[1]


@pytest.fixture
def tiny(tiny_fashion):
    return load_data("fashion-mnist", path=tiny_fashion, n_validation=50, size=28)


def recipe(**changes) -> Recipe:
    return Recipe(
        **{
            "arch": "small", "data": "fashion-mnist", "epochs": 2, "batch": 50, "augment": (), "lr": 0.05, "T": 2,
            "n_watched": 20, "n_validation": 50, "lambda_": 2.0, **changes,
        }
    )  # fmt: skip


def run(training: Training, on_epoch=lambda epoch: None) -> dict:
    training.run(lambda done, total: None, on_epoch)
    return finish(training, "refsim train")


def test_training_learns_and_reports_ann_and_snn_accuracy_of_every_epoch(tiny, tmp_path):
    summary = run(Training(recipe(epochs=4), tiny, tmp_path))
    assert len(summary["history"]) == 4
    assert summary["history"][-1]["ann"] > 80
    assert summary["history"][-1]["loss"] < summary["history"][0]["loss"]
    assert set(summary["history"][-1]["snn_if"]) == set(summary["test"]["snn_dual"]) == {1, 2}


def test_one_and_two_threshold_neurons_agree_at_the_first_step(tiny, tmp_path):
    for epoch in run(Training(recipe(), tiny, tmp_path))["history"]:
        assert epoch["snn_if"][1] == epoch["snn_dual"][1]


def test_nq_trains_with_the_noise_measured_after_the_epoch_before(tiny, tmp_path):
    training = Training(recipe(activation="nq"), tiny, tmp_path)
    deltas = []

    def note(epoch):
        deltas.append([float(training.model.get_submodule(f"layer{i}.2").delta) for i in (1, 2, 3)])
        assert list(epoch.delta.values()) == pytest.approx(deltas[-1])

    run(training, note)
    assert deltas[0] != deltas[1]
    assert all(delta > 0 for delta in deltas[1][1:])


def test_a_warm_start_of_nq_has_its_noise_from_the_first_step(tiny, tmp_path):
    run(Training(recipe(activation="qcfs", epochs=1), tiny, tmp_path / "before"))
    checkpoint.save_atomically(torch.load(tmp_path / "before/checkpoint.pt")["model"], tmp_path / "weights.pth")
    warm = recipe(activation="nq", init=str(tmp_path / "weights.pth"), init_readout=True)
    training = Training(warm, tiny, tmp_path / "warm")
    assert training.delta == training.measure_delta()
    assert (
        max(training.delta.values()) > 0
    )  # not of the first layer: with T = L and a constant input it has no residual


def test_tau_says_after_how_many_steps_the_noise_is_measured(tiny, tmp_path):
    assert recipe(activation="nq", L=2).steps_of_delta == 2
    short, long = (
        Training(recipe(activation="nq", L=2, tau=tau), tiny, tmp_path / str(tau)).measure_delta() for tau in (1, 2)
    )
    assert short != long
    assert long == Training(recipe(activation="nq", L=2), tiny, tmp_path / "L").measure_delta()


def test_qcfs_and_nq_of_one_seed_start_alike_and_see_the_same_images(tiny, tmp_path, monkeypatch):
    seen: list[torch.Tensor] = []
    plain = loop.augment

    def recorded(*arguments, **options):
        seen.append(plain(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(loop, "augment", recorded)
    runs = [
        Training(recipe(activation=kind, augment=("crop", "flip", "cutout")), tiny, tmp_path / kind)
        for kind in ("qcfs", "nq")
    ]
    for key, value in runs[0].model.state_dict().items():
        assert torch.equal(runs[1].model.state_dict()[key], value)
    for training in runs:
        run(training)
    half = len(seen) // 2
    assert all(torch.equal(a, b) for a, b in zip(seen[:half], seen[half:], strict=True))


def test_the_epoch_with_the_best_snn_is_kept(tiny, tmp_path):
    training = Training(recipe(epochs=3, select="snn"), tiny, tmp_path)
    scores, weights = [], []

    def note(epoch):
        scores.append(epoch.snn_if[2])
        weights.append({key: value.clone() for key, value in training.model.state_dict().items()})

    run(training, note)
    kept = checkpoint.load(tmp_path / "weights.pth")
    best = weights[scores.index(max(scores))]
    assert all(torch.equal(kept[key], best[key]) for key in best)


def test_weights_are_saved_in_the_official_key_layout(tiny, tmp_path):
    run(Training(recipe(activation="nq", epochs=1), tiny, tmp_path))
    twin = build("small", input_shape=(1, 28, 28), classes=10, activation="qcfs")
    twin.load_state_dict(checkpoint.load(tmp_path / "weights.pth"), strict=True)


def test_a_relu_network_trains_without_an_snn_to_watch(tiny, tmp_path):
    summary = run(Training(recipe(activation="relu", epochs=1), tiny, tmp_path))
    assert summary["history"][0]["snn_if"] == {}


def test_selecting_by_an_snn_that_a_relu_network_has_not_is_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="--select snn: relu has no thresholds"):
        Training(recipe(activation="relu", select="snn"), tiny, tmp_path)


def test_a_run_does_not_resume_under_another_recipe(tiny, tmp_path):
    run(Training(recipe(epochs=1), tiny, tmp_path))
    with pytest.raises(UsageError, match=r"checkpoint\.pt: this run was begun with lr = 0\.05, not 0\.1"):
        Training(recipe(epochs=1, lr=0.1), tiny, tmp_path)


def test_tau_without_noise_is_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="--tau: qcfs has no noise to measure"):
        Training(recipe(tau=2), tiny, tmp_path)


def test_a_batch_larger_than_the_training_set_is_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="--batch 551: only 550 images to train on"):
        Training(recipe(batch=551), tiny, tmp_path)


def test_a_diverged_run_stops_and_says_so(tiny, tmp_path):
    with pytest.raises(DivergedError, match=r"epoch 1, step \d+: the loss is (nan|inf); lower --lr"):
        run(Training(recipe(lr=1e30), tiny, tmp_path))


def test_a_threshold_that_falls_below_zero_stops_the_run_and_is_named(tiny, tmp_path):
    training = Training(recipe(epochs=1), tiny, tmp_path)
    name, module = next((n, m) for n, m in training.model.named_modules() if hasattr(m, "thresh"))
    with torch.no_grad():
        module.thresh.fill_(-3.0)
    with pytest.raises(DivergedError, match=f"epoch 1: lambda of '{name}' fell to -"):
        run(training)


def test_the_learning_rate_warms_up_and_ends_at_zero():
    plan = recipe(epochs=10, lr=0.2, warmup=1.0)
    rates = [learning_rate(plan, progress / 10) for progress in range(101)]
    assert rates[0] < 0.001
    assert max(rates) == rates[10] == pytest.approx(0.2)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_a_warm_start_sums_an_rgb_convolution_for_grey_images_and_keeps_the_readout_fresh(tmp_path):
    source = build("small", input_shape=(3, 28, 28), classes=10)
    torch.save(source.state_dict(), tmp_path / "rgb.pth")
    model = build("small", input_shape=(1, 28, 28), classes=10)
    before = model.classifier[1].weight.clone()
    left_alone = checkpoint.warm_start(model, tmp_path / "rgb.pth", readout=False)
    grey = torch.randn(2, 1, 28, 28)
    expected = torch.nn.functional.conv2d(grey.repeat(1, 3, 1, 1), source.layer1[0].weight)
    torch.testing.assert_close(torch.nn.functional.conv2d(grey, model.layer1[0].weight), expected)
    assert torch.equal(model.layer3[0].weight, source.layer3[0].weight)
    assert torch.equal(model.classifier[1].weight, before)
    assert left_alone == ["classifier.1.weight", "classifier.1.bias"]
    checkpoint.warm_start(model, tmp_path / "rgb.pth", readout=True)
    assert torch.equal(model.classifier[1].weight, source.classifier[1].weight)


def test_a_checkpoint_that_is_not_one_is_refused_in_one_line(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"hello")
    with pytest.raises(FormatError, match=r"a\.pth: not a readable checkpoint") as caught:
        checkpoint.load(tmp_path / "a.pth")
    assert "\n" not in str(caught.value)


def test_a_save_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save_atomically({"epoch": 1}, path)

    def full_disk(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save_atomically({"epoch": 2}, path)
    assert checkpoint.load(path) == {"epoch": 1}
