"""Small images as PNG in a data URL: nothing is fetched, and nothing but zlib is needed."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.model import InputSpec

Array = NDArray[Any]


def png_url(pixels: Array) -> str:
    """A data URL of an image (H, W, C) uint8; C is 1 (grey) or 3, of more channels the first is shown."""
    height, width, channels = pixels.shape
    if channels != 3:
        pixels, channels = pixels[:, :, :1], 1
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, width * channels)], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    body = b"".join(
        _chunk(kind, data)
        for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def as_photographed(x: Array, spec: InputSpec) -> Array:
    """Input currents (C, H, W) as pixels (H, W, C) before preprocessing: mean and std taken back."""
    pixels = np.moveaxis(x, 0, 2) * spec.std + spec.mean
    return np.asarray(np.clip(np.rint(255 * pixels), 0, 255), dtype=np.uint8)


def as_seen(x: Array) -> Array:
    """Input currents (C, H, W) as pixels (H, W, C): 0 is middle grey, the largest absolute current black or white."""
    most = float(np.abs(x).max()) or 1.0
    return np.asarray(np.rint(127.5 + 127.5 * np.moveaxis(x, 0, 2) / most), dtype=np.uint8)
