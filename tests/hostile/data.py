"""The door --data: files of images in every format, damaged, lying about themselves, or something else."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.hostile.attack import HOSTILE_NAMES, Attack, Make, damaged, odd_files

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
LABELS = np.arange(4)


def _run(name: str) -> list[str]:
    return ["run", "-q", "-T", "1", "--limit", "2", "--data", name]


def _file(name: str, data: bytes) -> Make:
    def make(folder: Path) -> list[str]:
        (folder / name).write_bytes(data)
        return _run(f"./{name}")

    return make


def _odd(name: str, put: object) -> Make:
    def make(folder: Path) -> list[str]:
        put(folder / name)  # type: ignore[operator]
        return _run(name)

    return make


def idx(images: np.ndarray) -> bytes:
    """An IDX file."""
    return b"\0\0\x08" + bytes([images.ndim]) + struct.pack(f">{images.ndim}I", *images.shape) + images.tobytes()


def npy(array: np.ndarray) -> bytes:
    """An .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(method: int = zipfile.ZIP_STORED, **arrays: bytes) -> bytes:
    """A zip archive of .npy files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def hdf5(**arrays: np.ndarray) -> bytes:
    """An HDF5 file."""
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        for name, array in arrays.items():
            opened.create_dataset(name, data=array, chunks=array.shape, compression="gzip")
    return file.getvalue()


def _header(text: str) -> bytes:
    padded = text.encode("latin-1").ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded


HEADERS = (
    "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 28, 28)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 28, 28)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (True, 28, 28)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (1e3, 28, 28)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': 28}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': ()}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 28, 28)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (4,)}",
    "{'descr': '|V784', 'fortran_order': False, 'shape': (4,)}",
    "{'descr': '<U999999999', 'fortran_order': False, 'shape': (4,)}",
    "{'descr': '<f99', 'fortran_order': False, 'shape': (4, 1, 28, 28)}",
    "{'descr': [('a', '<f8'), ('a', '<f8')], 'fortran_order': False, 'shape': (4,)}",
    "{'descr': ('<f8', (999999999, 999999999)), 'fortran_order': False, 'shape': (4,)}",
    "{'descr': '__import__(\"os\").system(\"touch owned\")', 'fortran_order': False, 'shape': (4,)}",
    "__import__('os').system('touch owned')",
    "{}",
    "[]",
    "None",
    "(" * 90,
    "{'descr': '<f8', 'fortran_order': 1, 'shape': (0,)}",
    "\x1b[31m",
)


class _Call:
    def __init__(self, function: object, *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._call  # type: ignore[return-value]


def pickles() -> Iterator[tuple[str, bytes]]:
    """CIFAR batches that want to run something, or to be something else."""
    import builtins
    import os
    import subprocess

    for name, call in {
        "system": _Call(os.system, "touch owned"),
        "eval": _Call(builtins.eval, "1 + 1"),
        "open": _Call(builtins.open, "owned", "w"),
        "popen": _Call(subprocess.Popen, "touch owned"),
        "bytearray": _Call(bytearray, 10**12),
    }.items():
        for protocol in (0, 2, 4):
            yield f"{name} {protocol}", pickle.dumps({"data": call, "labels": [0]}, protocol)
    for name, content in {
        "no data": {"labels": [1]},
        "labels of text": {"data": np.zeros((1, 3072), np.uint8), "labels": ["1"]},
        "labels that are too large": {"data": np.zeros((1, 3072), np.uint8), "labels": [10**30]},
        "negative labels": {"data": np.zeros((1, 3072), np.uint8), "labels": [-1]},
        "floats": {"data": np.zeros((1, 3072)), "labels": [1]},
        "wide rows": {"data": np.zeros((1, 3073), np.uint8), "labels": [1]},
        "a list": [1, 2],
        "a number": 3,
    }.items():
        yield name, pickle.dumps(content, 2)
    yield "a deep stack", b"\x80\x02" + b"(" * 100_000
    yield "a long memo", b"\x80\x02}r\xff\xff\xff\x7f."
    yield "a long string", b"\x80\x02T\xff\xff\xff\x7fabc"
    yield "a long number", b"\x80\x02\x8b\xff\xff\xff\x7f" + b"\xff" * 100


def attacks() -> Iterator[Attack]:
    """All of them."""

    def attack(name: str, make: Make, *codes: int) -> Attack:
        return Attack("data", name, make, codes or (3,))

    good = {
        "a-idx3-ubyte": idx(IMAGES),
        "a-idx3-ubyte.gz": gzip.compress(idx(IMAGES), mtime=0),
        "a.npy": npy(IMAGES),
        "a.npz": npz(images=npy(IMAGES), labels=npy(LABELS)),
        "deflated.npz": npz(zipfile.ZIP_DEFLATED, images=npy(IMAGES), labels=npy(LABELS)),
        "a.h5": hdf5(images=IMAGES, labels=LABELS),
    }
    for seed, (name, data) in enumerate(good.items()):
        yield attack(f"{name} as it is", _file(name, data), 0)
        for what, changed in damaged(data, 30, seed):
            yield attack(f"{name} {what}", _file(name, changed), 0, 3)
    for what, put in odd_files():
        # What the system refuses to read is no fault of the file.
        codes = (1, 3) if what == "a link to memory" else (3,)
        for name in ("a.npz", "a-idx3-ubyte"):
            yield attack(f"{what} as {name}", _odd(name, put), *codes)
    for i, header in enumerate(HEADERS):
        yield attack(f"npy header {i}", _file("a.npy", _header(header)))
        yield attack(f"npz header {i}", _file("a.npz", npz(images=_header(header))))
    for what, data in pickles():
        yield attack(f"pickle: {what}", _file("data_batch_1", data))
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield attack(f"npz of method {method}", _file("a.npz", npz(method, images=npy(IMAGES))))
        data = bytearray(npz(method, images=npy(IMAGES)))
        data[60:90] = bytes(30)
        yield attack(f"damaged npz of method {method}", _file("a.npz", bytes(data)))
    bomb = npz(zipfile.ZIP_DEFLATED, images=_header(HEADERS[0].replace("99999999999", "50000")) + bytes(40 << 20))
    yield attack("a bomb", _file("a.npz", bomb))
    yield attack("a gzip bomb", _file("a-idx3-ubyte.gz", gzip.compress(idx(IMAGES) + bytes(40 << 20))))
    for what, arrays in {
        "no images": {"x_rays": IMAGES},
        "images of text": {"images": np.array(["a", "b"])},
        "images of objects": {"images": np.array([{}, {}])},
        "images of one number": {"images": np.array(3)},
        "no image": {"images": IMAGES[:0]},
        "five axes": {"images": IMAGES[None]},
        "another size": {"images": IMAGES[:, :9]},
        "int64": {"images": IMAGES.astype(np.int64)},
        "complex": {"images": IMAGES.astype(complex)},
        "nan": {"images": np.full((4, 1, 28, 28), np.nan)},
        "infinite": {"images": np.full((4, 1, 28, 28), np.inf)},
        "labels of floats": {"images": IMAGES, "labels": LABELS + 0.5},
        "too many labels": {"images": IMAGES, "labels": np.arange(5)},
        "negative labels": {"images": IMAGES, "labels": -LABELS - 1},
        "large labels": {"images": IMAGES, "labels": LABELS + 2**62},
        "unsigned labels": {"images": IMAGES, "labels": LABELS.astype(np.uint64) + np.uint64(2**63)},
        "labels in rows": {"images": IMAGES, "labels": np.eye(4)},
    }.items():
        packed = npz(**{key: npy(value) for key, value in arrays.items()})
        yield attack(f"npz: {what}", _file("a.npz", packed))
    huge = np.full((2, 1, 28, 28), 1e308)
    yield attack("npz: overflow", _file("a.npz", npz(images=npy(huge))), 0, 1, 3)
    for name in HOSTILE_NAMES:
        yield attack(f"named {name!r}", _file(name, b"nothing of use"))
    for text in (b"<html>", b"%PDF-1.7", b"\x7fELF", b"GIF89a", b"\0" * 3073, b"\xff" * 3073, b"P5 9 9 255 ", b"{}"):
        yield attack(f"a file of {text[:8]!r}", _file("a.bin", text), 0, 3)
