"""Which reader a file is for, told by its content and never by its name."""

from __future__ import annotations

import os
from typing import Literal

from refsim.formats.untrusted.archive import ZIP_ERRORS, open_zip
from refsim.formats.untrusted.opening import open_file
from refsim.importers.checkpoint import MAX_BYTES
from refsim.importers.pt2 import is_pt2

Kind = Literal["state dict", "torch.export", "onnx", "nir"]

_ZIP = b"PK\x03\x04"
_HDF5 = b"\x89HDF\r\n\x1a\n"


def kind_of(path: str | os.PathLike[str]) -> Kind:
    """What a file is; whatever is not known is left to the reader of state dicts, which says what it expects.

    Raises
    ------
    FormatError
        It cannot be opened, or is no regular file.
    """
    with open_file(path, what="checkpoint", most=MAX_BYTES) as file:
        head = file.read(16)
        if head.startswith(_HDF5):
            return "nir"
        if head.startswith(_ZIP):
            file.seek(0)
            try:
                with open_zip(file) as archive:
                    names = archive.namelist()
            except ZIP_ERRORS:
                return "state dict"
            return "torch.export" if is_pt2(names) else "state dict"
    return "onnx" if _is_onnx(head) else "state dict"


def _is_onnx(head: bytes) -> bool:
    """Whether a file begins as ONNX does: ir_version, one small number, and then another field of a model.

    A file of safetensors that has such a number as the length of its header goes on with a brace.
    """
    fields = (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA)
    return len(head) > 8 and head[0] == 0x08 and 0 < head[1] < 0x80 and head[2] in fields and head[8:9] != b"{"
