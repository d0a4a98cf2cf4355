"""Random damage to HDF5 files, at scale: `python -m tests.formats.campaign N [--images] [--seed S] [--keep FOLDER]`.

Each file is read under the limits of the real reader, in a fork instead of a new process (5 ms for 200 ms). Counted
are files refused, files accepted, and what must never happen: an accepted weight file that says something else than
the original, an exception that is not ours, a reader that takes too long or too much memory. (Image files have no
digest: damaged pixels are pixels.) A reader that libhdf5 crashes is contained: the user sees one line. It is counted
too.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np

from refsim.exceptions import FormatError, NetworkError
from refsim.formats.images.datasets import open_data
from refsim.formats.untrusted import child, reader
from refsim.formats.weights.hdf5 import load

from .checksums import lookup3, metadata_blocks, with_checksums
from .support import digest_of, tiny_bytes

Damage = Callable[[bytearray, np.random.Generator], None]

MAX_SECONDS = 30.0
MAX_BYTES = 2 << 30


def flip_bit(data: bytearray, rng: np.random.Generator) -> None:
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)


def change_bytes(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] = rng.integers(256)


def truncate(data: bytearray, rng: np.random.Generator) -> None:
    del data[rng.integers(len(data)) :]


def truncate_and_say_so(data: bytearray, rng: np.random.Generator) -> None:
    """A file cut short whose superblock agrees with its length."""
    del data[max(64, int(rng.integers(len(data)))) :]
    set_end(data)


def blank(data: bytearray, rng: np.random.Generator) -> None:
    """A lost block: zeros or ones."""
    start, n = rng.integers(len(data)), 1 << rng.integers(0, 13)
    data[start : start + n] = bytes([rng.choice([0, 255])]) * len(data[start : start + n])


def copy_block(data: bytearray, rng: np.random.Generator) -> None:
    """A block that landed in another place too."""
    n = 1 << rng.integers(1, 12)
    source, target = rng.integers(0, len(data) - n, 2)
    data[target : target + n] = data[source : source + n]


def shift(data: bytearray, rng: np.random.Generator) -> None:
    """Bytes lost or added in the middle."""
    start, n = rng.integers(len(data)), int(rng.integers(1, 17))
    if rng.random() < 0.5:
        del data[start : start + n]
    else:
        data[start:start] = rng.bytes(n)


def forge(data: bytearray, rng: np.random.Generator) -> None:
    """Changed metadata whose checksums were made to fit: what an attacker sends, and random damage never is."""
    blocks = list(metadata_blocks(bytes(data)))
    for _ in range(rng.integers(1, 4)):
        start, end = blocks[rng.integers(len(blocks))]
        position = int(rng.integers(start + 5, end))
        width = int(rng.choice([1, 1, 2, 4, 8]))
        interesting = [0, 1, 2, 3, 7, 8, 127, 128, 255, 2**16 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, len(data)]
        value = int(rng.integers(256)) if rng.random() < 0.5 else interesting[rng.integers(len(interesting))]
        width = min(width, end - position)
        data[position : position + width] = (value % 256**width).to_bytes(width, "little")
    data[:] = with_checksums(data, blocks)


DAMAGES: tuple[Damage, ...] = (
    flip_bit,
    flip_bit,
    change_bytes,
    truncate,
    truncate_and_say_so,
    blank,
    copy_block,
    shift,
    forge,
    forge,
)


def set_end(data: bytearray) -> None:
    """Make the superblock agree with the length of the file."""
    if data[8] in (2, 3):
        data[28:36] = struct.pack("<Q", len(data))
        data[44:48] = struct.pack("<I", lookup3(bytes(data[:44])))
    else:
        data[40:48] = struct.pack("<Q", len(data))


@dataclass
class Tally:
    """What happened, and the cases that must not have."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    bytes: int = 0


@contextmanager
def forked_reader(tally: Tally) -> Iterator[None]:
    """Read in a fork of this process under the real limits, and note what it used."""

    def run(source: int, output: int, task: str) -> None:
        opened, memory = child.open_shared(source, output, task)
        pid = os.fork()
        if pid == 0:
            try:
                child.give_up_rights(child.SPARE_BYTES)
                child.answer(opened, memory, task)
                os._exit(0)
            finally:
                os._exit(1)
        _, status, usage = os.wait4(pid, 0)
        memory.close()
        tally.seconds = max(tally.seconds, usage.ru_utime + usage.ru_stime)
        tally.bytes = max(tally.bytes, usage.ru_maxrss * 1024)
        reader.check_status(os.waitstatus_to_exitcode(status))

    with patch.object(reader, "run_child", run):
        yield


