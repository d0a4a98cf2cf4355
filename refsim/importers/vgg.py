"""VGG in the layout of the official QCFS code, of any width and depth.

`layer1`, `layer2`, ... are Sequentials of Conv2d, BatchNorm2d (or none), IF, Dropout (or none), repeated, and one pool
of 2 x 2 at the end, whose kind the user must say; `classifier` is Flatten, Linear, and any number of IF, Dropout,
Linear after it. What a module is follows from its parameters; modules without parameters show only as gaps in the
numbering.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from refsim.exceptions import FormatError, UsageError
from refsim.importers.graph import Built, Graph, square_side
from refsim.importers.layouts import VGG_NAMES
from refsim.importers.options import ImageShape, ImportOptions, Pool
from refsim.importers.sequence import Unit, check_head, modules_of, numbered, units_of
from refsim.model import INPUT

Array = NDArray[Any]

_GROUPS = re.compile(r"layer[0-9]{1,2}|classifier")
_COMMON_SIDES = (32, 64, 128, 224, 256)


def is_vgg(tensors: Mapping[str, Array]) -> bool:
    """Whether the keys are those of this layout."""
    return "layer1.0.weight" in tensors and any(re.match(r"classifier\.[0-9]+\.weight", key) for key in tensors)


def build_vgg(tensors: Mapping[str, Array], where: str, options: ImportOptions) -> Built:
    """Make the layers.

    Raises
    ------
    FormatError
        Keys or modules that do not follow the layout.
    UsageError
        Something the keys do not say: the kind of its pools, or the size of the image.
    """
    modules = modules_of(tensors, _GROUPS, where, "the VGG layout (layerN.I.*, classifier.I.*)")
    stages = [f"layer{number}" for number in range(1, len(modules))]
    if set(modules) != {*stages, "classifier"}:
        raise FormatError(f"{where}: expected layer1, layer2, ... and classifier, got {', '.join(modules)}")
    relu = options.relu
    units = {stage: units_of(stage, modules[stage], "conv", where, relu=relu, first=(0,)) for stage in stages}
    for stage, convs in units.items():
        _check_gaps(stage, convs, where)
    head = units_of("classifier", modules["classifier"], "linear", where, relu=relu, first=(0, 1))
    check_head("classifier", head, where)
    pool = require_pool(options, where)
    shape = _image_shape(tensors, where, options, stages, units, head[0].at)
    graph = Graph(tensors, where=where, shape=shape, options=options)
    dropout = _has_dropout(units)
    at = INPUT
    for stage in stages:
        for unit in units[stage]:
            at = graph.conv(f"{stage}.{unit.at}", at, bn=f"{stage}.{unit.bn}" if unit.bn else None)
            at = graph.spiking(f"{stage}.{unit.act}", at)
        last = units[stage][-1].act or 0
        name = "pool" if dropout is None else str(last + 1 + dropout)
        at = graph.pool(f"{stage}.{name}", at, (2, 2), pool)
    at = graph.flatten("classifier.0" if head[0].at == 1 else "classifier.flatten", at)
    add_head(graph, "classifier", head, at)
    depths = tuple(len(units[stage]) for stage in stages)
    return graph.finish(VGG_NAMES.get(depths, f"VGG, {sum(depths)} convolutions"))


def require_pool(options: ImportOptions, where: str) -> Pool:
    """The kind of pools, which the keys of a VGG do not show."""
    if options.pool is None:
        raise UsageError(
            f"{where}: the keys of a VGG do not show how it pools; say --pool avg (in Python, pool='avg') if it was "
            "trained with average pooling, as the official QCFS code and `refsim train` do; "
            "with max pooling, --pool max-cumulative or --pool max-or"
        )
    return options.pool


def add_head(graph: Graph, group: str, units: list[Unit], at: str) -> str:
    """The linear layers with their activations."""
    for unit in units:
        bn = None if unit.bn is None else numbered(group, unit.bn)
        at = graph.linear(numbered(group, unit.at), at, bn=bn)
        if unit.act is not None:
            at = graph.spiking(numbered(group, unit.act), at)
    return at


def _check_gaps(stage: str, units: list[Unit], where: str) -> None:
    """Refuse anything but Dropout behind an activation inside a Sequential."""
    for one, other in pairwise(units):
        if one.gap > 1:
            raise FormatError(
                f"{where}: {stage}.{other.at} is not the Conv2d expected at {stage}.{other.at - one.gap}; "
                "layers without parameters other than Dropout (max pooling, ...) cannot be told from the keys"
            )


def _has_dropout(units: Mapping[str, list[Unit]]) -> bool | None:
    """Whether an activation is followed by Dropout; None if no Sequential has two convolutions to tell by."""
    gaps = {unit.gap for stage in units.values() for unit in stage[:-1]}
    return gaps.pop() == 1 if len(gaps) == 1 else None


def _image_shape(
    tensors: Mapping[str, Array],
    where: str,
    options: ImportOptions,
    stages: list[str],
    units: Mapping[str, list[Unit]],
    first_linear: int,
) -> ImageShape:
    """The size of the image, from the first linear layer: each stage halves it, dropping an odd row."""
    if options.shape is not None:
        return options.shape
    channels = int(tensors[f"{stages[0]}.0.weight"].shape[1])
    last = tensors[f"{stages[-1]}.{units[stages[-1]][-1].at}.weight"].shape[0]
    n = tensors[f"classifier.{first_linear}.weight"].shape[1]
    side = square_side(n // last) if n % last == 0 else None
    if not side:
        raise UsageError(
            f"{where}: {n} features of {last} channels are not a square; "
            "give --input-shape C,H,W (in Python, input_shape=)"
        )
    factor = 2 ** len(stages)
    least, most = side * factor, (side + 1) * factor - 1
    if options.usual_shape is not None:
        height, width = options.usual_shape[1:]
        if all(size // factor == side for size in (height, width)):
            return (channels, height, width)
        # Another size would be simulated without a word: the data set's images or the pools are not what was thought.
        raise UsageError(
            f"{where}: {n} features of {last} channels behind {len(stages)} pools come from images of {least} to "
            f"{most} pixels a side, and those of the data set have {height} x {width}; if the network reads others, "
            f"give --input-shape {channels},H,W (in Python, input_shape=)"
        )
    if least in _COMMON_SIDES:
        return (channels, least, least)
    raise UsageError(
        f"{where}: the image has {least} to {most} pixels a side; "
        f"give --input-shape {channels},H,W (in Python, input_shape=)"
    )
