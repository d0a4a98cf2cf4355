"""The short-lived process in which bytes of unknown origin meet the HDF5 library.

libhdf5 can be crashed, and made to loop, by forged metadata. So `reader.py` starts this module in a process of
its own: it reads the file once, gives up its rights (no file, little memory, little time), parses from memory
under the rules of `policy.py` and `storage.py`, leaves the result in memory shared with its parent, and is gone.

It is asked for the content of a weight file, or of another tool's file ("foreign"), for a resealed copy of a weight
file ("reseal DIGEST"), or for the layout of an image file. The result is: the length of the JSON index (8 bytes,
little-endian), the index, and from `INDEX_SPACE` on the arrays, at the offsets the index gives. The index is {"error":
[path, text]}, {"nodes": {path: {"attrs": ..., "data": ...}}}, {"image": length} or {"datasets": {name: ...}}
(`layout.py`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import resource
import struct
import sys
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from refsim.formats.untrusted import image_layout, policy
from refsim.formats.untrusted.limits import (
    CPU_SECONDS,
    INDEX_SPACE,
    MAX_DATA_CHUNKS,
    MAX_FOREIGN_BYTES,
    MAX_OBJECTS,
    SYSTEM_STATUS,
)
from refsim.formats.untrusted.storage import Dataset, Refusal

ALIGNMENT = 64
SPARE_BYTES = 256 << 20
SLACK = ALIGNMENT * MAX_OBJECTS
"""What the alignment of arrays may cost, and the attribute that resealing may add."""


def main(output: int, task: str) -> None:
    """Do the task with the file on standard input and leave the result in the file `output`."""
    # The answer is sparse memory as large as any answer can be, but a limit on file sizes counts all of it.
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        source, memory = open_shared(0, output, task)
    except (OSError, MemoryError) as error:
        # Nothing of the file has been looked at, so this says nothing about it.
        os._exit(SYSTEM_STATUS + (getattr(error, "errno", None) or errno.ENOMEM))
    # Reading copies nothing but chunks; resealing holds the file twice more.
    give_up_rights(SPARE_BYTES + (2 * len(source) if isinstance(source, bytes) and task != "content" else 0))
    answer(source, memory, task)
    # Closing what a forged file left inside libhdf5 could still crash; nothing is left to do.
    os._exit(0)


Source = bytes | BinaryIO
"""The bytes of a weight file, or an image file, which may be larger than memory."""


def open_shared(source: int, output: int, task: str) -> tuple[Source, mmap.mmap]:
    """The file `source` as the task needs it, and the memory of the file `output`, large enough for any answer."""
    file = open(source, "rb", closefd=False)  # noqa: SIM115
    if task == "layout":
        opened: Source = file
        room = 16 * MAX_DATA_CHUNKS + (64 << 10) * MAX_OBJECTS
    else:
        opened = file.read(os.fstat(source).st_size)
        room = MAX_FOREIGN_BYTES if task == "foreign" else len(opened)
    # Sparse: pages that are not written cost nothing. Mapped now, because mapping needs a free file descriptor.
    size = INDEX_SPACE + room + SLACK
    os.ftruncate(output, size)
    return opened, mmap.mmap(output, size)


def answer(source: Source, memory: mmap.mmap, task: str) -> None:
    """Put the result, whatever it is, into `memory`."""
    arrays = _Arrays(memory)
    try:
        if not isinstance(source, bytes):
            size = source.seek(0, os.SEEK_END)
            _put_index(memory, {"datasets": image_layout.describe(source, size, arrays.put)})
        elif task in ("content", "foreign"):
            _put_index(memory, {"nodes": policy.walk(source, arrays.read, foreign=task == "foreign")})
        else:
            resealed = policy.reseal(source, task.removeprefix("reseal "))
            memory[INDEX_SPACE : INDEX_SPACE + len(resealed)] = resealed
            _put_index(memory, {"image": len(resealed)})
    except Refusal as error:
        _put_index(memory, {"error": [error.path, error.text]})
    except MemoryError:
        _put_index(memory, {"error": ["", "needs more memory than a file of its size can justify"]})


class _Arrays:
    """The arrays in `memory`, one behind the other from `INDEX_SPACE` on."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._end = 0

    def read(self, dataset: Dataset) -> dict[str, Any]:
        """Read a dataset to its place, and say where that is."""
        place, out = self._place(dataset.dtype, dataset.shape)
        dataset.read(out)
        return place

    def put(self, array: NDArray[Any]) -> dict[str, Any]:
        """Copy an array to its place, and say where that is."""
        place, out = self._place(array.dtype, array.shape)
        out[...] = array
        return place

    def _place(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> tuple[dict[str, Any], NDArray[Any]]:
        place = {"dtype": dtype.str, "shape": shape, "offset": self._end}
        out = np.frombuffer(self._memory, dtype, prod(shape), INDEX_SPACE + self._end).reshape(shape)
        self._end += -(-out.nbytes // ALIGNMENT) * ALIGNMENT
        return place, out


def _put_index(memory: mmap.mmap, index: dict[str, Any]) -> None:
    text = json.dumps(index).encode()
    if 8 + len(text) > INDEX_SPACE:
        text = json.dumps({"error": ["", "names and shapes take more space than any file needs"]}).encode()
    memory[: 8 + len(text)] = struct.pack("<Q", len(text)) + text


def give_up_rights(spare: int) -> None:
    """Lower every limit that the platform knows and enforces; `spare` bytes more than now may be used."""
    limits = [("RLIMIT_CORE", 0, 0), ("RLIMIT_FSIZE", 0, 0)]
    # At the soft limit comes SIGXCPU, which tells the parent why; at the hard one SIGKILL.
    limits.append(("RLIMIT_CPU", CPU_SECONDS, CPU_SECONDS + 5))
    if sys.platform == "linux":
        # macOS counts shared system regions into RLIMIT_AS; the size checks hold there too.
        with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
            most = int(file.read().split()[0]) * resource.getpagesize() + spare
            limits.append(("RLIMIT_AS", most, most))
    limits.append(("RLIMIT_NOFILE", 0, 0))
    for name, soft, hard in limits:
        _, given = resource.getrlimit(getattr(resource, name))
        if given != resource.RLIM_INFINITY:
            soft, hard = min(soft, given), min(hard, given)
        resource.setrlimit(getattr(resource, name), (soft, hard))
