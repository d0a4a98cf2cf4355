"""Files of strangers are opened in one place, and nothing that waits or never ends gets through it."""

from __future__ import annotations

import ast
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import refsim
from refsim.analysis.energy import load_energy_model
from refsim.exceptions import FormatError
from refsim.formats.images.datasets import open_data
from refsim.formats.untrusted.opening import open_file, read_text, require_regular
from refsim.formats.weights.hdf5 import load
from refsim.importers.checkpoint import load_checkpoint
from refsim.runs.recording import read_result
from refsim.runs.store.merge import Parts

ROOT = Path(refsim.__file__).parent
METHODS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "savefig"}
"""Of a path, if nothing else is known about the object."""

FUNCTIONS = {
    *("open", "os.open", "io.open", "os.fdopen", "gzip.open", "lzma.open", "bz2.open", "tarfile.open", "Image.open"),
    *("np.load", "np.loadtxt", "np.genfromtxt", "np.fromfile", "np.memmap", "mmap.mmap", "torch.load"),
    *("h5py.File", "sqlite3.connect", "zipfile.ZipFile"),
}

ALLOWED = {
    "formats/untrusted/opening.py: os.open": "the one place",
    "formats/untrusted/opening.py: os.fdopen": "of the descriptor that it has checked",
    "formats/untrusted/archive.py: zipfile.ZipFile": "of a file that is open",
    "formats/untrusted/reader.py: mmap.mmap": "of the child's answer, in memory of our own",
    "formats/untrusted/child.py: mmap.mmap": "of its own answer",
    "formats/untrusted/child.py: open": "a descriptor that its parent has checked; and the kernel's word on its memory",
    "formats/untrusted/policy.py: h5g.open": "inside an HDF5 file that is in memory",
    "formats/untrusted/policy.py: h5o.open": "inside an HDF5 file that is in memory",
    "formats/untrusted/policy.py: h5a.open": "inside an HDF5 file that is in memory",
    "formats/untrusted/image_layout.py: h5g.open": "inside an HDF5 file that is open, in a child without rights",
    "formats/untrusted/image_layout.py: h5f.open": "through a file that is open, in a child without rights",
    "formats/untrusted/image_layout.py: h5o.open": "inside an HDF5 file that is open, in a child without rights",
    "formats/images/npz.py: archive.open": "a member of an archive that is open",
    "formats/images/files.py: Image.open": "of a file that is open",
    "formats/weights/writer.py: h5py.File": "a buffer in memory",
    "formats/atomic.py: os.open": "to write, and a lock; and a folder, to sync it",
    "formats/atomic.py: open": "to write",
    "exporters/vector_files.py: h5py.File": "a buffer in memory",
    "exporters/nir.py: h5py.File": "a buffer in memory",
    "formats/spike_lists.py: h5py.File": "to read what require_regular has looked at",
    "formats/spike_lists.py: np.load": "of a file that is open, or of what require_regular has looked at",
    "runs/sides.py: h5py.File": "to see what kind of file it is, of what require_regular has looked at",
    "runs/sides.py: np.load": "of a file that is open",
    "runs/recorder.py: h5py.File": "to write, into a Sink",
    "runs/recording.py: h5py.File": "to read what require_regular has looked at",
    "runs/store/database.py: sqlite3.connect": "what require_regular has looked at",
    "cli/main.py: os.open": "/dev/null",
    "cli/failures.py: os.fdopen": "a new file with a name of its own",
    "plots/style.py: figure.savefig": "into memory",
    "reports/page/svg.py: figure.savefig": "into memory",
    "reports/page/render.py: (folder / name).read_text": "of refsim's own package",
    "training/checkpoint.py: torch.load": "of a file that is open",
}
"""Where a file is opened otherwise, and why that is right."""


