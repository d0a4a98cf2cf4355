"""A recording holds what happened, and adds up to what was printed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from refsim.engine.batches import run_snn
from refsim.engine.plan import compile_network
from refsim.engine.results import Result
from refsim.exceptions import FormatError, UsageError
from refsim.formats.images.currents import InputCurrents
from refsim.formats.weights.parts import Samples, WeightFile
from refsim.model import InputSpec, Linear, Network, Neuron, Spiking
from refsim.reference.network import simulate
from refsim.runs.recorder import Recorder
from refsim.runs.recording import read_result
from refsim.runs.run import run
from refsim.runs.sink import Sink
from tests.simulation.networks import raw_images, small_network
from tests.simulation.test_parallel import assert_same

T, N = 4, 7
LABELS = np.arange(N) % 5


def record(path: Path, network: Network, labels: np.ndarray | None = LABELS, batch: int = 3) -> Result:
    images = InputCurrents(network.input, raw_images(N), labels)
    plan = compile_network(network)
    with Recorder(
        path, plan=plan, T=T, n_images=N, labels=labels, what=("n", "v", "spikes"), attributes={"name": "small"}
    ) as recorder:
        return run_snn(
            plan,
            images,
            np.arange(N),
            T,
            batch=batch,
            record=("n", "v", "spikes"),
            on_batch=recorder.write,
        )


@pytest.mark.parametrize("dual", [False, True])
def test_reading_a_recording_back_gives_the_result_of_the_run(tmp_path: Path, dual: bool) -> None:
    expected = record(tmp_path / "out.h5", small_network(dual))
    assert_same(read_result(tmp_path / "out.h5"), expected)


def test_a_recording_without_labels_reads_back(tmp_path: Path) -> None:
    expected = record(tmp_path / "out.h5", small_network(), labels=None)
    assert_same(read_result(tmp_path / "out.h5"), expected)


@pytest.mark.parametrize("dual", [False, True])
def test_every_array_of_a_recording_is_what_the_specification_did(tmp_path: Path, dual: bool) -> None:
    network = small_network(dual)
    record(tmp_path / "out.h5", network)
    expected = simulate(network, network.input.normalize(raw_images(N)), T)
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["logits"], expected.logits)
        for name, spikes in expected.spikes.items():
            group = file["layers"][name]
            np.testing.assert_array_equal(group["counts_pos"], (spikes > 0).reshape(T, N, -1).sum(axis=2))
            np.testing.assert_array_equal(group["counts_neg"], (spikes < 0).reshape(T, N, -1).sum(axis=2))
            np.testing.assert_array_equal(group["n"], spikes.sum(axis=0, dtype=int))
            np.testing.assert_array_equal(group["v"], expected.v[name])
            replayed = np.zeros((T, N, spikes[0, 0].size), dtype=int)
            events = group["spikes"]
            replayed[events["t"][:] - 1, events["image"][:], events["neuron"][:]] = events["sign"][:]
            np.testing.assert_array_equal(replayed, spikes.reshape(T, N, -1))


def test_the_same_recording_comes_from_any_batch(tmp_path: Path) -> None:
    for batch in (1, 3, 7):
        record(tmp_path / f"{batch}.h5", small_network(dual=True), batch=batch)
    with (
        h5py.File(tmp_path / "1.h5") as one,
        h5py.File(tmp_path / "3.h5") as three,
        h5py.File(tmp_path / "7.h5") as all_,
    ):

        def compare(name: str, item: h5py.Dataset | h5py.Group) -> None:
            if isinstance(item, h5py.Dataset):
                np.testing.assert_array_equal(item, three[name], err_msg=name)
                np.testing.assert_array_equal(item, all_[name], err_msg=name)

        one.visititems(compare)


def test_a_run_that_fails_leaves_no_file_behind(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        Recorder(
            tmp_path / "out.h5",
            plan=compile_network(small_network()),
            T=T,
            n_images=N,
            labels=None,
            what=("n",),
            attributes={},
        ),
    ):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(FormatError, match=r"text\.h5: not a complete recording"):
        read_result(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["format"] = "other"
    with pytest.raises(FormatError, match="not a recording of refsim"):
        read_result(tmp_path / "other.h5")


def test_names_of_layers_may_look_like_arrows_and_paths(tmp_path: Path) -> None:
    from dataclasses import replace

    network = small_network()
    names = {"if1": "s->t", "if2": "a/b%2F"}
    layers = [
        replace(
            layer,
            name=names.get(layer.name, layer.name),
            inputs=tuple(names.get(name, name) for name in layer.inputs),
        )
        for layer in network.layers
    ]
    samples = Samples(images=raw_images(3), labels=np.zeros(3, np.int64))
    file = WeightFile(network=replace(network, layers=tuple(layers)), samples=samples, golden=(), sha256="0" * 64)
    done = run(file, T=2, recording=tmp_path / "r.h5", record=("n",))
    again = read_result(tmp_path / "r.h5")
    assert again.populations.keys() == done.layers.keys() >= set(names.values())
    assert again.ops.keys() == done.only.result.ops.keys()
    for key, ops in again.ops.items():
        assert ops.unit.tolist() == done.only.result.ops[key].unit.tolist()


def disk_of(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files written by position grow to `size` bytes and no further, half-written as on a real disk."""
    real = os.pwrite

    def pwrite(fd: int, data: memoryview, offset: int) -> int:
        if offset + len(data) <= size:
            return real(fd, data, offset)
        if offset >= size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data[: size - offset], offset)

    monkeypatch.setattr(os, "pwrite", pwrite)


