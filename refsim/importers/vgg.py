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
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.graph import Graph, square_side
from refsim.importers.options import ImageShape, ImportOptions
from refsim.model import INPUT, AnyLayer

Array = NDArray[Any]
Modules = dict[int, str]

_KEY = re.compile(r"(layer[0-9]{1,2}|classifier)\.([0-9]{1,3})\.(\w+)")
_COMMON_SIDES = (32, 64, 128, 224, 256)
_NAMES: dict[tuple[int, ...], str] = {
    (1, 1, 2, 2, 2): "VGG-11",
    (2, 2, 2, 2, 2): "VGG-13",
    (2, 2, 3, 3, 3): "VGG-16",
    (2, 2, 4, 4, 4): "VGG-19",
}


def is_vgg(tensors: Mapping[str, Array]) -> bool:
    """Whether the keys are those of this layout."""
    return "layer1.0.weight" in tensors and any(re.match(r"classifier\.[0-9]+\.weight", key) for key in tensors)


def build_vgg(
    tensors: Mapping[str, Array], where: str, options: ImportOptions
) -> tuple[ImageShape, tuple[AnyLayer, ...], str]:
    """Make the layers.

    Returns
    -------
    (C, H, W) of the image, the layers, and the architecture's name.

    Raises
    ------
    FormatError
        Keys or modules that do not follow the layout.
    UsageError
        Something the keys do not say: the kind of its pools, or the size of the image.
    """
    modules = _modules(tensors, where)
    stages = [f"layer{number}" for number in range(1, len(modules))]
    if set(modules) != {*stages, "classifier"}:
        raise FormatError(f"{where}: expected layer1, layer2, ... and classifier, got {', '.join(modules)}")
    relu = options.choice.L is None
    units = {stage: _units(stage, modules[stage], where, relu) for stage in stages}
    head = _head(modules["classifier"], where, relu)
    if options.pool is None:
        raise UsageError(
            f"{where}: the keys of a VGG do not show how it pools; say --pool avg (in Python, pool='avg') if it was "
            "trained with average pooling, as the official QCFS code and `refsim train` do; "
            "with max pooling, --pool max-cumulative or --pool max-or"
        )
    shape = _image_shape(tensors, where, options, stages, units, head[0][0])
    graph = Graph(tensors, where=where, shape=shape, choice=options.choice, bn_eps=options.bn_eps)
    dropout = _has_dropout(units)
    at = INPUT
    for stage in stages:
        for conv, bn, act in units[stage]:
            at = graph.conv(f"{stage}.{conv}", at, bn=f"{stage}.{bn}" if bn else None)
            at = graph.spiking(f"{stage}.{act}", at)
        last = units[stage][-1][2]
        pool = "pool" if dropout is None else str(last + 1 + dropout)
        at = graph.pool(f"{stage}.{pool}", at, (2, 2), options.pool)
    at = graph.flatten("classifier.0" if head[0][0] == 1 else "classifier.flatten", at)
    for linear, act_or_none in head:
        at = graph.linear(f"classifier.{linear}", at)
        if act_or_none is not None:
            at = graph.spiking(f"classifier.{act_or_none}", at)
    depths = tuple(len(units[stage]) for stage in stages)
    return shape, graph.finish(), _NAMES.get(depths, f"VGG, {sum(depths)} convolutions")


def _modules(tensors: Mapping[str, Array], where: str) -> dict[str, Modules]:
    """By Sequential and index: "conv", "bn", "if" or "linear"."""
    found: dict[str, Modules] = {}
    for key, value in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise FormatError(f"{where}: {shown(key)} does not belong to the VGG layout (layerN.I.*, classifier.I.*)")
        name, index, part = match[1], int(match[2]), match[3]
        kind = None
        if part == "thresh":
            kind = "if"
        elif part == "weight":
            kind = {4: "conv", 2: "linear", 1: "bn"}.get(value.ndim)
        elif part in ("bias", "running_mean", "running_var", "num_batches_tracked"):
            continue
        if kind is None:
            raise FormatError(f"{where}: {shown(key)} of shape {value.shape} is not part of a layer refsim knows")
        found.setdefault(name, {})[index] = kind
    return {name: dict(sorted(found[name].items())) for name in sorted(found)}