def opened_in(path: Path) -> Iterator[str]:
    """Every call in a module that opens something, as `module: call`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            method = isinstance(node.func, ast.Attribute) and node.func.attr in METHODS
            if called in FUNCTIONS or method:
                yield f"{path.relative_to(ROOT).as_posix()}: {called}"


def test_files_are_opened_in_one_place():
    found = {each for path in ROOT.rglob("*.py") for each in opened_in(path)}
    assert sorted(found - ALLOWED.keys()) == []


def test_the_list_of_exceptions_is_no_longer_than_needed():
    found = {each for path in ROOT.rglob("*.py") for each in opened_in(path)}
    assert sorted(ALLOWED.keys() - found) == []


def run_directory_with(name: str):
    def read(path: Path) -> None:
        folder = path.parent / "a.run"
        folder.mkdir()
        os.rename(path, folder / name) if not path.is_symlink() else (folder / name).symlink_to(os.readlink(path))
        if name != "run.db":
            (folder / "run.db").touch()
        Parts([folder])

    return read


def in_class_folder(path: Path) -> None:
    folder = path.parent / "images" / "cat"
    folder.mkdir(parents=True)
    (folder / "1.png").symlink_to(path)
    open_data(path.parent / "images")


def as_idx_labels(path: Path) -> None:
    images = path.parent / "t10k-images-idx3-ubyte"
    images.write_bytes(b"\0\0\x08\x03" + np.array([1, 4, 4], ">i4").tobytes() + bytes(16))
    (path.parent / "t10k-labels-idx1-ubyte").symlink_to(path)
    data = open_data(images)
    # A pipe is no file of labels: there are none.
    if data.labels is None:
        raise FormatError("labels are not a data set")


READERS = {
    "weights": load,
    "checkpoint": load_checkpoint,
    "data": open_data,
    "image in a folder": in_class_folder,
    "labels beside images": as_idx_labels,
    "prices": load_energy_model,
    "recording": read_result,
    "run.db": run_directory_with("run.db"),
    "its log": run_directory_with("run.db-wal"),
    "its journal": run_directory_with("run.db-journal"),
    "its lock": run_directory_with("lock"),
}


@pytest.mark.parametrize("door", READERS)
@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_no_door_waits_for_a_pipe_or_reads_what_never_ends(tmp_path: Path, door: str, kind: str):
    """That it does not wait is what this test shows by ending."""
    path = tmp_path / ("f.toml" if door == "prices" else "f")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(FormatError, match=r"pipe, socket or device|not a regular|not a data set"):
        READERS[door](path)


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("directory", "is a directory, not a thing"),
        ("missing", "cannot be opened: No such file"),
        ("large", "has 11 bytes, things of at most 10 bytes are read"),
        ("nul", "cannot be opened: embedded null byte"),
    ],
)
def test_what_is_not_opened_says_why(tmp_path: Path, kind: str, match: str):
    path = tmp_path / {"nul": "a\0b"}.get(kind, "f")
    if kind == "directory":
        path.mkdir()
    elif kind == "large":
        path.write_bytes(bytes(11))
    for call in (open_file, require_regular, read_text):
        with pytest.raises(FormatError, match=match):
            call(path, what="thing", most=10)


def test_a_file_without_permission_is_one_line(tmp_path: Path):
    path = tmp_path / "f"
    path.touch(mode=0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(FormatError, match=r"f: cannot be opened: Permission denied"):
        open_file(path, what="thing", most=10)
    assert stat.S_IMODE(path.stat().st_mode) == 0


def test_a_price_list_of_300_megabytes_is_refused_unread(tmp_path: Path):
    path = tmp_path / "prices.json"
    with path.open("wb") as file:
        file.truncate(300 << 20)
    with pytest.raises(FormatError, match="price lists of at most 32768 bytes"):
        load_energy_model(path)


def test_text_may_begin_with_a_byte_order_mark_and_must_be_utf8(tmp_path: Path):
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbfcat\n")
    assert read_text(path, what="list", most=100) == "cat\n"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match=r"is not a text file \(UTF-8\)"):
        read_text(path, what="list", most=100)
