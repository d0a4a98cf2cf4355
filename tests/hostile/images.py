"""The door of image folders: pictures that are damaged, huge, of another kind, or no pictures."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.hostile.attack import HOSTILE_NAMES, Attack, Make, damaged, odd_files

PIXELS = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
RUN = ["run", "-q", "-T", "1", "--limit", "4", "--data", "images"]


def picture(kind: str, mode: str = "L", **options: object) -> bytes:
    """A picture of 28 x 28."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, kind, **options)
    return file.getvalue()


def _folder(files: dict[str, bytes]) -> Make:
    def make(folder: Path) -> list[str]:
        for name, data in files.items():
            path = folder / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return RUN

    return make


def _odd(name: str, put: Callable[[Path], None]) -> Make:
    def make(folder: Path) -> list[str]:
        place = folder / "images" / "0"
        place.mkdir(parents=True)
        put(place / name)
        return RUN

    return make


def png(width: int, height: int, data: bytes = b"", depth: int = 8, color: int = 0, *more: bytes) -> bytes:
    """A PNG that says what it is told to."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def attacks() -> Iterator[Attack]:
    """All of them."""

    def attack(name: str, make: Make, *codes: int) -> Attack:
        return Attack("images", name, make, codes or (3,))

    good = {
        "0.png": picture("PNG"),
        "0.jpg": picture("JPEG"),
        "0.bmp": picture("BMP"),
        "0.pgm": picture("PPM"),
    }
    for seed, (name, data) in enumerate(good.items()):
        yield attack(f"{name} as it is", _folder({f"0/{name}": data}), 0)
        for what, changed in damaged(data, 35, seed + 100):
            yield attack(f"{name} {what}", _folder({f"0/{name}": changed}), 0, 3)
    for what, put in odd_files():
        codes = (0, 3) if what in ("a directory",) else (3,)
        yield attack(f"{what} as an image", _odd("0.png", put), *codes)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n(owned) (w) file closefile\nshowpage\n%%EOF\n"
    for name, data in {
        "postscript": eps,
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='28' height='28'/>",
        "html": b"<html>",
        "zip": b"PK\x03\x04" + bytes(60),
        "text": b"P3 28 28 255 " + b"0 " * (28 * 28),
        "icon": b"\0\0\1\0\1\0" + bytes(60),
        "fits": b"SIMPLE  =                    T" + bytes(2900),
        "zeros": bytes(1000),
        "ones": b"\xff" * 1000,
    }.items():
        yield attack(f"{name} as .png", _folder({"0/0.png": data}), 0, 3)
    for kind in ("GIF", "TIFF", "WEBP", "PCX", "TGA", "ICO", "PDF", "EPS", "SGI", "DDS"):
        try:
            data = picture(kind)
        except (KeyError, OSError, ValueError):
            continue
        yield attack(f"{kind} as .png", _folder({"0/0.png": data}), 0, 3)
        yield attack(f"damaged {kind} as .png", _folder({"0/0.png": data[: len(data) // 2]}), 0, 3)
    for width, height in (
        (0, 0),
        (1, 0),
        (2**31 - 1, 2**31 - 1),
        (65536, 65536),
        (20000, 20000),
        (2**24, 1),
        (1, 2**25),
    ):
        yield attack(f"png of {width} x {height}", _folder({"0/0.png": png(width, height, zlib.compress(bytes(999)))}))
    for depth, color in ((16, 0), (16, 2), (1, 0), (8, 3), (8, 4), (8, 6), (3, 0), (8, 5), (255, 255)):
        rows = zlib.compress(bytes(28 * (28 * 8 + 1)))
        yield attack(
            f"png of depth {depth}, colour {color}", _folder({"0/0.png": png(28, 28, rows, depth, color)}), 0, 3
        )
    for i in range(12):
        n = 10**i
        text = struct.pack(">I", min(n, 2**32 - 1)) + b"tEXt" + b"x" * min(n, 9)
        yield attack(f"png with a text of {n}", _folder({"0/0.png": png(28, 28, b"", 8, 0, text)}), 0, 3)
    for mode in ("1", "P", "RGBA", "LA", "CMYK", "I;16", "I", "F", "YCbCr"):
        for kind in ("PNG", "TIFF", "JPEG"):
            try:
                data = picture(kind, mode)
            except (OSError, ValueError, KeyError):
                continue
            yield attack(f"{kind} of mode {mode}", _folder({"0/0.png": data}), 0, 3)
    yield attack("two sizes", _folder({"0/0.png": good["0.png"], "0/1.png": png(9, 9, zlib.compress(bytes(90)))}))
    yield attack("a second one that is damaged", _folder({"0/0.png": good["0.png"], "1/1.png": good["0.png"][:60]}))
    yield attack("no class folders", _folder({"0.png": good["0.png"]}))
    yield attack("no pictures", _folder({"0/readme.txt": b""}))
    yield attack("eleven classes", _folder({f"{i:02}/0.png": good["0.png"] for i in range(11)}))
    for name in HOSTILE_NAMES:
        yield attack(f"class {name!r}", _folder({f"{name}/0.png": good["0.png"]}), 0, 3)
        yield attack(f"picture {name!r}", _folder({f"0/{name}.png": b"nothing"}))
