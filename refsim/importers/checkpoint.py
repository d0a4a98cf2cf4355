"""Checkpoints as dictionaries of arrays, read without PyTorch: zip `.pth`, legacy `.th`, `.safetensors`.

The pickles inside go through the whitelist unpickler. A tensor is read only when it is asked for, after its
view has been checked against the bytes that are there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError
from refsim.formats.untrusted.archive import ZIP_ERRORS, open_zip
from refsim.formats.untrusted.opening import open_file
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.safetensors import read_safetensors
from refsim.importers.torch_pickle import StoredTensor, read_legacy, read_zip

Array = NDArray[Any]
Read = Callable[[StoredTensor], Array]

MAX_BYTES = 4 << 30
"""Of a checkpoint, with the state of an optimizer beside weights that a weight file can hold."""

_ZIP = b"PK\x03\x04"
_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_WRAPPERS = ("state_dict", "model", "net", "model_state_dict", "network", "weights")
_PREFIXES = ("model.", "net.")
_INSIDE = ("module", "_orig_mod")
"""What torch.nn.DataParallel and torch.compile call what they wrap, at any depth."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """The arrays of a checkpoint by their names, and the sha256 of the file they came from."""

    path: Path
    tensors: Mapping[str, Array]
    sha256: str


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a state dict, bare or wrapped (`state_dict`, `model`, `net`), without what wrappers put into its names.

    bfloat16 becomes float32, exactly; every other type stays as it is.

    Raises
    ------
    FormatError
        Not a checkpoint; a pickle that holds more than tensors and plain data; views, sizes or offsets that do
        not fit the file.
    """
    path = Path(path)
    where = clean(str(path), None)
    with open_file(path, what="checkpoint", most=MAX_BYTES) as file:
        size = os.fstat(file.fileno()).st_size
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        head = file.read(len(_LEGACY))
        file.seek(0)
        if head.startswith(_ZIP):
            try:
                with open_zip(file) as archive:
                    content, read = read_zip(archive, where)
                    tensors = _state_dict(content, read, where, size)
            except FormatError:
                raise
            except ZIP_ERRORS as error:
                raise FormatError(f"{where}: damaged zip archive ({clean(str(error)) or 'it ends early'})") from error
        elif head == _LEGACY:
            content, read = read_legacy(file.read(), where)
            tensors = _state_dict(content, read, where, size)
        else:
            tensors = _unprefixed(read_safetensors(file, where), where)
    return Checkpoint(path=path, tensors=tensors, sha256=sha256)


def _state_dict(content: Any, read: Read, where: str, size: int) -> dict[str, Array]:
    for _ in range(3):  # {'model': {'state_dict': ...}} is as deep as wrappers go
        if not isinstance(content, dict):
            raise FormatError(f"{where}: expected a dictionary of tensors, got {type(content).__name__}")
        # A wrapper goes first: Lightning and others keep tensors of their own beside the state dict.
        wrapped = [key for key in _WRAPPERS if isinstance(content.get(key), dict) and content[key]]
        if len(wrapped) > 1:
            names = " and ".join(shown(key) for key in wrapped)
            raise FormatError(f"{where}: {names} both hold something; save the state dict of the network alone")
        if wrapped:
            content = content[wrapped[0]]
            continue
        if not any(isinstance(value, StoredTensor) for value in content.values()):
            keys = ", ".join(shown(str(key)) for key in list(content)[:5]) or "nothing"
            raise FormatError(f"{where}: no tensors and no state_dict; the file holds {keys}; save model.state_dict()")
        break
    tensors: dict[str, Array] = {}
    left = 4 * size + (1 << 20)  # weights may be tied, but not a hundred times
    for key, value in content.items():
        if not isinstance(key, str):
            raise FormatError(f"{where}: a tensor without a name (key of type {type(key).__name__})")
        if isinstance(value, StoredTensor):
            tensors[key] = read(value)
            left -= tensors[key].nbytes
            if left < 0:
                raise FormatError(f"{where}: the tensors overlap; together they are larger than four times the file")
        elif isinstance(value, bool | int | float):
            tensors[key] = np.asarray(value)
    return _unprefixed(tensors, where)


def _unprefixed(tensors: dict[str, Array], where: str) -> dict[str, Array]:
    """Drop what DataParallel, torch.compile and Lightning modules put into names."""
    plain: dict[str, Array] = {}
    for key, value in tensors.items():
        short = ".".join(part for part in key.split(".") if part not in _INSIDE)
        if short in plain:
            raise FormatError(f"{where}: {shown(short)} is there with and without the name of a wrapper")
        plain[short] = value
    prefix: str | None = ""
    while prefix is not None:
        plain = {key.removeprefix(prefix): value for key, value in plain.items()}
        prefix = next((each for each in _PREFIXES if plain and all(key.startswith(each) for key in plain)), None)
    return plain
