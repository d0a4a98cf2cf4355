"""Image sets in HDF5: the bytes HDF5 would have given, found by a child process and read without HDF5."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.exceptions import DataError
from refsim.formats.images import stored
from refsim.formats.images.datasets import open_data
from refsim.formats.images.stored import fletcher32, undo
from refsim.formats.untrusted import reader

from .support import in_process

IMAGES = np.random.default_rng(5).integers(0, 9, (23, 6, 5, 3), np.uint8)
LABELS = np.arange(23) % 7


def write(path: Path, **storage: Any) -> Path:
    images = storage.pop("images", IMAGES)
    with h5py.File(path, "w", libver=storage.pop("libver", None)) as file:
        file.create_dataset("images", data=images, **storage)
        file.create_dataset("labels", data=LABELS)
    return path


STORAGES: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunks of some images": {"chunks": (4, 6, 5, 3)},
    "chunks that cut images": {"chunks": (4, 4, 2, 2)},
    "one chunk": {"chunks": (23, 6, 5, 3)},
    "gzip": {"chunks": (4, 4, 5, 3), "compression": "gzip"},
    "fletcher32": {"chunks": (5, 6, 5, 3), "fletcher32": True},
    "all filters": {"chunks": (5, 6, 5, 3), "compression": 1, "shuffle": True, "fletcher32": True},
    "resizable": {"maxshape": (None, 6, 5, 3), "chunks": (3, 6, 5, 3)},
    "newest format": {"libver": "latest", "chunks": (3, 6, 5, 3)},
    "newest format, resizable": {"libver": "latest", "maxshape": (None, None, 5, 3), "chunks": (2, 6, 5, 3)},
    "float, shuffled": {"images": IMAGES.astype("<f4") / 7, "chunks": (5, 6, 5, 3), "compression": 4, "shuffle": True},
    "float, big-endian": {"images": IMAGES.astype(">f8") / 7},
    "half precision": {"images": IMAGES.astype("<f2"), "chunks": (4, 4, 2, 2), "shuffle": True},
}


@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
def test_every_way_of_storing_gives_what_hdf5_gives(storage: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", **storage)
    with h5py.File(path) as file:
        expected = file["images"][:]
    with in_process():
        data = open_data(path)
    for rows in (np.arange(23), np.array([22, 3, 4, 5, 3]), np.array([], dtype=np.int64)):
        actual = data.images[rows]
        np.testing.assert_array_equal(actual, expected[rows])
        assert actual.dtype == (np.uint8 if expected.dtype == np.uint8 else np.float64)
    np.testing.assert_array_equal(data.labels, LABELS)


def test_a_small_array_inside_its_header_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(IMAGES.shape)
        dataset = h5py.h5d.create(file.id, b"images", h5py.h5t.STD_U8LE, space, settings)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, IMAGES)
    np.testing.assert_array_equal(open_data(tmp_path / "a.h5").images[np.arange(23)], IMAGES)


def test_unpacked_chunks_are_kept_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked: list[int] = []

    def counting(*arguments: Any) -> Any:
        unpacked.append(1)
        return undo(*arguments)

    monkeypatch.setattr(stored, "undo", counting)
    path = write(tmp_path / "a.h5", chunks=(8, 6, 5, 3), compression="gzip")
    with in_process():
        images = open_data(path).images
        np.testing.assert_array_equal(np.concatenate([images[np.array([i])] for i in range(23)]), IMAGES)
        assert len(unpacked) == 3
        # Room for one chunk of three: going back and forth unpacks it again.
        monkeypatch.setattr(stored, "CACHE_BYTES", 8 * 90)
        images = open_data(path).images
        for _ in range(2):
            images[np.array([0, 8, 16])]
    assert len(unpacked) == 3 + 6


@given(st.binary(max_size=50), st.integers(1, 3000))
def test_the_checksum_is_fletcher32(data: bytes, times: int) -> None:
    # Step by step, as RFC 1146 and HDF5 describe it.
    data = data * times if len(data) * times < 20_000 else data
    low = high = 0
    for at in range(0, len(data), 2):
        word = data[at] << 8 | (data[at + 1] if at + 1 < len(data) else 0)
        low += word
        low = (low & 0xFFFF) + (low >> 16)
        high += low
        high = (high & 0xFFFF) + (high >> 16)
    assert fletcher32(data) == high << 16 | low


def change(path: Path, where: bytes, by: int = 1, offset: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(where) + offset] ^= by
    path.write_bytes(data)


def test_a_changed_byte_under_a_checksum_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", chunks=(5, 6, 5, 3), fletcher32=True)
    change(path, IMAGES[7].tobytes())
    images = open_data(path).images
    np.testing.assert_array_equal(images[np.arange(5)], IMAGES[:5])
    with pytest.raises(DataError, match=r"a\.h5:images: damaged HDF5 file \(chunk 1: the stored checksum does not"):
        images[np.array([5])]


def test_gzip_data_that_claims_more_than_a_chunk_is_not_unpacked(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("images", (4, 2, 2, 3), np.uint8, chunks=(4, 2, 2, 3), compression="gzip")
        bomb = __import__("zlib").compress(bytes(100_000))
        dataset.id.write_direct_chunk((0, 0, 0, 0), bomb)
    with pytest.raises(DataError, match=r"damaged HDF5 file \(chunk 0: 49 bytes instead of 48\)"):
        open_data(tmp_path / "a.h5").images[np.array([0])]


def make(tmp_path: Path, build: Callable[[h5py.File], Any]) -> Path:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        build(file)
    return tmp_path / "a.h5"


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda f: f.create_dataset("images", (9, 2, 2, 3), "u1", chunks=(2, 2, 2, 3)), "0 of 5 chunks are stored"),
        (lambda f: f.create_dataset("images", (9, 2, 2, 3), "u1"), "0 bytes are stored, shape .* needs 108"),
        (
            lambda f: f.create_dataset("images", data=IMAGES, compression="lzf"),
            r"stored with lzf; only shuffle, gzip, fletcher32 are read \(h5repack -f GZIP=1 changes it\)",
        ),
        (lambda f: f.__setitem__("images", 3), "is one value, not an array"),
        (lambda f: f.create_dataset("images", (0, 2, 2, 3), "u1"), r"is empty, shape \(0, 2, 2, 3\)"),
        (lambda f: f.create_dataset("images", data=[(1, 2.0)], dtype="i4,f4"), "is of compound type"),
        (
            lambda f: f.create_dataset("images", (1 << 40, 2, 2, 3), "u1", chunks=(2, 2, 2, 3)),
            "549755813888 chunks, at most 2097152 are read; h5repack makes larger ones",
        ),
        (
            lambda f: f.create_dataset("images", (4, 6000, 6000, 3), "u1", chunks=(4, 6000, 6000, 3)),
            "chunks .* of 432000000 bytes, at most 67108864 are read",
        ),
        (
            lambda f: f.create_virtual_dataset("images", h5py.VirtualLayout((2, 2, 2, 3), "u1")),
            "is a virtual dataset",
        ),
    ],
    ids=["holes", "nothing written", "lzf", "one value", "empty", "compound", "many chunks", "huge chunk", "virtual"],
)
def test_what_is_not_read_is_named(tmp_path: Path, build: Callable[[h5py.File], Any], says: str) -> None:
    with in_process(), pytest.raises(DataError, match=rf"a\.h5:images: {says}|a\.h5:images: .*{says}") as caught:
        open_data(make(tmp_path, build))
    assert str(caught.value).isprintable()


def test_other_things_in_the_file_do_not_matter(tmp_path: Path) -> None:
    def build(file: h5py.File) -> None:
        file["images"] = IMAGES
        file["notes"] = ["text", "of any length"]
        file["group/x"] = 3
        file["soft"] = h5py.SoftLink("/images")
        file["outside"] = h5py.ExternalLink("/etc/passwd", "/")
        file["type"] = np.dtype("f4")

    np.testing.assert_array_equal(open_data(make(tmp_path, build)).images[np.arange(23)], IMAGES)


@pytest.mark.parametrize("storage", [{}, {"chunks": (4, 6, 5, 3)}], ids=["contiguous", "chunks"])
def test_a_file_that_is_cut_short_while_it_is_read_is_one_line(tmp_path: Path, storage: dict[str, Any]) -> None:
    path = write(tmp_path / "a.h5", **storage)
    images = open_data(path).images
    os.truncate(path, 3000)
    with pytest.raises(DataError, match=r"a\.h5:images: the file ends early; it was cut short while it was read"):
        images[np.arange(23)]


def test_an_npy_file_that_is_cut_short_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    images = open_data(tmp_path / "a.npy").images
    os.truncate(tmp_path / "a.npy", 500)
    np.testing.assert_array_equal(images[np.array([0, 1])], IMAGES[:2])
    with pytest.raises(DataError, match=r"a\.npy: the file ends early"):
        images[np.array([22])]


def test_hdf5_is_not_loaded_in_the_process_that_reads(tmp_path: Path) -> None:
    script = (
        "import sys, numpy; from refsim.formats.images.datasets import open_data;"
        "open_data(sys.argv[1]).images[numpy.arange(23)]; sys.exit('h5py' in sys.modules)"
    )
    path = write(tmp_path / "a.h5", chunks=(4, 6, 5, 3), compression="gzip")
    subprocess.run([sys.executable, "-c", script, path], check=True)


def test_a_child_that_dies_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_BOOT", "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(DataError, match=r"a\.h5: damaged HDF5 file \(the reader process was killed by SIGSEGV"):
        open_data(write(tmp_path / "a.h5"))


@pytest.mark.parametrize(
    "entry",
    [
        '{"dtype": "<f8", "shape": [3], "offset": []}',
        '{"dtype": "O", "shape": [3], "offset": 9}',
        '{"dtype": "<f8", "shape": [-3], "offset": 9}',
        '{"dtype": "<f8", "shape": [3], "chunk": [1], "filters": ["rot13"], "index": 3}',
        '{"dtype": "<f8", "shape": [3]}',
        "[]",
        "7",
    ],
)
def test_an_answer_of_the_child_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    def lie(source: int, output: int, task: str) -> None:
        text = f'{{"datasets": {{"images": {entry}}}}}'.encode()
        os.write(output, len(text).to_bytes(8, "little") + text + bytes(64))

    monkeypatch.setattr(reader, "run_child", lie)
    with pytest.raises(DataError, match=r"a\.h5: damaged HDF5 file \(the reader process gave no usable answer"):
        open_data(write(tmp_path / "a.h5"))
