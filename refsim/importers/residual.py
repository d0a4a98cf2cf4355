"""ResNets of basic or bottleneck blocks, in any layout that `refsim.importers.layouts` describes.

A shortcut is the identity, a convolution of its own, or, where a block changes the shape and has no parameters for
it ("option A"), every second pixel with zeros as the new channels. Activations are functions without a name in many
codes; the layout gives them one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError, UsageError
from refsim.importers.graph import Built, Graph, square_side
from refsim.importers.keys import THRESHOLD, Zeros
from refsim.importers.layouts import RESNET_NAMES, Residual, Stem, Unit
from refsim.importers.options import ImageShape, ImportOptions, MaxKind
from refsim.model import INPUT

Array = NDArray[Any]


def build_residual(layout: Residual, tensors: Mapping[str, Array], where: str, options: ImportOptions) -> Built:
    """Make the layers.

    Raises
    ------
    FormatError
        Keys that do not follow the layout.
    UsageError
        Something the keys do not say: the size of the image, or what stands behind the stem.
    """
    depths = _depths(layout, tensors, where)
    stem = _stem(layout, tensors, where)
    pool = _stem_pool(stem, tensors, depths, where, options)
    shape = image_shape(int(tensors[f"{stem.units[0].conv}.weight"].shape[1]), where, options)
    graph = Graph(tensors, where=where, shape=shape, options=options)
    _check_normalised(stem, layout, graph)

    at = INPUT
    for unit in stem.units:
        at = _conv(graph, unit, "", at, stride=unit.stride)
        at = graph.spiking(unit.act, at, _threshold(graph, "", unit.thresholds or (unit.act,)))
    if pool is not None:
        at = graph.max_pool("maxpool", at, kernel=(3, 3), stride=(2, 2), padding=(1, 1), kind=pool)
    plain_shortcuts = False
    n_units = 2
    for stage, depth in enumerate(depths, start=layout.first):
        for number in range(depth):
            block = f"{layout.stage.format(stage)}.{number}."
            units = [unit for unit in layout.units if f"{block}{unit.conv}.weight" in tensors]
            n_units = max(n_units, len(units))
            stride = 2 if stage > layout.first and number == 0 else 1
            inner = at
            for place, unit in enumerate(units):
                # The 3 x 3 convolution has the stride: the first of two, the middle one of three (ResNet v1.5).
                here = stride if place == len(units) - 2 else 1
                inner = _conv(graph, unit, block, inner, stride=here, grouped=len(units) == 3 and place == 1)
                if place < len(units) - 1:
                    inner = graph.spiking(
                        f"{block}{unit.act}", inner, _threshold(graph, block, unit.thresholds or (unit.act,))
                    )
            at, plain = _shortcut(graph, layout, block, at, inner, stride, options)
            plain_shortcuts |= plain
            names = tuple(name.format(len(units)) for name in layout.thresholds)
            at = graph.spiking(
                f"{block}{layout.last.format(len(units))}",
                graph.add(f"{block}add", inner, at),
                _threshold(graph, block, names),
            )
    _head(graph, layout, at)
    name = RESNET_NAMES.get((n_units, depths), f"ResNet, {sum(depths)} blocks")
    if n_units == 2 and len(depths) == 3 and len(set(depths)) == 1:
        name = f"ResNet-{6 * depths[0] + 2}"
    if plain_shortcuts:
        name += ", option-A shortcuts as 1x1 stride-2 convolutions of zeros and ones"
    return graph.finish(name)


def _depths(layout: Residual, tensors: Mapping[str, Array], where: str) -> tuple[int, ...]:
    """The number of blocks of each stage."""
    pattern = re.compile(re.escape(layout.stage).replace(r"\{\}", "([0-9]{1,2})") + r"\.([0-9]{1,3})\.")
    blocks: dict[int, set[int]] = {}
    for match in filter(None, map(pattern.match, tensors)):
        blocks.setdefault(int(match[1]), set()).add(int(match[2]))
    if sorted(blocks) != list(range(layout.first, layout.first + len(blocks))):
        expected = ", ".join(layout.stage.format(layout.first + n) for n in (0, 1))
        raise FormatError(f"{where}: expected {expected}, ..., got stages {sorted(blocks)}")
    for stage, numbers in blocks.items():
        name = layout.stage.format(stage)
        if sorted(numbers) != list(range(len(numbers))):
            raise FormatError(f"{where}: {name} has blocks {sorted(numbers)}; expected 0, 1, 2, ...")
        for number in numbers:
            # A block without its first two convolutions is another kind of block.
            for unit in layout.units[:2]:
                if f"{name}.{number}.{unit.conv}.weight" not in tensors:
                    raise FormatError(f"{where}: '{name}.{number}.{unit.conv}.weight' is missing")
    return tuple(len(blocks[stage]) for stage in sorted(blocks))


def _stem(layout: Residual, tensors: Mapping[str, Array], where: str) -> Stem:
    found: tuple[int, ...] | None = None
    for stem in layout.stems:
        weights = [tensors.get(f"{unit.conv}.weight") for unit in stem.units]
        first = weights[0]
        if first is not None and all(each is not None for each in weights):
            found = first.shape[2:]
            if found == (stem.kernel, stem.kernel):
                return stem
    name = layout.stems[-1].units[0].conv
    if found is None:
        raise FormatError(f"{where}: '{name}.weight' is missing")
    kernels = " or ".join(f"{n} x {n}" for n in sorted({stem.kernel for stem in layout.stems}))
    raise FormatError(f"{where}: {name} has a kernel of {found}; refsim knows the layout with {kernels} only")


def _stem_pool(
    stem: Stem,
    tensors: Mapping[str, Array],
    depths: tuple[int, ...],
    where: str,
    options: ImportOptions,
) -> MaxKind | None:
    """How the pool behind the stem finds its maximum; None: there is no pool."""
    # Both are in use where a network of torchvision was changed for small images: some keep the pool.
    names = {part for key in tensors for part in key.split(".")}
    open_ = stem.pool is None and len(depths) == 4 and {"fc", "downsample"} <= names
    if not stem.pool and not open_:
        if options.pool not in (None, "none"):
            raise UsageError(f"{where}: the pools of this ResNet are known; leave pool out")
        return None
    if options.pool == "max-cumulative" or options.pool == "max-or":
        return options.pool
    if open_ and options.pool == "none":
        return None
    choices = "--pool max-cumulative or --pool max-or (in Python, pool=)"
    if open_:
        raise UsageError(
            f"{where}: its stem of 3 x 3 may or may not be followed by a max pool of 3 x 3, stride 2, which the keys "
            f"do not show; say --pool none, {choices}"
        )
    raise UsageError(
        f"{where}: this ResNet has a max pool of 3 x 3, stride 2, behind its stem; say {choices}"
        + ("; a padded average pool in its place is not simulated" if options.pool == "avg" else "")
    )


def _check_normalised(stem: Stem, layout: Residual, graph: Graph) -> None:
    """Refuse blocks with normalisations behind a stem without: those of pre-activation ResNets stand elsewhere."""
    first = f"{layout.stage.format(layout.first)}.0.{layout.units[0].bn}"
    if graph.has_norm(first) and not graph.has_norm(stem.units[-1].bn):
        raise FormatError(
            f"{graph.where}: '{first}' is there and '{stem.units[-1].bn}' is not: a pre-activation ResNet, whose sums "
            "are read twice and have no neuron behind them; it has no spiking counterpart here"
        )


def _conv(graph: Graph, unit: Unit, block: str, source: str, *, stride: int, grouped: bool = False) -> str:
    bn = f"{block}{unit.bn}"
    has_norm = graph.has_norm(bn) or _is_expected(graph, bn)
    return graph.conv(f"{block}{unit.conv}", source, bn=bn if has_norm else None, stride=stride, grouped=grouped)


def _is_expected(graph: Graph, bn: str) -> bool:
    """Whether some, but not all, of a normalisation's tensors are there: the missing one is named."""
    weight = graph.left.get(f"{bn}.weight")
    return weight is not None and weight.ndim == 1


