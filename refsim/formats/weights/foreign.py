"""HDF5 files of other tools, told from damaged weight files."""

from __future__ import annotations

import os

from refsim.exceptions import FormatError
from refsim.formats.untrusted.content import Content
from refsim.formats.untrusted.reader import read_foreign


def refuse(path: str | os.PathLike[str]) -> None:
    """Say whose file it is, if it is known; nothing happens otherwise.

    Raises
    ------
    FormatError
        It is a NIR graph, a model of Keras, or a network of lava-dl.
    """
    try:
        content = read_foreign(path, "weight file")
    except FormatError:
        return
    kind = _kind(content)
    if kind is not None:
        raise FormatError(f"is not a weight file but {kind}") from None


def _kind(content: Content) -> str | None:
    root = content["/"].attrs
    if "format" in root:
        return None
    if "/node/nodes" in content and "/node/edges" in content:
        return "a NIR graph; `refsim convert` makes a weight file of it"
    if (
        {"keras_version", "model_config"} & set(root)
        or "/model_weights" in content
        or "/_layer_checkpoint_dependencies" in content
    ):
        return "a Keras model, which refsim does not read; export it to ONNX"
    if "/layer" in content and any(path.startswith("/layer/0") for path in content):
        return "a network of lava-dl, which refsim does not read"
    return None
