"""The readers of untrusted bytes, each with files to begin from."""

from __future__ import annotations

import gzip
import io
import pickle
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from refsim.analysis.energy import find_energy_model
from refsim.formats.images.currents import strided
from refsim.formats.images.datasets import open_data
from refsim.formats.untrusted.content import DIGEST_KEY
from refsim.formats.weights import hdf5
from refsim.formats.weights.encode import encode
from refsim.formats.weights.hdf5 import load
from refsim.importers.architectures import to_network
from refsim.importers.checkpoint import load_checkpoint
from refsim.importers.options import ImportOptions, Pool
from refsim.importers.parameters import NeuronChoice
from refsim.importers.vgg import is_vgg
from refsim.reports.run import SnnRun
from refsim.runs.runner import check_result
from refsim.runs.store.directory import RunDirectory
from refsim.runs.store.merge import Parts
from refsim.runs.store.rows import Columns
from tests.formats.campaign import image_files, old_bytes
from tests.formats.support import in_process, tiny_bytes
from tests.fuzz import mutators
from tests.fuzz.mutators import Mutator
from tests.fuzz.oracle import Read
from tests.importers import pickles, sources
from tests.simulation.networks import small_network
from tests.store.support import ABOUT, batch_of, spec_of

IMAGES = np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3)
LABELS = np.arange(6)
FEW = 64
"""Images that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A reader.

    file
        Name of the file the bytes are put into.
    seeds
        Good files, small ones.
    mutate
        Repairs checksums behind a mutation, which would otherwise all end there; None: bytes as they come.
    contained
        Whether refsim leaves this to a child process, so that a signal may end it.
    """

    file: str
    read: Read
    seeds: Callable[[], list[bytes]]
    mutate: Mutator | None = None
    contained: bool = False


def read_weights(path: Path) -> None:
    """A weight file whose digest is believed: almost nobody guesses one, and what lies behind must hold too."""
    with in_process(), patch.object(hdf5, "content_sha256", lambda content: content["/"].attrs.get(DIGEST_KEY)):
        file = load(path)
    encode(file.network, file.samples, file.golden)


def read_data(path: Path) -> None:
    """An image set, and its images."""
    with in_process():
        data = open_data(path)
    rows = data.strided(FEW)
    images = data.images[rows]
    assert images.shape == (len(rows), *data.images.shape)
    assert images.dtype == (np.uint8 if data.is_raw else np.float64)
    assert data.labels is None or (data.labels.dtype == np.int64 and len(data.labels) == len(data))
    assert len(data.digest(np.arange(len(data)))) == 64


def read_checkpoint(path: Path) -> None:
    """A checkpoint, and the network it may be."""
    checkpoint = load_checkpoint(path)
    assert all(isinstance(value, np.ndarray) for value in checkpoint.tensors.values())
    trained = any(name.endswith((".thresh", ".up")) for name in checkpoint.tensors)
    choice = NeuronChoice(L=4 if trained else None)
    pool: Pool | None = "avg" if is_vgg(checkpoint.tensors) else None
    to_network(checkpoint, ImportOptions(choice=choice, shape=(3, 2, 2), mean=(0.5,) * 3, std=(1.0,) * 3, pool=pool))


def read_run(path: Path) -> None:
    """A part of a run, as `refsim merge` reads it, and as `--resume` goes on with it."""
    with closing(Parts([path.parent])) as parts:
        images = strided(parts.spec.images, parts.spec.limit)
        result = parts.result("if", images)
    check_result("if", small_network(), parts.spec.T, result)
    SnnRun(network=small_network(), result=result, model=find_energy_model("qcfs2022"), dtype="float64").to_json()


def read_resumed_run(path: Path) -> None:
    """A run directory with which `--resume` goes on."""
    with RunDirectory(path.parent, spec_of(), np.arange(8), about=ABOUT, resume=True) as run:
        left = run.pending("if")
        if len(left):
            run.commit("if", batch_of(*left.tolist()))
        run.result("if")