def _threshold(graph: Graph, block: str, names: tuple[str, ...]) -> str:
    """The first of these modules that holds a threshold; if none does, the first, which will be missed."""
    keys = [f"{block}{name}" for name in names]
    return next((key for key in keys if f"{key}.{THRESHOLD}" in graph.tensors), keys[0])


def _shortcut(
    graph: Graph, layout: Residual, block: str, source: str, inner: str, stride: int, options: ImportOptions
) -> tuple[str, bool]:
    """What the sum reads beside the block, and whether it is a shortcut without parameters."""
    for shortcut in layout.shortcuts:
        name, bn = f"{block}{shortcut.conv}", f"{block}{shortcut.bn}"
        weight = graph.left.get(f"{name}.weight")
        if weight is None or weight.ndim != 4:
            continue
        if shortcut.pooled and stride > 1:
            _, height, width = graph.shapes[source]
            if height % stride or width % stride:
                raise FormatError(f"{graph.where}: {name} pools {height} x {width} pixels, which are not even")
            source = graph.avg_pool(f"{block}shortcut_pool", source, (stride, stride))
            stride = 1
        return graph.conv(name, source, bn=bn if graph.has_norm(bn) else None, stride=stride), False
    if graph.shapes[source] == graph.shapes[inner]:
        return source, False
    wanted = options.keys.zeros
    if wanted is None and "linear.weight" not in graph.tensors:
        raise UsageError(
            f"{graph.where}: {block.rstrip('.')} changes the shape, and no key belongs to its shortcut; if it takes "
            "every second pixel and fills up with zeros, say where they are, shortcuts.zeros = 'around' or 'behind', "
            "in the file of --keys; if it has parameters, name them there"
        )
    if wanted is None:
        graph.assume("shortcuts without parameters: assumed zeros half before and half behind the channels (option A)")
    return _zero_padded(graph, f"{block}shortcut", source, graph.shapes[inner], stride, wanted or "around"), True


