"""HDF5 files through a child process that may crash, starve or hang without harm; weight files to `Content`."""

from __future__ import annotations

import errno
import json
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

import refsim
from refsim.exceptions import FormatError, RefsimError
from refsim.formats.posix import require_posix
from refsim.formats.untrusted.content import Array, Content, Node, Value
from refsim.formats.untrusted.limits import CPU_SECONDS, INDEX_SPACE, MAX_FILE_BYTES, SYSTEM_STATUS
from refsim.formats.untrusted.opening import open_descriptor
from refsim.formats.untrusted.text import clean

require_posix()

PATIENCE = 600
"""Seconds after which a child that has used little CPU is given up: it waits for the machine, or for its disk."""

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LOOKS_LIKE = (
    (b"PK\x03\x04", "a zip archive; if it is a PyTorch checkpoint, `refsim convert` makes a weight file of it"),
    (b"\x80\x02", "a pickle; if it is a PyTorch checkpoint, `refsim convert` makes a weight file of it"),
    (b"\x1f\x8b", "gzip data; unpack it first"),
    (b"\x93NUMPY", "a NumPy array"),
)
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from refsim.formats.untrusted.child import main; "
    "main(int(sys.argv[2]), sys.argv[3])"
)

T = TypeVar("T")
K = TypeVar("K")


def read_content(path: str | os.PathLike[str]) -> Content:
    """Everything in the file, under the policy, before any check of the digest or of what it means.

    Arrays are little-endian and writable views of private memory.

    Raises
    ------
    FormatError
        Not a regular file, not HDF5, cut short, or refused by the policy; `/path: text`, without the file's name.
    """
    return ask_child(path, "content", _content)


def read_foreign(path: str | os.PathLike[str], what: str) -> Content:
    """Everything in an HDF5 file of another tool; gzip and strings of variable length are let in.

    Raises
    ------
    FormatError
        As `read_content`.
    """
    return ask_child(path, "foreign", _content, what=what)


def resealed_image(path: str | os.PathLike[str], digest: str) -> bytes:
    """The bytes of the file with another digest at its root."""
    return ask_child(path, f"reseal {digest}", lambda output, index: os.pread(output, index["image"], INDEX_SPACE))


def ask_child(
    path: str | os.PathLike[str],
    task: str,
    take: Callable[[int, dict[str, Any]], T],
    *,
    what: str = "weight file",
    most: int = MAX_FILE_BYTES,
) -> T:
    """What `take` makes of the answer of a child that does `task` (`child.py`) with an HDF5 file.

    Parameters
    ----------
    take
        Of the file with the answer and its index; whatever it raises because the answer is not one is caught.
    what, most
        How to call such a file, and how many bytes it may have.

    Raises
    ------
    FormatError
        As `read_content`.
    RefsimError
        The machine did not let the file be read: too slow, too little memory. The message names the file.
    """
    with _opened(path, what, most) as source, _anonymous_file() as output:
        try:
            run_child(source, output, task)
        except FormatError:
            raise
        except RefsimError as error:
            raise RefsimError(f"{clean(os.fsdecode(path), None)}: {error}") from None
        return _answer(output, take)


@contextmanager
def _opened(path: str | os.PathLike[str], what: str, most: int) -> Iterator[int]:
    """File descriptor of a file that begins like an HDF5 file of the right length."""
    fd = open_descriptor(path, what=what, most=most)
    try:
        _check_head(fd, what)
        yield fd
    finally:
        os.close(fd)


def _check_head(fd: int, what: str) -> None:
    try:
        head = os.pread(fd, 64, 0)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}") from None
    if not head:
        raise FormatError("is empty")
    for magic, kind in _LOOKS_LIKE:
        if head.startswith(magic):
            raise FormatError(f"is not a {what} but {kind}")
    if not head.startswith(_SIGNATURE[: len(head)]):
        raise FormatError("is not an HDF5 file")
    _check_superblock(head, os.fstat(fd).st_size)


def _check_superblock(head: bytes, size: int) -> None:
    """Compare the length that the file was closed with to the length it has."""
    version = head[8] if len(head) == 64 else None
    if version is None:
        raise FormatError(f"is cut short: {size} bytes are left")
    if version == 0:
        widths, end, flags = head[13:15], head[40:48], head[20]
    elif version in (2, 3):
        widths, end, flags = head[9:11], head[28:36], head[11]
    else:
        raise FormatError(f"has an HDF5 superblock of version {version}; versions 0, 2 and 3 are read")
    if widths != b"\x08\x08":
        raise FormatError("has HDF5 offsets that are not 8 bytes wide")
    expected = int.from_bytes(end, "little")
    if size < expected:
        raise FormatError(f"is cut short: {size} of {expected} bytes")
    if size > expected:
        raise FormatError(f"has {size - expected} bytes behind its end; the file is damaged")
    if version == 3 and flags:
        raise FormatError("was not closed by the program that wrote it")


