"""Bytes that are not a whole HDF5 file of the right kind."""

from __future__ import annotations

import io
import struct
from functools import partial

import h5py

from ..checksums import metadata_blocks, with_checksums
from ..support import tiny_bytes, tiny_tree
from .base import add


def patched(offset: int, data: bytes) -> bytes:
    raw = bytearray(tiny_bytes())
    raw[offset : offset + len(data)] = data
    return bytes(raw)


def _bytes_mutations() -> None:
    add("empty", lambda: b"", "is empty")
    for n in (1, 7, 8, 9, 48, 63):
        add(f"first {n} bytes", lambda n=n: tiny_bytes()[:n], f"is cut short: {n} bytes are left")
    for n in (64, 96, 195, 512, 1000, 2048, 4096, 8192, -1):
        add(f"cut at {n}", lambda n=n: tiny_bytes()[:n], r"is cut short: \d+ of \d+ bytes")
    add("one byte more", lambda: tiny_bytes() + b"\0", "has 1 bytes behind its end")
    add("two files in one", lambda: tiny_bytes() * 2, "bytes behind its end")
    for name, head, says in (
        ("zip", b"PK\x03\x04", "is not a weight file but a zip archive; if it is a PyTorch checkpoint"),
        ("pickle", b"\x80\x02}q\0", "is not a weight file but a pickle"),
        ("gzip", b"\x1f\x8b\x08", "is not a weight file but gzip data"),
        ("npy", b"\x93NUMPY\x01\0", "is not a weight file but a NumPy array"),
        ("safetensors", struct.pack("<Q", 40) + b'{"a"', "is not an HDF5 file"),
        ("text", b"#!/bin/sh\n", "is not an HDF5 file"),
        ("zeros", bytes(64), "is not an HDF5 file"),
        ("HDF4", b"\x0e\x03\x13\x01", "is not an HDF5 file"),
        ("signature with CR LF eaten", b"\x89HDF\n\x1a\n", "is not an HDF5 file"),
    ):
        add(f"begins as {name}", lambda head=head: head + tiny_bytes()[len(head) :], says)
    add("superblock of version 1", lambda: patched(8, b"\1"), "superblock of version 1")
    add("superblock of version 9", lambda: patched(8, b"\x09"), "superblock of version 9")
    add("offsets of 4 bytes", lambda: patched(9, b"\4"), "offsets that are not 8 bytes wide")
    add("lengths of 2 bytes", lambda: patched(10, b"\2"), "offsets that are not 8 bytes wide")
    add("left open by its writer", lambda: patched(11, b"\1"), "was not closed")
    add("base address", lambda: patched(12, b"\x40"), "the HDF5 structure is damaged")
    add("end of file too far", lambda: patched(28, struct.pack("<Q", 1 << 40)), f"is cut short: .* of {1 << 40} bytes")
    add("root address outside", lambda: patched(36, struct.pack("<Q", 1 << 40)), "the HDF5 structure is damaged")
    add("superblock checksum", lambda: patched(44, b"\xaa\xbb"), "the HDF5 structure is damaged")
    add("root header zeroed", lambda: patched(48, bytes(16)), "the HDF5 structure is damaged")
    add("all behind the superblock zeroed", lambda: patched(48, bytes(len(tiny_bytes()) - 48)), "structure is damaged")
    length = struct.pack("<Q", 4)
    add("two members of one name", lambda: forged("layers", b"flat", b"pool"), "/layers: .*(duplicate names|damaged)")
    add(
        "a dot as a name",
        lambda: forged("layers", b"\3add", b"\1.dd"),
        "structure is damaged|not one part",
    )
    add(
        "a link to nowhere",
        lambda: forged("layers", b"flat", b"flat" + b"\xf0" * 8),
        "/layers.*: the HDF5 structure is",
    )
    add(
        "a link to the superblock",
        lambda: forged("layers", b"flat", b"flat" + bytes(8)),
        "the HDF5 structure is damaged",
    )
    for n in (0, 3, 5, 1 << 40, 1 << 63, (1 << 64) - 1):
        make = partial(forged, "layers/fc/bias", length * 2, struct.pack("<QQ", n, n))
        add(f"forged length {n}", make, "/layers/fc/bias: ")
    add("one bit of a weight", flipped_weight, "/layers/fc/weight: the stored checksum does not match")


def forged(path: str, old: bytes, new: bytes) -> bytes:
    """The tiny file with other bytes in the header of one object, and the checksum that fits."""
    data = tiny_bytes()
    with h5py.File(io.BytesIO(data)) as file:
        start = h5py.h5o.get_info(file[path].id).addr
    blocks = dict(metadata_blocks(data))
    position = data.index(old, start, blocks[start])
    raw = bytearray(data)
    raw[position : position + len(new)] = new
    return with_checksums(raw, [(start, blocks[start])])


def flipped_weight() -> bytes:
    raw = tiny_bytes()
    data = next(node.data for path, node in tiny_tree().items() if path == "/layers/fc/weight")
    assert data is not None
    offset = raw.index(data.tobytes())
    return patched(offset + 3, bytes([raw[offset + 3] ^ 4]))


_bytes_mutations()
