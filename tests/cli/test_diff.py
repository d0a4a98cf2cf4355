"""`refsim diff`: equal is equal, the first difference is the first, and a wrong simulator is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import refsim as front
from refsim.exceptions import FormatError, UsageError
from refsim.formats.weights.hdf5 import load, save
from refsim.formats.weights.parts import Samples, WeightFile
from refsim.model import Add, AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Spiking
from refsim.reference.network import simulate
from refsim.reference.synapses import avg_pool2d, conv2d, linear
from tests.cli.conftest import Call
from tests.simulation.networks import raw_images, small_network

T, N = 4, 6
WRONG = ("comparison", "reset", "v0", "delay", "bias", "transposed")


def foreign_spikes(network: Network, x: np.ndarray, wrong: str = "", where: str = "") -> dict[str, np.ndarray]:
    """Another simulator, dense and simple, with one mistake in all layers (or, of weights, in the one named)."""
    v = {layer.name: np.zeros((len(x), *network.shapes[layer.name])) for layer in network.spiking}
    for layer in network.spiking:
        v[layer.name] += layer.neuron.v0 * (wrong != "v0")
    before = {layer.name: np.zeros((len(x), *network.shapes[layer.name])) for layer in network.spiking}
    log: dict[str, list[np.ndarray]] = {layer.name: [] for layer in network.spiking}
    for _ in range(T):
        now: dict[str, np.ndarray] = {"input": x}
        for layer in network.layers:
            read = [before[name] if wrong == "delay" and name in before else now[name] for name in layer.inputs]
            match layer:
                case Conv2d():
                    weight, bias = layer.effective_weight(), layer.bias * (wrong != "bias")
                    weight = weight.swapaxes(2, 3) if wrong == "transposed" and layer.name == where else weight
                    now[layer.name] = conv2d(read[0], weight, bias, layer.stride, layer.padding)
                case Linear():
                    now[layer.name] = linear(read[0], layer.effective_weight(), layer.bias)
                case AvgPool2d():
                    now[layer.name] = avg_pool2d(read[0], layer.kernel, layer.stride)
                case Add():
                    now[layer.name] = read[0] + read[1]
                case Flatten():
                    now[layer.name] = read[0].reshape(len(x), -1)
                case Spiking():
                    theta = float(layer.neuron.theta)
                    m = v[layer.name] + read[0]
                    s = (m > theta if wrong == "comparison" else m >= theta).astype(np.int8)
                    v[layer.name] = m * (1 - s) if wrong == "reset" else m - theta * s
                    now[layer.name] = s * theta
                    log[layer.name].append(s)
        before = {name: now[name] for name in before}
    return {name: np.stack(steps) for name, steps in log.items()}


def write(path: Path, spikes: dict[str, np.ndarray]) -> Path:
    """A list of spikes as .npz, .h5 or .csv."""
    rows = [
        (name, t + 1, k, int(each[t, i].ravel()[k]), i)
        for name, each in spikes.items()
        for t, i in np.ndindex(each.shape[:2])
        for k in np.flatnonzero(each[t, i])
    ]
    columns = dict(zip(("layer", "t", "neuron", "sign", "image"), zip(*rows)))
    if path.suffix == ".npz":
        np.savez(path, **{key: np.array(values) for key, values in columns.items()})
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for key, values in columns.items():
                file[key] = list(values)
    else:
        path.write_text("layer,t,neuron,sign,image\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def file() -> WeightFile:
    """The small network, whose weights, thresholds and images lie on one grid, so that potentials meet thresholds."""
    network = replace(small_network(), input=InputSpec(shape=(3, 6, 6), scale=1 / 8))
    samples = Samples(images=raw_images(N) // 16, labels=np.zeros(N, dtype=np.int64))
    return WeightFile(network=network, samples=samples, golden=(), sha256="0" * 64)


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".csv"])
def test_a_simulator_that_is_right_is_equal(tmp_path: Path, file: WeightFile, suffix: str) -> None:
    x = front.open_images(file).currents()
    spikes = foreign_spikes(file.network, x)
    expected = simulate(file.network, x, T)
    for name, each in expected.spikes.items():
        np.testing.assert_array_equal(spikes[name], each)
    done = front.diff(file, write(tmp_path / f"foreign{suffix}", spikes), explain=True)
    assert done.equal
    assert (done.T, done.n_images, done.by_neuron, done.suspects) == (T, N, True, ())
    assert [each.n_a for each in done.layers] == [int(each.sum()) for each in expected.spikes.values()]


@pytest.mark.parametrize("dtype", ["exact", "int16"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_simulator_that_is_wrong_is_named(tmp_path: Path, file: WeightFile, wrong: str, dtype: str) -> None:
    x = front.open_images(file).currents()
    spikes = foreign_spikes(file.network, x, wrong, where="conv2")
    expected = simulate(file.network, x, T).spikes
    done = front.diff(file, write(tmp_path / "wrong.csv", spikes), explain=True, dtype=dtype)
    layer = next(name for name in expected if (spikes[name] != expected[name]).any())
    t, image, *place = (int(i) for i in np.argwhere(spikes[layer] != expected[layer])[0])
    assert done.first is not None
    assert (done.first.layer, done.first.t, done.first.image) == (layer, t + 1, image)
    assert done.first.neuron == np.ravel_multi_index(place, expected[layer].shape[2:])
    assert done.first.a - done.first.b == int(expected[layer][t, image][tuple(place)]) - int(
        spikes[layer][t, image][tuple(place)]
    )
    assert done.explanation is not None
    assert done.explanation.kind == wrong
    for each in done.layers:
        assert each.differing.tolist() == [
            int((a != b).sum()) for a, b in zip(expected[each.layer], spikes[each.layer])
        ]


def test_what_no_usual_mistake_explains_is_not_explained(tmp_path: Path, file: WeightFile) -> None:
    spikes = foreign_spikes(file.network, front.open_images(file).currents())
    spikes["if2"][1, 2, 3, 4, 5] ^= 1
    done = front.diff(file, write(tmp_path / "odd.npz", spikes), explain=True)
    assert done.explanation is None
    assert min(each.left for each in done.suspects) > 0
    assert (done.first.layer, done.first.t, done.first.image, done.first.neuron) == ("if2", 2, 2, 3 * 36 + 4 * 6 + 5)


def test_the_margin_is_that_of_the_decision_and_ties_are_named(tmp_path: Path, file: WeightFile) -> None:
    spikes = foreign_spikes(file.network, front.open_images(file).currents(), "comparison")
    done = front.diff(file, write(tmp_path / "strict.npz", spikes))
    assert (done.decision.margin, done.decision.tie, done.decision.m) == (0.0, True, done.decision.theta)
    life = front.trace(file, layer=done.first.layer, at=done.first.neuron, image=done.first.image, T=T).life
    assert life.steps[done.first.t - 1].m == done.decision.m


def test_recordings_and_run_directories_are_compared(tmp_path: Path, file: WeightFile) -> None:
    for name, neuron in (("if", "if"), ("same", "if"), ("dual", "dual")):
        front.run(file, T=T, neuron=neuron, recording=tmp_path / f"{name}.h5", record=("spikes",))
        path = file.save(tmp_path / "small.weights.h5") and load(tmp_path / "small.weights.h5")
        front.run(path, T=T, neuron=neuron, keep=tmp_path / f"{name}.run")
    assert front.diff(tmp_path / "if.h5", tmp_path / "same.h5").equal
    assert front.diff(tmp_path / "if.run", tmp_path / "same.run").equal
    assert front.diff(tmp_path / "if.run", tmp_path / "if.h5").equal
    spikes = {
        kind: simulate(file.network.with_kind(kind), front.open_images(file).currents(), T).spikes
        for kind in ("if", "dual")
    }
    done = front.diff(tmp_path / "if.h5", tmp_path / "dual.h5", weights=file)
    for each in done.layers:
        assert int(each.differing.sum()) == int((spikes["if"][each.layer] != spikes["dual"][each.layer]).sum())
    coarse = front.diff(tmp_path / "if.run", tmp_path / "dual.run")
    assert not coarse.by_neuron
    assert coarse.first.neuron is None
    assert coarse.first.layer == done.first.layer
    assert front.diff(file, tmp_path / "dual.h5").equal, "the network is simulated as the recording was"


def test_golden_vectors_are_compared(tmp_path: Path, file: WeightFile) -> None:
    front.export_golden(file, tmp_path / "g", T=3, limit=3, neuron="dual", formats=["npz", "csv"])
    assert front.diff(file, tmp_path / "g").equal
    assert not front.diff(file, tmp_path / "g", neuron="if").equal
    csv = tmp_path / "g" / "events.csv"
    assert front.diff(file, csv, T=3, limit=3, neuron="dual", dtype="int8").equal


def test_layers_may_be_numbers_and_some_of_them(tmp_path: Path, file: WeightFile) -> None:
    spikes = foreign_spikes(file.network, front.open_images(file).currents())
    numbered = write(tmp_path / "numbers.csv", {str(i): each for i, each in enumerate(spikes.values(), start=1)})
    assert front.diff(file, numbered).equal
    one = write(tmp_path / "one.csv", {"if2": spikes["if2"]})
    assert front.diff(file, one, layers=["if2"]).equal
    assert front.diff(file, one).first.layer == "if1", "a layer that is not named was silent"


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.csv", "layer,t\nif1,1\n", FormatError, "has no column 'neuron'"),
        ("a.csv", "layer,t,neuron\nif1,1,x\n", FormatError, "column 'neuron' is not complete"),
        ("a.csv", "layer,t,neuron\nif1,0,1\n", FormatError, "t is counted from 1, got 0"),
        ("a.csv", "layer,t,neuron,sign\nif1,1,1,2\n", FormatError, "sign must be -1 or 1, got 2"),
        ("a.csv", "layer,t,neuron\nconv1,1,1\n", UsageError, "layer 'conv1' is none of if1, if2, if3"),
        ("a.csv", "layer,t,neuron,image\nif1,1,1,6\n", UsageError, "ran image 6; there are 6 images"),
        ("a.npz", "no", FormatError, "not an npz archive"),
    ],
)
def test_other_files_are_refused_in_one_line(
    tmp_path: Path, file: WeightFile, name: str, content: str, error: type[Exception], message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=message):
        front.diff(file, tmp_path / name)


def test_the_command_prints_it_and_exits_with_4(refsim: Call, weights: Path, tmp_path: Path) -> None:
    same = refsim("diff", weights, weights, "-T", "3")
    assert same.code == 0
    assert "equal" in same.out
    loaded = load(weights)
    other = tmp_path / "other.h5"
    neurons = {layer.name: replace(layer.neuron, v0=np.array(0.0)) for layer in loaded.network.spiking}
    save(other, loaded.network.with_neurons(neurons), samples=loaded.samples)
    differs = refsim("diff", weights, other, "-T", "3", "--explain")
    assert differs.code == 4
    assert "explained (v0): b starts at v = 0" in differs.out
    assert "differ" in differs.err
    facts: dict[str, Any] = json.loads(refsim("diff", weights, other, "-T", "3", "--json").out)
    assert not facts["equal"]
    assert facts["first"]["layer"] == "if1"
    assert sum(map(sum, (each["differing"] for each in facts["layers"]))) > 0