def _zero_padded(graph: Graph, name: str, source: str, shape: tuple[int, ...], stride: int, zeros: Zeros) -> str:
    """Option A as a convolution of zeros and ones: output channel c is input channel c - before, or nothing."""
    into, out = graph.shapes[source][0], shape[0]
    before = 0 if zeros == "behind" else out // 4
    weight = np.zeros((out, into, 1, 1), np.float32)
    channels = np.arange(min(into, out - before))
    weight[channels + before, channels] = 1
    return graph.conv(name, source, stride=stride, weight=weight)


def _head(graph: Graph, layout: Residual, at: str) -> None:
    """The pool over the plane, and the readout; one with more inputs than channels reads a pool of s x s windows."""
    head = next((name for name in layout.heads if f"{name}.weight" in graph.left), layout.heads[0])
    channels, height, width = graph.shapes[at]
    weight = graph.left.get(f"{head}.weight")
    cells = 1
    if weight is not None and weight.ndim == 2 and weight.shape[1] % channels == 0:
        cells = weight.shape[1] // channels
    side = square_side(cells)
    if not side or height % side or width % side:
        raise FormatError(
            f"{graph.where}: '{head}' reads {cells} cells of each channel, the plane before it has {height} x {width}; "
            "the image has another size (--input-shape)"
        )
    window = (height // side, width // side)
    if window != (1, 1):
        at = graph.avg_pool("avg_pool", at, window)
    if cells > 1:
        at = graph.flatten("flatten", at)
    graph.linear(head, at)


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