def old_bytes() -> bytes:
    """The tiny file as programs without `libver` write it: superblock 0, B-trees and heaps without checksums."""
    with tempfile.TemporaryDirectory() as folder:
        new_path, old_path = Path(folder) / "new.h5", Path(folder) / "old.h5"
        new_path.write_bytes(tiny_bytes())
        with h5py.File(new_path) as new, h5py.File(old_path, "w", libver="earliest") as old:
            for key in new:
                new.copy(key, old)
            for key in new.attrs:
                old.attrs.create(key, new.attrs[key], dtype=new.attrs.get_id(key).dtype)
        return old_path.read_bytes()


def image_files() -> tuple[bytes, ...]:
    """Image sets as h5py writes them: old format, contiguous and packed, and the new one with its checksums."""

    def make(libver: Any, **storage: Any) -> bytes:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver=libver) as file:
            images = np.arange(20 * 8 * 8 * 3, dtype=np.uint8).reshape(20, 8, 8, 3)
            file.create_dataset("images", data=images, **storage)
            file["labels"] = np.arange(20) % 10
        return buffer.getvalue()

    packed = {"chunks": (5, 8, 8, 3), "compression": "gzip"}
    return make("earliest"), make("earliest", **packed), make(("v110", "v110"), **packed)


def read_images(path: Path) -> str:
    """Everything in an image set, as one digest."""
    data = open_data(path)
    pixels = data.images[np.arange(len(data))]
    return hashlib.sha256(pixels.tobytes() + (b"" if data.labels is None else data.labels.tobytes())).hexdigest()


def run(n: int, seed: int, keep: Path | None = None, only: str = "", images: bool = False) -> Tally:
    """Damage the tiny weight file, or image sets, `n` times and read them; `only` is the name of one kind of damage."""
    damages = tuple(each for each in DAMAGES if each.__name__ == only) or DAMAGES
    tally = Tally()
    bases = image_files() if images else (tiny_bytes(), tiny_bytes(), old_bytes())
    with tempfile.TemporaryDirectory() as folder, forked_reader(tally):
        path = Path(folder) / "net.h5"
        path.write_bytes(bases[0])
        expected = None if images else digest_of(load(path))
        for i in range(n):
            rng = np.random.default_rng([seed, i])
            data, damage = bytearray(bases[i % len(bases)]), damages[rng.integers(len(damages))]
            if damage is forge and not list(metadata_blocks(bytes(data))):
                damage = change_bytes
            damage(data, rng)
            path.write_bytes(data)
            outcome = _outcome(path, expected)
            tally.outcomes[outcome] += 1
            case = f"seed {seed} case {i}, {damage.__name__}: {outcome}"
            if outcome.startswith("WRONG"):
                tally.failures.append(case)
            if keep is not None and not outcome.startswith(("refused", "accepted")):
                (keep / f"{seed}-{i}.h5").write_bytes(data)
                print(case, flush=True)
            if keep is not None and i % 1000 == 999:
                print(f"{i + 1} files: {dict(tally.outcomes)}", flush=True)
    if tally.seconds > MAX_SECONDS or tally.bytes > MAX_BYTES:
        tally.failures.append(f"a reader took {tally.seconds:.1f} s or {tally.bytes} bytes")
    return tally


def _outcome(path: Path, expected: str | None) -> str:
    """What became of a file; `expected` is the digest of an undamaged weight file, None for image sets."""
    try:
        digest = read_images(path) if expected is None else digest_of(load(path))
    except (FormatError, NetworkError) as error:
        if "the reader process" in str(error):
            return f"contained: the reader process {str(error).split('the reader process ', 1)[1]}"
        return "refused" if str(error).isprintable() else "WRONG: message is not clean"
    except Exception as error:
        return f"WRONG: {type(error).__name__}: {error}"
    return "WRONG: accepted with other content" if expected not in (None, digest) else "accepted"


def main() -> None:
    parser = argparse.ArgumentParser(description="Damage HDF5 files at random and read them.")
    parser.add_argument("n", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="Folder for the files that crashed a reader.")
    parser.add_argument("--only", choices=sorted({each.__name__ for each in DAMAGES}), default="")
    parser.add_argument("--images", action="store_true", help="Image sets instead of weight files.")
    arguments = parser.parse_args()
    tally = run(arguments.n, arguments.seed, arguments.keep, arguments.only, arguments.images)
    for outcome, count in tally.outcomes.most_common():
        print(f"{count:8}  {outcome}")
    print(f"longest {tally.seconds:.2f} s, most {tally.bytes / 2**20:.0f} MiB")
    print("\n".join(tally.failures) or "nothing that must not happen")


if __name__ == "__main__":
    main()