@cache
def checkpoints(write: Callable[[Path, Any], Path]) -> list[bytes]:
    """Tiny networks in the layouts of the official code, and odd tensors."""
    rng = np.random.default_rng(1)
    states = [
        sources.random_vgg(rng, [[2]], side=2, head=[3]),
        {"a.weight": np.arange(6, dtype="f4").reshape(2, 3), "n": np.array(5), "h": np.array([[1.5]], np.float16)},
    ]
    return [_written(lambda path, state=state: write(path, state)) for state in states]


def _written(write: Callable[[Path], Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "file")
        return (Path(folder) / "file").read_bytes()


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _idx(array: Any) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def _cifar(key: Any, protocol: int) -> bytes:
    pixels = np.zeros((2, 3072), np.uint8)
    return pickle.dumps({key("data"): pixels, key("labels"): [3, 1], key("batch_label"): key("x")}, protocol)


@cache
def runs() -> list[bytes]:
    """The database of a finished run, with the layers of `small_network`."""
    network = small_network()
    names = tuple(layer.name for layer in network.spiking)
    layout = Columns(T=2, populations=names, projections=(("input", names[0]),))
    with tempfile.TemporaryDirectory() as folder:
        with RunDirectory(Path(folder), spec_of(), np.arange(8), about=ABOUT) as store:
            for images in ((0, 1, 2, 3, 4), (5, 6, 7)):
                store.commit("if", batch_of(*images, layout=layout))
        return [(Path(folder) / "run.db").read_bytes()]


TARGETS = {
    "weights": Target(
        file="net.h5",
        read=read_weights,
        seeds=lambda: [tiny_bytes(), old_bytes()],
        mutate=mutators.hdf5,
        contained=True,
    ),
    "torch-zip": Target(
        file="net.pth", read=read_checkpoint, seeds=lambda: checkpoints(pickles.write_pth), mutate=mutators.zip_members
    ),
    "torch-legacy": Target(file="net.th", read=read_checkpoint, seeds=lambda: checkpoints(pickles.write_legacy)),
    "safetensors": Target(
        file="net.safetensors", read=read_checkpoint, seeds=lambda: checkpoints(pickles.write_safetensors)
    ),
    "npz": Target(
        file="a.npz",
        read=read_data,
        seeds=lambda: [_npz(x=IMAGES, y=LABELS), _npz(images=IMAGES / 3)],
        mutate=mutators.zip_members,
    ),
    "npy": Target(
        file="a.npy", read=read_data, seeds=lambda: [_npy(IMAGES), _npy(np.asfortranarray(IMAGES)), _npy(IMAGES / 3)]
    ),
    "idx": Target(file="t10k-images-idx3-ubyte", read=read_data, seeds=lambda: [_idx(IMAGES[..., 0])]),
    "idx-gzip": Target(
        file="t10k-images-idx3-ubyte.gz",
        read=read_data,
        seeds=lambda: [gzip.compress(_idx(IMAGES[..., 0]), mtime=0)],
        mutate=mutators.gzip_content,
    ),
    "cifar-pickle": Target(
        file="test_batch",
        read=read_data,
        seeds=lambda: [_cifar(key, protocol) for key in (str, str.encode) for protocol in (0, 2, 3, 5)],
    ),
    "cifar-binary": Target(file="test_batch.bin", read=read_data, seeds=lambda: [bytes(3073), bytes(2 * 3074)]),
    "hdf5-images": Target(
        file="a.h5", read=read_data, seeds=lambda: list(image_files()), mutate=mutators.hdf5, contained=True
    ),
    "run-merge": Target(file="run.db", read=read_run, seeds=runs, mutate=mutators.sqlite_cells),
    "run-resume": Target(file="run.db", read=read_resumed_run, seeds=runs, mutate=mutators.sqlite_cells),
}