@contextmanager
def _anonymous_file() -> Iterator[int]:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("refsim", os.MFD_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)
    else:
        with tempfile.TemporaryFile() as file:
            yield file.fileno()


def run_child(source: int, output: int, task: str) -> None:
    """Let a child do `task` with the file `source` into the file `output`, or raise what became of it."""
    if not sys.executable:
        raise RefsimError("HDF5 files are read by a second Python process, and this Python does not know its path")
    # The child sees exactly the packages of its parent, and neither its working directory nor PYTHON* settings.
    root = str(Path(refsim.__file__).absolute().parent.parent)
    packages = json.dumps([*(os.path.abspath(entry) for entry in sys.path if entry), root])
    command = [sys.executable, "-I", "-S", "-c", _BOOT, packages, str(output), task]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HDF5_")}
    # One thread: the others' stacks would count into the memory limit, and nothing here is parallel.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    os.lseek(source, 0, os.SEEK_SET)
    with subprocess.Popen(
        command,
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(output,),
        env=environment,
    ) as child:
        # The pipe only tells when the child ends, at once; waiting with a time limit would poll every 50 ms.
        poller = select.poll()
        poller.register(child.stdout or -1, select.POLLIN)
        try:
            status = child.wait(PATIENCE) if poller.poll(PATIENCE * 1000) else None
        except subprocess.TimeoutExpired:
            status = None
        finally:
            child.kill()
    if status is None:
        raise RefsimError(f"not read after {PATIENCE} s: the machine or its disk is slow or busy; try again")
    check_status(status)


def check_status(status: int) -> None:
    """Say what became of a child that did not end by itself with status 0 (negative: by a signal)."""
    if status == -signal.SIGXCPU:
        raise FormatError(f"took more than {CPU_SECONDS} s of CPU time to read; the file is damaged or hostile")
    if status < 0:
        name = signal.Signals(-status).name
        # The kernel ends a process with it when memory runs out.
        other = "the machine is out of memory, or " if status == -signal.SIGKILL else ""
        raise FormatError(f"the reader process was killed by {name}; {other}the file is damaged or hostile")
    if status == SYSTEM_STATUS + errno.EFBIG:
        raise RefsimError("the reader process may not have a file as large as its answer; raise the limit (ulimit -f)")
    if status > SYSTEM_STATUS:
        raise RefsimError(f"the reader process could not begin: {os.strerror(status - SYSTEM_STATUS)}")
    if status > 0:
        raise FormatError(f"the reader process failed with status {status}; the file is damaged or hostile")


def _answer(output: int, take: Callable[[int, dict[str, Any]], T]) -> T:
    """What `take` makes of the child's answer and its index; the index may be anything."""
    try:
        length = int.from_bytes(os.pread(output, 8, 0), "little")
        index = json.loads(os.pread(output, min(length, INDEX_SPACE), 8))
        if "error" not in index:
            return take(output, index)
        path, text = index["error"]
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, OSError):
        raise FormatError("the reader process gave no usable answer; the file is damaged or hostile") from None
    raise FormatError(f"{path}: {text}" if path else text)


def _content(output: int, index: dict[str, Any]) -> Content:
    nodes = index["nodes"]
    specs = {path: entry["data"] for path, entry in nodes.items() if "data" in entry}
    arrays = placed_arrays(output, specs)
    content: dict[str, Node] = {}
    for path, entry in nodes.items():
        attrs: dict[str, Value] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in entry["attrs"].items()
        }
        content[path] = Node(attrs, arrays.get(path))
    return content


def placed_arrays(output: int, places: Mapping[K, Any]) -> dict[K, Array]:
    """The arrays of an answer, by the places its index gives: writable views of private memory, little-endian."""
    specs = {key: _Spec.parse(place) for key, place in places.items()}
    length = max((spec.offset + spec.nbytes for spec in specs.values()), default=1)
    # Copy on write: the arrays are ours alone, and an untouched page costs nothing.
    memory = memoryview(mmap.mmap(output, length, access=mmap.ACCESS_COPY, offset=INDEX_SPACE))
    return {key: spec.view(memory) for key, spec in specs.items()}


class _Spec(NamedTuple):
    """Where an array lies in the child's answer."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> _Spec:
        return cls(np.dtype(entry["dtype"]), tuple(entry["shape"]), entry["offset"])

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def view(self, memory: memoryview) -> Array:
        array = np.frombuffer(memory, self.dtype, prod(self.shape), self.offset).reshape(self.shape)
        return array.astype(self.dtype.newbyteorder("<"), copy=False)