def _units(stage: str, modules: Modules, where: str, relu: bool) -> list[tuple[int, int | None, int]]:
    """The indices of (convolution, normalisation, activation) in one Sequential."""
    units: list[tuple[int, int | None, int]] = []
    left = dict(modules)
    expected = 0
    while left:
        conv = min(left)
        if left.pop(conv) != "conv" or conv - expected not in ((0,) if not units else (0, 1)):
            raise FormatError(
                f"{where}: {stage}.{conv} is not the Conv2d expected at {stage}.{expected}; "
                "layers without parameters other than Dropout (max pooling, ...) cannot be told from the keys"
            )
        bn = conv + 1 if left.get(conv + 1) == "bn" else None
        act = (conv if bn is None else bn) + 1
        left.pop(bn, None) if bn is not None else None
        if not relu and left.pop(act, None) != "if":
            raise FormatError(
                f"{where}: {stage}.{conv} has no trained threshold behind it ({stage}.{act}.thresh is missing); "
                "only QCFS activations convert without calibration"
            )
        units.append((conv, bn, act))
        expected = act + 1
    return units


def _head(modules: Modules, where: str, relu: bool) -> list[tuple[int, int | None]]:
    """The indices of (linear layer, its activation) in the classifier; the readout has none."""
    linears = [index for index, kind in modules.items() if kind == "linear"]
    strange = [index for index, kind in modules.items() if kind not in ("linear", "if")]
    if strange or not linears or linears[0] > 1:
        raise FormatError(f"{where}: classifier is not Flatten, Linear, IF, Dropout, Linear, ...")
    for one, next_ in pairwise(linears):
        if next_ - one not in (2, 3):
            raise FormatError(
                f"{where}: classifier.{next_} is not the Linear expected at classifier.{one + 2} or "
                f"classifier.{one + 3}; layers without parameters other than Dropout cannot be told from the keys"
            )
        if not relu and modules.get(one + 1) != "if":
            raise FormatError(
                f"{where}: classifier.{one} has no trained threshold behind it (classifier.{one + 1}.thresh is missing)"
            )
    return [(index, index + 1 if index != linears[-1] else None) for index in linears]


def _has_dropout(units: Mapping[str, list[tuple[int, int | None, int]]]) -> bool | None:
    """Whether an activation is followed by Dropout; None if no Sequential has two convolutions to tell by."""
    gaps = {after[0] - before[2] for stage in units.values() for before, after in pairwise(stage)}
    return gaps.pop() == 2 if len(gaps) == 1 else None


def _image_shape(
    tensors: Mapping[str, Array],
    where: str,
    options: ImportOptions,
    stages: list[str],
    units: Mapping[str, list[tuple[int, int | None, int]]],
    first_linear: int,
) -> ImageShape:
    """The size of the image, from the first linear layer: each stage halves it, dropping an odd row."""
    if options.shape is not None:
        return options.shape
    channels = int(tensors[f"{stages[0]}.0.weight"].shape[1])
    last = tensors[f"{stages[-1]}.{units[stages[-1]][-1][0]}.weight"].shape[0]
    n = tensors[f"classifier.{first_linear}.weight"].shape[1]
    side = square_side(n // last) if n % last == 0 else None
    if not side:
        raise UsageError(
            f"{where}: {n} features of {last} channels are not a square; "
            "give --input-shape C,H,W (in Python, input_shape=)"
        )
    factor = 2 ** len(stages)
    if options.usual_shape is not None and all(size // factor == side for size in options.usual_shape[1:]):
        return (channels, *options.usual_shape[1:])
    if side * factor in _COMMON_SIDES:
        return (channels, side * factor, side * factor)
    raise UsageError(
        f"{where}: the image has {side * factor} to {(side + 1) * factor - 1} pixels a side; "
        f"give --input-shape {channels},H,W (in Python, input_shape=)"
    )
