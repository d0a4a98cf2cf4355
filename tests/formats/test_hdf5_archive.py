"""Files of every version stay readable, and docs/format.md alone is enough to read one."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import refsim
from refsim.formats.weights.encode import version_of
from refsim.formats.weights.hdf5 import load, save, sealed
from refsim.model import LAYER_KINDS, Activation, MaxPool2d
from refsim.reference.network import forward, simulate

from .support import assert_same, tiny_network

ARCHIVES = Path(__file__).parent.parent / "data" / "archives"
V1_0, V1_1 = ARCHIVES / "v1.0.h5", ARCHIVES / "v1.1.h5"
SHA256 = "421a044880ab91934b68e27d6d735b8c028b2e9c656cb4b464bd04bd04d61138"


def test_the_archived_file_of_version_1_0_gives_the_recorded_values() -> None:
    file = load(V1_0)
    network = file.network
    assert file.sha256 == SHA256
    assert file.warnings == ()
    assert network.name == "archive 1.0"
    assert network.classes == ("cat", "dog", "Frosch \N{FROG FACE}")
    assert network.metadata["license"] == "CC0-1.0"
    assert {layer.kind for layer in network.layers} == set(LAYER_KINDS) - {"max_pool2d"}
    first, second = network.by_name["layer1.0"], network.by_name["block.act"]
    assert first.weight[1, 0].tolist() == [[0.0, -0.6875, -0.75], [-0.1875, 0.375, -0.1875], [0.6875, -1.0, -0.125]]
    assert second.neuron.theta.tolist() == [1.0, 2.0, 0.5, 1.0]
    assert second.neuron.v0[3, 5].tolist() == [0.5, 0.25, 0.5, 0.5, 0.25, 0.5]
    assert second.neuron.gate == "gross"
    assert second.neuron.activation.L is None
    assert file.samples.images[3, 0, :, 0].tolist() == [119, 163, 122, 70, 255, 89]
    assert [each.neuron for each in file.golden] == ["if", "dual"]
    assert [sum(int(n.sum()) for n in each.counts_pos.values()) for each in file.golden] == [1531, 1148]
    assert file.golden[1].counts_neg["block.act"].sum() == 16


def test_the_archived_file_of_version_1_1_gives_the_recorded_values() -> None:
    file = load(V1_1)
    assert file.warnings == ()
    pools = [layer for layer in file.network.layers if isinstance(layer, MaxPool2d)]
    assert [pool.mode for pool in pools] == ["or", "or", "cumulative"]
    first, _, last = pools
    assert (first.kernel, first.stride, first.padding, first.dilation) == ((2, 1), (1, 1), (0, 0), (1, 1))
    assert (last.kernel, last.stride, last.padding, last.dilation) == ((3, 2), (2, 2), (1, 0), (1, 2))
    assert [sum(int(n.sum()) for n in each.counts_pos.values()) for each in file.golden] == [1238, 918]
    assert file.golden[1].counts_neg["if2"].sum() == 35
    assert file.sha256 == "6036b72ef9d65e416d76de3f00a67ef91200b829966b012ce070f591d33b0484"


def test_every_kind_of_layer_is_in_some_archived_file() -> None:
    kinds = {layer.kind for path in ARCHIVES.glob("v*.h5") for layer in load(path).network.layers}
    assert kinds == set(LAYER_KINDS)


@pytest.mark.parametrize("path", [V1_0, V1_1], ids=lambda path: path.name)
def test_a_file_says_the_oldest_version_that_can_hold_it(path: Path, tmp_path: Path) -> None:
    file = load(path)
    save(tmp_path / "again.h5", file.network, samples=file.samples, golden=file.golden)
    with h5py.File(tmp_path / "again.h5") as again:
        assert f"v{again.attrs['format_version'].decode()}.h5" == path.name


@pytest.mark.parametrize("path", [V1_0, V1_1], ids=lambda path: path.name)
def test_the_specification_still_computes_what_the_archived_file_expects(path: Path) -> None:
    file = load(path)
    for golden in file.golden:
        neurons = {each.name: getattr(each.neuron, f"as_{golden.neuron}")() for each in file.network.spiking}
        images = file.samples.images[: golden.logits.shape[1]]
        done = simulate(file.network.with_neurons(neurons), file.network.input.normalize(images), golden.T)
        assert_same(done.logits, golden.logits)
        for name, spikes in done.spikes.items():
            assert_same((spikes > 0).sum(axis=(2, 3, 4)), golden.counts_pos[name])
            assert_same((spikes < 0).sum(axis=(2, 3, 4)), golden.counts_neg[name])


@pytest.mark.parametrize("path", [V1_0, V1_1], ids=lambda path: path.name)
def test_the_archived_file_is_what_its_script_makes(path: Path, tmp_path: Path) -> None:
    script = ARCHIVES / f"make_{path.stem.replace('.', '_')}.py"
    (tmp_path / script.name).write_text(script.read_text())
    root = Path(__file__).parent.parent.parent
    subprocess.run([sys.executable, tmp_path / script.name], check=True, env={"PYTHONPATH": str(root)})
    assert load(tmp_path / path.name).sha256 == load(path).sha256


def test_the_digest_can_be_computed_from_the_document_alone() -> None:
    # Written from section 7 of docs/format.md, with h5py's high-level interface and nothing of refsim.
    digest = hashlib.sha256(b"refsim-network content 1\n")

    def feed(piece: bytes) -> None:
        digest.update(struct.pack("<Q", len(piece)) + piece)

    def feed_array(value: Any, widen: bool) -> None:
        array = np.asarray(value)
        if array.dtype.kind in "SO":
            feed(b"utf8")
            feed(np.array(array.shape, "<i8").tobytes())
            for item in array.ravel().tolist():
                feed(item)
            return
        if widen:
            array = array.astype("f8" if array.dtype.kind == "f" else "i8")
        feed(f"{array.dtype.kind}{array.dtype.itemsize}".encode())
        feed(np.array(array.shape, "<i8").tobytes())
        feed(array.astype(array.dtype.newbyteorder("<")).tobytes())

    with h5py.File(V1_0) as file:
        objects = {"/": file}
        file.visititems(lambda name, item: objects.__setitem__(f"/{name}", item))
        for path in sorted(objects, key=str.encode):
            item = objects[path]
            feed(path.encode())
            feed(b"dataset" if isinstance(item, h5py.Dataset) else b"group")
            if isinstance(item, h5py.Dataset):
                feed_array(item[()], widen=False)
            keys = sorted((key for key in item.attrs if key != "content_sha256"), key=str.encode)
            feed(struct.pack("<Q", len(keys)))
            for key in keys:
                feed(key.encode())
                feed_array(item.attrs[key], widen=True)
        assert digest.hexdigest() == file.attrs["content_sha256"].decode()


def test_a_clipped_relu_makes_a_file_of_version_1_1_that_comes_back() -> None:
    clipped = Activation(lambda_=2.0, L=None, clipped=True)
    network = tiny_network()
    neuron = replace(network.spiking[0].neuron, activation=clipped)
    network = network.with_neurons({network.spiking[0].name: neuron})
    file = sealed(network)
    assert version_of(network) == "1.1"
    assert file.network.spiking[0].neuron.activation == clipped
    x = np.linspace(-3, 3, 2 * 4 * 4).reshape(1, 2, 4, 4)
    expected = forward(network, x)
    assert expected["layer1.2"].max() == 2.0
    actual = refsim.forward(refsim.compile_network(file.network, fold=False), x, record=True)
    assert np.array_equal(actual.a["layer1.2"], expected["layer1.2"])
