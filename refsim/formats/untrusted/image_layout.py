"""Where the bytes of the datasets at the top of an HDF5 file lie, so that nobody else has to ask HDF5.

Runs inside the child process. Image files come from many programs and hold what they like; only the datasets that
are stored plainly in this file are described, and of the others is said why not.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from refsim.formats.untrusted.limits import FILTERS, MAX_CHUNK_BYTES, MAX_DATA_CHUNKS, MAX_OBJECTS
from refsim.formats.untrusted.storage import Dataset, Refusal, check_inside, dtype_of, filters_of, shape_of

# isort: split
# Behind `storage`, which keeps HDF5 from loading plugins.
from h5py import h5d, h5f, h5fd, h5g, h5l, h5o, h5p

HDF5_ERRORS = (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError)

Store = Callable[[NDArray[Any]], Any]


def describe(file: BinaryIO, size: int, store: Store) -> dict[str, dict[str, Any]]:
    """Every dataset at the top of the file by name: what `HDF5Images` needs, or {"refused": why}.

    A dataset is {"dtype", "shape"} and either "offset" (contiguous), "data" (its elements, stored), or "chunk",
    "filters" and "index": int64 (2, number of chunks), first byte and bytes of each chunk, stored.

    Parameters
    ----------
    file
        Of `size` bytes; read through, never opened again.
    store
        Keeps an array and says where.

    Raises
    ------
    Refusal
        The file as a whole makes no sense.
    """
    try:
        settings = h5p.create(h5p.FILE_ACCESS)
        settings.set_fileobj_driver(h5fd.fileobj_driver, file)
        root = h5g.open(h5f.open(b"data", h5f.ACC_RDONLY, settings), b"/")
        if root.get_num_objs() > MAX_OBJECTS:
            raise Refusal(f"holds {root.get_num_objs()} objects, at most {MAX_OBJECTS} are read")
        names: list[bytes] = []
        root.links.iterate(names.append)
        hard = [name for name in names if root.links.get_info(name).type == h5l.TYPE_HARD]
    except HDF5_ERRORS as error:
        raise Refusal(f"the HDF5 structure is damaged ({error})") from None
    described: dict[str, dict[str, Any]] = {}
    room = MAX_DATA_CHUNKS
    for name in hard:
        try:
            handle = h5o.open(root, name)
            if not isinstance(handle, h5d.DatasetID):
                continue
            entry = _describe(handle, size, room, store)
            room -= entry.pop("n_chunks", 0)
        except Refusal as refusal:
            entry = {"refused": refusal.text}
        except HDF5_ERRORS as error:
            entry = {"refused": f"the HDF5 structure is damaged here ({error})"}
        described[name.decode("utf-8", "replace")] = entry
    return described


def _describe(handle: Any, size: int, room: int, store: Store) -> dict[str, Any]:
    dataset = Dataset(handle, dtype_of(handle.get_type()), shape_of(handle.get_space()))
    if not dataset.shape:
        raise Refusal("is one value, not an array")
    settings = handle.get_create_plist()
    layout = check_inside(settings)
    for name in filters_of(settings):
        if name not in FILTERS:
            raise Refusal(f"is stored with {name}; only {', '.join(FILTERS)} are read (h5repack -f GZIP=1 changes it)")
    entry: dict[str, Any] = {"dtype": dataset.dtype.str, "shape": dataset.shape}
    if layout == h5d.CHUNKED:
        return entry | _chunks(dataset, settings, size, room, store)
    if filters_of(settings):
        raise Refusal("has filters without chunks; the file is damaged")
    if handle.get_storage_size() != dataset.nbytes:
        raise Refusal(f"{handle.get_storage_size()} bytes are stored, shape {dataset.shape} needs {dataset.nbytes}")
    if layout == h5d.COMPACT:
        # Stored inside a header, hence at most 64 kB.
        values = np.empty(dataset.shape, dataset.dtype)
        dataset.read(values)
        return entry | {"data": store(values)}
    offset = handle.get_offset()
    if offset is None or not 0 < offset <= size - dataset.nbytes:
        raise Refusal("the data lies outside the file; the file is damaged")
    return entry | {"offset": int(offset)}


def _chunks(dataset: Dataset, settings: Any, size: int, room: int, store: Store) -> dict[str, Any]:
    chunk, filters = tuple(map(int, settings.get_chunk())), filters_of(settings)
    nbytes = prod(chunk) * dataset.dtype.itemsize
    if len(chunk) != len(dataset.shape) or nbytes > MAX_CHUNK_BYTES:
        raise Refusal(f"chunks {chunk} of {nbytes} bytes, at most {MAX_CHUNK_BYTES} are read")
    grid = tuple(-(-n // c) for n, c in zip(dataset.shape, chunk))
    expected = prod(grid)
    if expected > room:
        raise Refusal(f"{expected} chunks, at most {room} are read; h5repack makes larger ones")
    stored = dataset.handle.get_num_chunks()
    if stored != expected:
        raise Refusal(f"{stored} of {expected} chunks are stored")
    index = np.zeros((2, expected), np.int64)
    # What gzip makes of a chunk may be larger than the chunk, but not much.
    most = nbytes + nbytes // 100 + 1024 if "gzip" in filters else nbytes + 4 * ("fletcher32" in filters)
    least = 1 if "gzip" in filters else most

    def note(info: Any) -> None:
        place = [start // length for start, length in zip(info.chunk_offset, chunk)]
        fits = least <= info.size <= most and 0 < info.byte_offset <= size - info.size
        if info.filter_mask or not fits or any(not 0 <= p < n for p, n in zip(place, grid)):
            raise Refusal(f"the chunk at {info.chunk_offset} is stored in an unexpected way; the file is damaged")
        index[:, np.ravel_multi_index(place, grid)] = info.byte_offset, info.size

    dataset.handle.chunk_iter(note)
    if not index[1].all():
        raise Refusal("a chunk is missing and another one there twice; the file is damaged")
    return {"chunk": chunk, "filters": filters, "index": store(index), "n_chunks": expected}
