"""HDF5 metadata with checksums that fit, whatever it says: what an attacker can write."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator


def metadata_blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of the superblock and of every version 2 object header; the checksum follows at `end`."""
    if data[8] in (2, 3):
        yield 0, 44
    for match in re.finditer(rb"OHDR\x02", data):
        start = match.start()
        flags = data[start + 5]
        position = start + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        end = position + width + int.from_bytes(data[position : position + width], "little")
        if end + 4 <= len(data) and struct.unpack_from("<I", data, end)[0] == lookup3(data[start:end]):
            yield start, end


def with_checksums(data: bytes | bytearray, blocks: Iterable[tuple[int, int]]) -> bytes:
    """The data with the checksum of each block made to fit."""
    forged = bytearray(data)
    for start, end in blocks:
        forged[end : end + 4] = struct.pack("<I", lookup3(bytes(forged[start:end])))
    return bytes(forged)


def lookup3(data: bytes) -> int:
    """Bob Jenkins' hash, little-endian, as HDF5 uses it for its metadata."""
    mask = 0xFFFFFFFF

    def rotate(x: int, k: int) -> int:
        return ((x << k) | (x >> (32 - k))) & mask

    a = b = c = (0xDEADBEEF + len(data)) & mask
    if not data:
        return c
    padded = data + bytes(-len(data) % 12)
    words = struct.unpack(f"<{len(padded) // 4}I", padded)
    for i in range(0, len(words), 3):
        a, b, c = (a + words[i]) & mask, (b + words[i + 1]) & mask, (c + words[i + 2]) & mask
        if i + 3 < len(words):
            a = ((a - c) & mask) ^ rotate(c, 4)
            c = (c + b) & mask
            b = ((b - a) & mask) ^ rotate(a, 6)
            a = (a + c) & mask
            c = ((c - b) & mask) ^ rotate(b, 8)
            b = (b + a) & mask
            a = ((a - c) & mask) ^ rotate(c, 16)
            c = (c + b) & mask
            b = ((b - a) & mask) ^ rotate(a, 19)
            a = (a + c) & mask
            c = ((c - b) & mask) ^ rotate(b, 4)
            b = (b + a) & mask
    for x, k in (("cb", 14), ("ac", 11), ("ba", 25), ("cb", 16), ("ac", 4), ("ba", 14), ("cb", 24)):
        if x == "cb":
            c = ((c ^ b) - rotate(b, k)) & mask
        elif x == "ac":
            a = ((a ^ c) - rotate(c, k)) & mask
        else:
            b = ((b ^ a) - rotate(a, k)) & mask
    return c
