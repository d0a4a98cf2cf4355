"""The short-lived process in which bytes of unknown origin meet the HDF5 library.

libhdf5 can be crashed, and made to loop, by forged metadata. So `reader.py` starts this module in a process of
its own: it reads the file once, gives up its rights (no file, little memory, little time), parses from memory
under the rules of `policy.py` and `storage.py`, leaves the result in memory shared with its parent, and is gone.

The result is: the length of the JSON index (8 bytes, little-endian), the index, and from `INDEX_SPACE` on the
arrays, at the offsets the index gives. The index is {"error": [path, text]}, {"nodes": {path: {"attrs": ...,
"data": ...}}} or, for a resealed file, {"image": length}.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import resource
import struct
import sys
from typing import Any

import numpy as np

from refsim.formats import policy
from refsim.formats.limits import INDEX_SPACE, MAX_OBJECTS
from refsim.formats.storage import Dataset, Refusal

ALIGNMENT = 64
CPU_SECONDS = 20
SPARE_BYTES = 256 << 20
SLACK = ALIGNMENT * MAX_OBJECTS
"""What the alignment of arrays may cost, and the attribute that resealing may add."""


def main(output: int, new_digest: str = "") -> None:
    """Parse the file on standard input into the file `output`; with `new_digest`, put a resealed copy there."""
    image, memory = open_shared(0, output)
    # Reading copies nothing but chunks; resealing holds the file twice more.
    give_up_rights(SPARE_BYTES + (2 * len(image) if new_digest else 0))
    answer(image, memory, new_digest)
    # Closing what a forged file left inside libhdf5 could still crash; nothing is left to do.
    os._exit(0)


def open_shared(source: int, output: int) -> tuple[bytes, mmap.mmap]:
    """The bytes of the file `source`, and the memory of the file `output`, large enough for any answer."""
    with open(source, "rb", closefd=False) as file:
        image = file.read(os.fstat(source).st_size)
    # Sparse: pages that are not written cost nothing. Mapped now, because mapping needs a free file descriptor.
    size = INDEX_SPACE + len(image) + SLACK
    os.ftruncate(output, size)
    return image, mmap.mmap(output, size)


def answer(image: bytes, memory: mmap.mmap, new_digest: str = "") -> None:
    """Put the result, whatever it is, into `memory`."""
    try:
        if new_digest:
            resealed = policy.reseal(image, new_digest)
            memory[INDEX_SPACE : INDEX_SPACE + len(resealed)] = resealed
            _put_index(memory, {"image": len(resealed)})
        else:
            _put_index(memory, {"nodes": policy.walk(image, _Arrays(memory).put)})
    except Refusal as error:
        _put_index(memory, {"error": [error.path, error.text]})
    except MemoryError:
        _put_index(memory, {"error": ["", "needs more memory than a file of its size can justify"]})


class _Arrays:
    """The arrays in `memory`, one behind the other from `INDEX_SPACE` on."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._end = 0

    def put(self, dataset: Dataset) -> dict[str, Any]:
        """Read a dataset to its place, and say where that is."""
        place = {"dtype": dataset.dtype.str, "shape": dataset.shape, "offset": self._end}
        start = INDEX_SPACE + self._end
        dataset.read(np.frombuffer(self._memory, dataset.dtype, dataset.size, start).reshape(dataset.shape))
        self._end += -(-dataset.nbytes // ALIGNMENT) * ALIGNMENT
        return place


def _put_index(memory: mmap.mmap, index: dict[str, Any]) -> None:
    text = json.dumps(index).encode()
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
