"""ONNX files as an operator graph (extra `onnx`, which only parses the protobuf).

Names of initialisers and values, which exporters share and change, mean nothing here: what a node computes is found
from its operands. Of the metadata only the scopes of modules are read, for they name the layers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refsim.exceptions import FormatError, RefsimError, UsageError
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.build import MALFORMED, Builder
from refsim.importers.onnx_operators import OPERATORS, Call
from refsim.importers.onnx_tensors import Tensors
from refsim.importers.operators import Graph, Site

MAX_NODES = 100_000
_DOMAINS = ("", "ai.onnx")
_SCOPES = "pkg.torch.onnx.name_scopes"
_HINTS = {
    "qonnx": "QONNX quantisers are not read; export as QCDQ (QuantizeLinear, Clip, DequantizeLinear)",
    "com.microsoft": "operators of onnxruntime are not read; quantise with the format QDQ, without optimisations",
}

ImageShape = tuple[int, int, int]


def read_onnx(data: bytes, folder: Path, where: str, shape: ImageShape | None) -> Graph:
    """Read an ONNX model.

    Parameters
    ----------
    data
        The file.
    folder
        Where its side-cars lie.
    shape
        (C, H, W) of an image, where the model leaves it open.

    Raises
    ------
    UsageError
        The package `onnx` is missing, or the size of the image is not known.
    FormatError
        Damaged, or with operators that do not fit.
    """
    try:
        from google.protobuf.message import DecodeError
        from onnx import ModelProto
    except ImportError as error:
        raise UsageError(f"{where}: reading ONNX needs the package onnx: pip install 'refsim[onnx]'") from error
    try:
        model = ModelProto.FromString(data)
    except (DecodeError, RecursionError) as error:
        raise FormatError(f"{where}: not an ONNX file, or damaged ({clean(str(error)) or 'it ends early'})") from error
    try:
        return _read_graph(model, Tensors(folder, where), len(data), where, shape)
    except RefsimError:
        raise
    except MALFORMED as error:
        raise FormatError(f"{where}: the graph is damaged ({type(error).__name__}: {clean(str(error))})") from error


def _read_graph(model: Any, tensors: Tensors, size: int, where: str, shape: ImageShape | None) -> Graph:
    graph = model.graph
    if not graph.node:
        raise FormatError(f"{where}: not an ONNX model, or one without nodes")
    if len(graph.node) > MAX_NODES:
        raise FormatError(f"{where}: {len(graph.node)} nodes, at most {MAX_NODES} are read")
    if graph.sparse_initializer:
        raise FormatError(f"{where}: sparse initialisers are not read; export dense ones")
    if len(graph.output) != 1:
        raise FormatError(f"{where}: the model returns {len(graph.output)} values; expected the logits alone")
    builder = Builder(where, size)
    for tensor in graph.initializer:
        if tensor.name in builder.values:
            raise FormatError(f"{where}: two initialisers are called {shown(tensor.name)}")
        builder.put(tensor.name, tensors.read(tensor))
    images = [each for each in graph.input if each.name not in builder.values]
    if len(images) != 1:
        raise FormatError(f"{where}: the model reads {len(images)} inputs; expected the image alone")
    builder.image(images[0].name, _image_shape(images[0], where, shape))
    for node in graph.node:
        _read_node(builder, tensors, node)
    return builder.graph(graph.output[0].name, _notes(model))


def _read_node(builder: Builder, tensors: Tensors, node: Any) -> None:
    outputs = [name for name in node.output if name]
    if not outputs:
        return
    inputs = [name for name in node.input if name]
    site = Site(name=node.name or outputs[0], kind=node.op_type, module=_module(node))
    read = OPERATORS.get(node.op_type) if node.domain in _DOMAINS else None
    graphs = any(attribute.type in (5, 10) for attribute in node.attribute)
    if read is None or graphs:
        why = next((text for key, text in _HINTS.items() if node.domain.startswith(key)), "")
        if not why and node.domain not in _DOMAINS:
            why = f"an operator of the domain {shown(node.domain)} is not read"
        if not why and graphs:
            why = "graphs inside a node (If, Loop, Scan) are not simulated"
        builder.place(site, inputs, outputs, lambda: builder.foreign(outputs[0], inputs, why), known=False)
        return
    call = Call(builder, tensors, node)
    builder.place(site, inputs, outputs, lambda: read(builder, call))


def _image_shape(image: Any, where: str, shape: ImageShape | None) -> tuple[int, ...]:
    """(B, C, H, W) of the image; a batch that is open is 1."""
    dims = [each.dim_value if each.HasField("dim_value") else None for each in image.type.tensor_type.shape.dim]
    if len(dims) != 4:
        raise FormatError(f"{where}: the input {shown(image.name)} has {len(dims)} axes; expected images (B, C, H, W)")
    batch, *known = dims
    if shape is not None:
        if any(n is not None and n != given for n, given in zip(known, shape)):
            raise UsageError(f"{where}: the model reads images {tuple(known)}, input_shape says {shape}")
        return (batch or 1, *shape)
    if None in known or 0 in known:
        raise UsageError(
            f"{where}: the model takes images of any size; give --input-shape C,H,W (in Python, input_shape=)"
        )
    return (batch or 1, *(n for n in known if n is not None))


def _module(node: Any) -> str:
    """The dotted path of the module that a node was traced in, from either exporter of PyTorch."""
    path = ""
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            scopes = re.findall(r"'([^']*)'", entry.value[:4096])
            path = scopes[-2] if len(scopes) > 1 else ""
    if not path and node.name.startswith("/"):
        # /layers.0/layers.0.1/conv1/Conv: each part continues the one before, or begins with it.
        for part in node.name.strip("/").split("/")[:-1]:
            path = part if not path or part.startswith(f"{path}.") else f"{path}.{part}"
    return path if re.fullmatch(r"[\w.]{1,200}", path) else ""


def _notes(model: Any) -> Sequence[str]:
    """What was lost before the file was written."""
    # The legacy exporter renames what it folds; the other leaves the scope of the normalisation on the convolution.
    folded = any(tensor.name.startswith("onnx::Conv_") for tensor in model.graph.initializer)
    scopes = (entry.value for node in model.graph.node if node.op_type == "Conv" for entry in node.metadata_props)
    if not folded and not any("batch_norm" in scope for scope in scopes):
        return ()
    return (
        "the exporter has folded batch normalisation into the weights, in float32; a .pt2 (torch.export.save) or the "
        "model itself keeps it, to be folded in float64",
    )