@pytest.mark.parametrize("size", [0, 1, 95, 96, 2_000, 20_000, 500_000, 2_000_000, 2_640_000])
def test_a_full_disk_is_one_error_that_names_the_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    path = tmp_path / "out.h5"
    disk_of(size, monkeypatch)
    with pytest.raises(OSError, match="No space left") as caught:
        record(path, small_network())
    assert caught.value.filename == str(path)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    record(path, small_network())
    # The sizes above stop the writing at its beginning, in its middle and near its end.
    assert size < path.stat().st_size < 3_000_000


def test_after_an_error_the_library_reads_what_it_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libhdf5 must not meet its own metadata damaged when it closes the file."""
    rng = np.random.default_rng(5)
    disk_of(20_000, monkeypatch)
    with (tmp_path / "a").open("w+b") as file:
        sink, expected = Sink(file), bytearray(60_000)
        for _ in range(300):
            at, n = int(rng.integers(50_000)), int(rng.integers(1, 9_000))
            data = rng.bytes(n)
            sink.seek(at)
            assert sink.write(memoryview(data)) == n
            expected[at : at + n] = data
            at, n = int(rng.integers(50_000)), int(rng.integers(1, 9_000))
            sink.seek(at)
            assert sink.read(n) == expected[at : at + n]
    assert sink.error is not None
    with pytest.raises(OSError, match="No space left"):
        sink.check()


def test_a_file_of_the_user_s_with_a_name_like_ours_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out.h5.part").write_text("mine")
    record(tmp_path / "out.h5", small_network())
    assert (tmp_path / "out.h5.part").read_text() == "mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.h5", "out.h5.part"]


def test_a_recording_replaces_what_a_link_leads_to_and_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "real.h5").touch(mode=0o600)
    (tmp_path / "link.h5").symlink_to("real.h5")
    record(tmp_path / "link.h5", small_network())
    assert (tmp_path / "link.h5").is_symlink()
    assert (tmp_path / "real.h5").stat().st_mode & 0o777 == 0o600
    assert read_result(tmp_path / "real.h5").n_images == N


def test_two_runs_to_one_file_are_one_line_for_the_second(tmp_path: Path) -> None:
    plan = compile_network(small_network())
    about = {"plan": plan, "T": T, "n_images": N, "labels": LABELS, "what": (), "attributes": {"name": "small"}}
    refused = pytest.raises(UsageError, match=r"out\.h5: another run is writing it; choose another name")
    with Recorder(tmp_path / "out.h5", **about), refused:
        Recorder(tmp_path / "out.h5", **about)
    (tmp_path / "out.h5").unlink()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [0, 5_000, 30_000])
def test_a_limit_on_file_sizes_is_one_line_of_the_command(tmp_path: Path, size: int) -> None:
    """In a process of its own, since the limit holds for all of it; a crash inside libhdf5 would be a signal."""
    script = (
        "import resource, sys; from refsim.cli import main; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY)); main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, "run", "--neuron", "if", "--limit", "4", "-q", "-o", "a.h5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "refsim: a.h5: File too large\n")


ARCHIVE = Path(__file__).parent.parent / "data" / "archives" / "recording-v1.h5"


def test_a_recording_of_version_1_is_still_read() -> None:
    """Made by refsim 0.2: the small network, dual, T = 2, 3 images; its datasets were copied without chunks."""
    network = small_network(dual=True)
    expected = run_snn(
        compile_network(network), InputCurrents(network.input, raw_images(3), np.arange(3)), np.arange(3), 2
    )
    assert_same(read_result(ARCHIVE), expected)


def test_a_recording_of_a_later_version_is_refused(tmp_path: Path) -> None:
    record(tmp_path / "out.h5", small_network())
    with h5py.File(tmp_path / "out.h5", "a") as file:
        file.attrs["version"] = 3
    with pytest.raises(FormatError, match=r"a recording of version 3; this refsim reads up to 2"):
        read_result(tmp_path / "out.h5")


@pytest.fixture(scope="module")
def small_file() -> WeightFile:
    samples = Samples(images=raw_images(5), labels=np.arange(5, dtype=np.int64))
    return WeightFile(network=small_network(dual=True), samples=samples, golden=(), sha256="0" * 64)


@pytest.mark.parametrize("dtype", ["exact", "float32", "int8"])
def test_a_recording_says_what_its_numbers_are(tmp_path: Path, small_file: WeightFile, dtype: str) -> None:
    run(small_file, T=3, dtype=dtype, recording=tmp_path / "r.h5", record=("spikes", "v"))
    plan = compile_network(small_file.network, dtype)
    with h5py.File(tmp_path / "r.h5") as file:
        assert (file.attrs["version"], file.attrs["dtype"], file.attrs["t_first"]) == (2, dtype, 1)
        assert "row-major" in file.attrs["neuron_order"]
        for each in small_file.network.spiking:
            group = file["layers"][each.name]
            assert tuple(group.attrs["shape"]) == small_file.network.shapes[each.name]
            for key in ("theta", "v0", "theta_neg"):
                np.testing.assert_array_equal(group.attrs[key], getattr(each.neuron, key))
            assert ("unit" in group.attrs) == (dtype == "int8")
        if dtype == "int8":
            for population in plan.populations[:-1]:
                group = file["layers"][population.name]
                units = group["v"][:] / group.attrs["unit"].reshape(-1, 1, 1)
                np.testing.assert_array_equal(units, np.rint(units))


def test_parameters_of_every_neuron_fit_into_a_recording(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    theta = rng.uniform(0.5, 1, (8, 48, 48))  # 147 KB: more than HDF5 keeps in an object's header
    network = Network(
        name="many",
        input=InputSpec(shape=(8, 48, 48)),
        layers=(
            Spiking(name="s", inputs=("input",), neuron=Neuron(theta=theta, v0=theta / 2)),
            Linear(name="fc", inputs=("s",), weight=rng.normal(size=(2, theta.size)), bias=np.zeros(2)),
        ),
    )
    file = WeightFile(network=network, samples=None, golden=(), sha256="0" * 64)
    run(file, rng.normal(size=(2, 8, 48, 48)), T=2, recording=tmp_path / "r.h5", record=("v",))
    with h5py.File(tmp_path / "r.h5") as recorded:
        np.testing.assert_array_equal(recorded["layers/s"].attrs["theta"], theta)


@pytest.mark.parametrize("dtype", ["exact", "int8"])
def test_only_what_is_selected_is_kept(tmp_path: Path, small_file: WeightFile, dtype: str) -> None:
    what = ("spikes", "n", "v")
    run(small_file, T=4, dtype=dtype, recording=tmp_path / "all.h5", record=what)
    select = ["if1:0,5,7-9@1,3", "2@2-4", "if3:23"]
    done = run(small_file, T=4, dtype=dtype, recording=tmp_path / "some.h5", record=what, select=select)
    assert done.only.recorded is None
    runs = {t: run(small_file, T=t, dtype=dtype, record=("v",)).recorded for t in range(1, 5)}
    expected = {
        "if1": ([0, 5, 7, 8, 9], [1, 3]),
        "if2": (None, [2, 3, 4]),
        "if3": ([23], None),
    }
    with h5py.File(tmp_path / "all.h5") as whole, h5py.File(tmp_path / "some.h5") as some:
        np.testing.assert_array_equal(some["logits"], whole["logits"])
        for name, (neurons, steps) in expected.items():
            ours, theirs = some["layers"][name], whole["layers"][name]
            chosen = slice(None) if neurons is None else neurons
            for key in ("n", "v"):
                flat = theirs[key][:].reshape(5, -1)[:, chosen]
                np.testing.assert_array_equal(ours[key][:].reshape(5, -1), flat)
            assert ("neurons" in ours) == (neurons is not None)
            events = np.stack([theirs["spikes"][key][:] for key in ("image", "t", "neuron", "sign")], axis=1)
            kept = np.ones(len(events), dtype=bool)
            kept &= neurons is None or np.isin(events[:, 2], neurons)
            kept &= steps is None or np.isin(events[:, 1], steps)
            actual = np.stack([ours["spikes"][key][:] for key in ("image", "t", "neuron", "sign")], axis=1)
            np.testing.assert_array_equal(actual, events[kept])
            if steps is None:
                assert "v_steps" not in ours
                continue
            assert ours["steps"][:].tolist() == steps
            for i, t in enumerate(steps):
                flat = runs[t][name].v.reshape(5, -1)[:, chosen]
                np.testing.assert_array_equal(ours["v_steps"][i].reshape(5, -1), flat)
    assert_same(read_result(tmp_path / "some.h5"), read_result(tmp_path / "all.h5"))


def test_layers_that_are_not_selected_have_their_counts_alone(tmp_path: Path, small_file: WeightFile) -> None:
    run(small_file, T=2, recording=tmp_path / "r.h5", record=("spikes", "v"), select=["if2:0"])
    with h5py.File(tmp_path / "r.h5") as file:
        assert set(file["layers/if1"]) == {"counts_pos", "counts_neg", "reached", "recomputed"}


@pytest.mark.parametrize(
    ("select", "message"),
    [
        (["if9"], "'if9' is not one of counts, n, v, spikes, and no spiking layer 'if9'"),
        (["if1:288"], "layer 'if1' has no neuron 288; there are 0 to 287"),
        (["if1@0"], "the run has no step 0; there are 1 to 4"),
        (["if1@5"], "the run has no step 5"),
        (["if1:9-7"], "'9-7' is empty"),
        (["if1", "1:3"], "layer 'if1' is selected twice"),
        ([""], "'' selects nothing"),
        ("if1", "select is a list"),
    ],
)
def test_a_selection_of_what_there_is_not_is_one_line(
    tmp_path: Path, small_file: WeightFile, select: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(small_file, T=4, recording=tmp_path / "r.h5", record=("v",), select=select)
    assert not list(tmp_path.iterdir())
