"""ResNets of basic blocks in the layout of the official QCFS code (ResNet-18, -20, -34).

`conv1` is Conv2d, BatchNorm2d, IF; `conv2_x`, `conv3_x`, ... are blocks of `residual_function` (Conv2d, BatchNorm2d,
IF, Conv2d, BatchNorm2d), `shortcut` (empty, or Conv2d, BatchNorm2d) and `act`, an IF after the sum; the first block
of every stage after conv2_x has stride 2. Then a global average pool and `fc`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from refsim.exceptions import FormatError, UsageError
from refsim.importers.graph import Graph
from refsim.importers.options import ImageShape, ImportOptions
from refsim.model import INPUT, AnyLayer

Array = NDArray[Any]

_BLOCK = re.compile(r"conv([0-9]{1,2})_x\.([0-9]{1,3})\.")
_NAMES: dict[tuple[int, ...], str] = {(2, 2, 2, 2): "ResNet-18", (3, 3, 3): "ResNet-20", (3, 4, 6, 3): "ResNet-34"}


def is_resnet(tensors: Mapping[str, Array]) -> bool:
    """Whether the keys are those of this layout."""
    return "conv1.0.weight" in tensors and "conv2_x.0.residual_function.0.weight" in tensors


def build_resnet(
    tensors: Mapping[str, Array], where: str, options: ImportOptions
) -> tuple[ImageShape, tuple[AnyLayer, ...], str]:
    """Make the layers.

    Returns
    -------
    (C, H, W) of the image, the layers, and the architecture's name.

    Raises
    ------
    FormatError
        Keys that do not follow the layout.
    UsageError
        The size of the image is not known: a network with global pooling takes any.
    """
    depths = _depths(tensors, where)
    stem = tensors["conv1.0.weight"]
    if stem.shape[2:] != (3, 3):
        raise FormatError(
            f"{where}: conv1.0 has a kernel of {stem.shape[2:]}; refsim knows the layout with 3 x 3 and stride 1 only"
        )
    shape = image_shape(int(stem.shape[1]), where, options)
    graph = Graph(tensors, where=where, shape=shape, choice=options.choice, bn_eps=options.bn_eps)

    def conv_bn(name: str, source: str, stride: int = 1) -> str:
        sequential, index = name.rsplit(".", 1)
        bn = f"{sequential}.{int(index) + 1}"
        return graph.conv(name, source, bn=bn if f"{bn}.running_mean" in graph.left else None, stride=stride)

    at = graph.spiking("conv1.2", conv_bn("conv1.0", INPUT))
    for stage, depth in enumerate(depths, start=2):
        for number in range(depth):
            block = f"conv{stage}_x.{number}"
            stride = 2 if stage > 2 and number == 0 else 1
            inner = conv_bn(f"{block}.residual_function.0", at, stride)
            inner = graph.spiking(f"{block}.residual_function.2", inner)
            inner = conv_bn(f"{block}.residual_function.3", inner)
            if f"{block}.shortcut.0.weight" in graph.left:
                at = conv_bn(f"{block}.shortcut.0", at, stride)
            at = graph.spiking(f"{block}.act", graph.add(f"{block}.add", inner, at))
    _, height, width = graph.shapes[at]
    graph.linear("fc", graph.avg_pool("avg_pool", at, (height, width)))
    return shape, graph.finish(), _NAMES.get(depths, f"ResNet, {sum(depths)} blocks")


def _depths(tensors: Mapping[str, Array], where: str) -> tuple[int, ...]:
    """The number of blocks of conv2_x, conv3_x, ..."""
    blocks: dict[int, set[int]] = {}
    for match in filter(None, map(_BLOCK.match, tensors)):
        blocks.setdefault(int(match[1]), set()).add(int(match[2]))
    if sorted(blocks) != list(range(2, 2 + len(blocks))):
        raise FormatError(f"{where}: expected conv2_x, conv3_x, ..., got stages {sorted(blocks)}")
    for stage, numbers in blocks.items():
        if sorted(numbers) != list(range(len(numbers))):
            raise FormatError(f"{where}: conv{stage}_x has blocks {sorted(numbers)}; expected 0, 1, 2, ...")
    return tuple(len(blocks[stage]) for stage in sorted(blocks))


def image_shape(channels: int, where: str, options: ImportOptions) -> ImageShape:
    """The size of the image of a network with global pooling: the weights leave it open."""
    if options.shape is not None:
        return options.shape
    if options.usual_shape is not None:
        return (channels, *options.usual_shape[1:])
    raise UsageError(
        f"{where}: a network with global pooling takes any image size; "
        f"give --input-shape {channels},H,W (in Python, input_shape=)"
    )
