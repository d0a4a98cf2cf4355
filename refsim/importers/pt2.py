"""torch.export archives (`.pt2`) as an operator graph, without PyTorch: json, zipfile and NumPy.

A zip of uncompressed members under one folder: `models/NAME.json` is the graph, `data/weights/` and `data/constants/`
hold raw numbers, and a JSON says whose they are. The example inputs are a pickle and are not touched; of the metadata
only the paths of modules are read, for they name the layers (the rest holds call stacks of the machine that wrote it).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from functools import partial
from math import prod
from typing import IO, Any, Literal

import numpy as np

from refsim.exceptions import FormatError, UsageError
from refsim.formats.untrusted.archive import ZIP_ERRORS, open_zip
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.aten import Call, is_known, read_operator
from refsim.importers.build import MALFORMED, Builder
from refsim.importers.operators import Graph, Site
from refsim.importers.torch_pickle import BFLOAT16, Storage, StoredTensor, view
from refsim.model import Array

MAX_JSON = 16 << 20
"""Bytes of the graph as text; ResNet-152 with QCFS activations has two million."""

MAX_MEMBERS = 20_000
MAJOR, MINOR = 8, 20
"""The schema that the reader knows; larger minor versions are read with a note."""

DTYPES = {
    1: "u1", 2: "i1", 3: "i2", 4: "i4", 5: "i8", 6: "f2", 7: "f4", 8: "f8", 12: "?", 13: BFLOAT16,
}  # fmt: skip
_NEWER = "export the model again, with PyTorch 2.9 or newer (torch.export.save)"

Json = Mapping[str, Any]
ImageShape = tuple[int, int, int]


def read_pt2(file: IO[bytes], size: int, where: str, shape: ImageShape | None) -> Graph:
    """Read an archive of torch.export.save.

    Parameters
    ----------
    file, size
        The archive, and how many bytes it has.
    shape
        (C, H, W) of an image, where the archive leaves it open.

    Raises
    ------
    FormatError
        Not such an archive, of a schema that is not known, damaged, or with operators that do not fit.
    UsageError
        The size of the image is not known.
    """
    try:
        with open_zip(file) as archive:
            return _Archive(archive, size, where).graph(shape)
    except (FormatError, UsageError):
        raise
    except ZIP_ERRORS as error:
        raise FormatError(f"{where}: damaged zip archive ({clean(str(error)) or 'it ends early'})") from error
    except MALFORMED as error:
        raise FormatError(f"{where}: the graph is damaged ({type(error).__name__}: {clean(str(error))})") from error


def is_pt2(names: list[str]) -> bool:
    """Whether a zip archive with these members is one of torch.export."""
    return any(re.fullmatch(r"[^/]*/(archive_format|models/[^/]+\.json)", name) for name in names)


class _Archive:
    """The members of one archive, its weights and its graph."""

    def __init__(self, archive: zipfile.ZipFile, size: int, where: str) -> None:
        self.archive = archive
        self.where = where
        self.left = 4 * size + (1 << 20)  # tied weights share bytes, but not a hundred times
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise FormatError(f"{where}: {len(infos)} members, at most {MAX_MEMBERS} are read")
        self.members = {info.filename: info for info in infos}
        if len(self.members) < len(infos):
            raise FormatError(f"{where}: two members of one name")
        models = [name for name in self.members if re.fullmatch(r"[^/]+/models/[^/]+\.json", name)]
        if not models:
            raise FormatError(f"{where}: no graph inside (models/NAME.json); {_NEWER}")
        if len(models) > 1:
            raise FormatError(f"{where}: holds {len(models)} models; save one of them alone")
        self.folder, _, self.name = models[0].removesuffix(".json").split("/")
        self.order: Literal["<", ">"] = "<"
        if f"{self.folder}/byteorder" in self.members and self.member("byteorder", 16) == b"big":
            self.order = ">"

    def member(self, name: str, limit: int) -> bytes:
        """The bytes of a member."""
        info = self.members.get(f"{self.folder}/{name}")
        if info is None:
            raise FormatError(f"{self.where}: the archive has no member {shown(f'{self.folder}/{name}')}")
        # Stored without compression a member cannot be larger than the file.
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
            raise FormatError(
                f"{self.where}: member {shown(name)} is compressed or encrypted; torch.export does neither"
            )
        if info.file_size > limit:
            raise FormatError(
                f"{self.where}: member {shown(name)} has {info.file_size} bytes, at most {limit} are read"
            )
        return self.archive.read(info)

    def json(self, name: str) -> Any:
        """A member that is JSON."""
        text = self.member(name, MAX_JSON)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{self.where}: {shown(name)} is no JSON, or nested too deeply") from error

    def graph(self, shape: ImageShape | None) -> Graph:
        """The operator graph."""
        model = self.json(f"models/{self.name}.json")
        notes = self._check_version(model["schema_version"])
        module = model["graph_module"]
        graph = module["graph"]
        builder = Builder(self.where, self.left // 4)
        self._inputs(builder, module["signature"]["input_specs"], graph["tensor_values"], shape)
        for node in graph["nodes"]:
            call = Call(builder, node)
            site = Site(name=call.name, kind=call.kind, module=_module(node))
            read = partial(read_operator, call)
            builder.place(site, call.inputs, call.outputs, read, known=is_known(call))
        outputs = [each["as_tensor"]["name"] for each in graph["outputs"] if "as_tensor" in each]
        if len(outputs) != 1 or len(graph["outputs"]) != 1:
            raise FormatError(
                f"{self.where}: the model returns {len(graph['outputs'])} values; expected the logits alone"
            )
        return builder.graph(outputs[0], notes)

    def _check_version(self, version: Json) -> list[str]:
        major, minor = version["major"], version["minor"]
        if major != MAJOR:
            raise FormatError(f"{self.where}: schema version {shown(str(major))} is not known, {MAJOR} is; {_NEWER}")
        if minor > MINOR:
            return [f"written in schema version {MAJOR}.{int(minor)}; this refsim knows {MAJOR}.{MINOR}"]
        return []

    def _inputs(self, builder: Builder, specs: list[Json], values: Json, shape: ImageShape | None) -> None:
        """Parameters and buffers become constants, the one input that is left is the image."""
        tensors = self._tensors()
        images = []
        for spec in specs:
            ((key, content),) = spec.items()
            arg = content.get("arg", {})
            if key == "user_input":
                if "as_tensor" not in arg:
                    raise FormatError(f"{self.where}: an input that is no tensor; expected the image alone")
                images.append(arg["as_tensor"]["name"])
                continue
            names = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
            if key not in names:
                raise FormatError(f"{self.where}: an input of kind {shown(key)}, which refsim does not know")
            name = content[names[key]]
            if name not in tensors:
                raise FormatError(f"{self.where}: there are no numbers for {shown(str(name))}")
            builder.put(arg["name"], self._read(name, *tensors[name]))
        if len(images) != 1:
            raise FormatError(f"{self.where}: the model reads {len(images)} inputs; expected the image alone")
        builder.image(images[0], self._image_shape(values[images[0]]["sizes"], shape))

    def _image_shape(self, sizes: list[Json], shape: ImageShape | None) -> tuple[int, ...]:
        """(B, C, H, W) of the image."""
        found = [_size(each) for each in sizes]
        known = found[1:]
        if shape is not None and len(known) == 3:
            if any(
                n is not None and n != given for n, given in zip(known, shape) if "as_int" in sizes[known.index(n) + 1]
            ):
                raise UsageError(f"{self.where}: the model reads images {tuple(known)}, input_shape says {shape}")
            return (found[0] or 1, *shape)
        if None in known:
            raise UsageError(
                f"{self.where}: the model takes images of any size; give --input-shape C,H,W (in Python, input_shape=)"
            )
        return (found[0] or 1, *(n for n in known if n is not None))

    def _tensors(self) -> dict[str, tuple[str, Json]]:
        """By name, the member and the description of every parameter, buffer and constant."""
        found: dict[str, tuple[str, Json]] = {}
        for folder, config in (("weights", "model_weights_config"), ("constants", "model_constants_config")):
            path = f"data/{folder}/{config.replace('model', self.name, 1)}.json"
            if f"{self.folder}/{path}" not in self.members:
                continue
            for name, entry in self.json(path)["config"].items():
                if entry.get("use_pickle"):
                    raise FormatError(f"{self.where}: {shown(name)} is pickled, and no pickle is read here; {_NEWER}")
                found[name] = (f"data/{folder}/{entry['path_name']}", entry["tensor_meta"])
        if not found:
            raise FormatError(f"{self.where}: no weights inside that are not pickled; {_NEWER}")
        return found

    def _read(self, name: str, path: str, meta: Json) -> Array:
        """The numbers of one tensor."""
        where = f"{self.where}: {shown(name)}"
        dtype = DTYPES.get(meta["dtype"])
        if dtype is None:
            raise FormatError(f"{where}: number type {shown(str(meta['dtype']))}, expected one of {sorted(DTYPES)}")
        sizes, strides = ([each["as_int"] for each in meta[key]] for key in ("sizes", "strides"))
        offset = meta["storage_offset"]["as_int"]
        numbers = [*sizes, *strides, offset]
        if (
            len(sizes) != len(strides)
            or len(sizes) > 8
            or not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers)
        ):
            raise FormatError(f"{where}: sizes {sizes[:9]} or strides that are none")
        raw = self.member(path, self.left)
        itemsize = 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize
        self.left -= max(len(raw), prod(sizes) * itemsize)
        if self.left < 0:
            raise FormatError(f"{self.where}: the tensors overlap; together they are larger than four times the file")
        stored = StoredTensor(Storage(path, dtype, len(raw) // itemsize), offset, tuple(sizes), tuple(strides), dtype)
        return view(stored, raw, self.order, where)


def _size(size: Json) -> int | None:
    """A size; of one that the export left open, that of the example."""
    if "as_int" in size:
        return int(size["as_int"])
    hint = (size.get("as_expr") or {}).get("hint") or {}
    return int(hint["as_int"]) if "as_int" in hint else None


def _module(node: Json) -> str:
    """The dotted path of the module that a node was traced in."""
    stack = node["metadata"].get("nn_module_stack", "")
    parts = str(stack).rsplit(";", 1)[-1].split(",")
    path = parts[1] if len(parts) > 1 else ""
    return path if re.fullmatch(r"[\w.]{1,200}", path) else ""
