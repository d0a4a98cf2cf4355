"""The public ReLU ResNets for CIFAR-10 (ResNet-20, -32, ...) in the layout of `pytorch_resnet_cifar10`.

`conv1`, `bn1`, then `layer1` .. `layer3` of blocks `conv1`, `bn1`, `conv2`, `bn2`, a global average pool and `linear`.
Where a block changes the shape, its shortcut has no parameters ("option A"): every second pixel, and a quarter of
the new channels as zeros on each side. Activations are functions without a name of their own: here `act`, and `act1`
and `act2` in each block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError
from refsim.importers.graph import Graph
from refsim.importers.options import ImageShape, ImportOptions
from refsim.importers.resnet import image_shape
from refsim.model import INPUT, AnyLayer

Array = NDArray[Any]

_BLOCK = re.compile(r"layer([1-3])\.([0-9]{1,3})\.conv1\.weight")


def is_resnet_cifar(tensors: Mapping[str, Array]) -> bool:
    """Whether the keys are those of this layout."""
    return {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer3.0.conv1.weight", "linear.weight"} <= set(
        tensors
    )


def build_resnet_cifar(
    tensors: Mapping[str, Array], where: str, options: ImportOptions
) -> tuple[ImageShape, tuple[AnyLayer, ...], str]:
    """Make the layers; see `build_resnet`."""
    blocks = sorted((int(match[1]), int(match[2])) for match in filter(None, map(_BLOCK.fullmatch, tensors)))
    depth = len(blocks) // 3
    if blocks != [(stage, number) for stage in (1, 2, 3) for number in range(depth)]:
        raise FormatError(f"{where}: expected as many blocks in layer1, layer2 and layer3, got {blocks}")
    shape = image_shape(int(tensors["conv1.weight"].shape[1]), where, options)
    graph = Graph(tensors, where=where, shape=shape, choice=options.choice, bn_eps=options.bn_eps)
    at = graph.spiking("act", graph.conv("conv1", INPUT, bn="bn1"))
    for stage, number in blocks:
        block = f"layer{stage}.{number}"
        stride = 2 if stage > 1 and number == 0 else 1
        inner = graph.spiking(f"{block}.act1", graph.conv(f"{block}.conv1", at, bn=f"{block}.bn1", stride=stride))
        inner = graph.conv(f"{block}.conv2", inner, bn=f"{block}.bn2")
        if stride == 2:
            at = _shortcut(graph, f"{block}.shortcut", at, graph.shapes[inner][0])
        at = graph.spiking(f"{block}.act2", graph.add(f"{block}.add", inner, at))
    _, height, width = graph.shapes[at]
    graph.linear("linear", graph.avg_pool("avg_pool", at, (height, width)))
    name = f"ResNet-{6 * depth + 2}, option-A shortcuts as 1x1 stride-2 convolutions of zeros and ones"
    return shape, graph.finish(), name


def _shortcut(graph: Graph, name: str, source: str, out: int) -> str:
    """Option A as a convolution: output channel c is input channel c - out / 4, or nothing."""
    into = graph.shapes[source][0]
    weight = np.zeros((out, into, 1, 1), np.float32)
    channels = np.arange(min(into, out - out // 4))
    weight[channels + out // 4, channels] = 1
    graph.left[f"{name}.weight"] = weight
    return graph.conv(name, source, stride=2)
