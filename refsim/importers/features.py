"""One Sequential of convolutions and pools, then linear layers: VGGs of torchvision and after it, plain Sequentials.

Pools and Dropout have no keys. Where a module without parameters may stand behind an activation, both are tried: the
one reading of the numbering that ends in as many features as the first linear layer has is the network; of several,
or none, the user is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

from numpy.typing import NDArray

from refsim.exceptions import FormatError, UsageError
from refsim.importers.graph import Built, Graph, square_side
from refsim.importers.layouts import VGG_NAMES, Sequence
from refsim.importers.options import ImageShape, ImportOptions
from refsim.importers.residual import image_shape
from refsim.importers.sequence import Unit, check_head, modules_of, numbered, units_of
from refsim.importers.vgg import add_head, require_pool
from refsim.model import INPUT

Array = NDArray[Any]

_MOST_OPEN = 16
"""Gaps that are tried as pools and as Dropout: 2^16 readings take a second."""


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """Behind which units pools stand, by place; whether convolutions are padded; the plane's size at the end."""

    pools: frozenset[int]
    padded: bool
    size: tuple[int, int]


def find_sequence(layout: Sequence, tensors: Mapping[str, Array]) -> tuple[str, str] | None:
    """The names of body and head, if the keys are those of this layout; the body of linear layers has no head."""
    for body in layout.body:
        weight = tensors.get(numbered(body, 0) + ".weight")
        if weight is None or weight.ndim != 4:
            continue
        heads = layout.heads or (body,)
        for head in heads:
            pattern = re.compile(re.escape(head) + r"(\.[0-9]{1,3})?\.weight" if head else r"[0-9]{1,3}\.weight")
            names = [key for key in tensors if pattern.fullmatch(key) and tensors[key].ndim == 2]
            if names:
                return body, head
    return None


def build_sequence(layout: Sequence, tensors: Mapping[str, Array], where: str, options: ImportOptions) -> Built:
    """Make the layers; see `build_vgg`."""
    found = find_sequence(layout, tensors)
    assert found is not None  # whoever calls has asked
    body, head = found
    single = f"{head}.weight" in tensors
    relu = options.relu
    convs, linears = _units(body, head, single, tensors, where, relu)
    shape = image_shape(int(tensors[numbered(body, convs[0].at) + ".weight"].shape[1]), where, options)
    last = int(tensors[numbered(body, convs[-1].at) + ".weight"].shape[0])
    first_linear = head if single else numbered(head, linears[0].at)
    n = int(tensors[f"{first_linear}.weight"].shape[1])
    side = square_side(n // last) if n % last == 0 else None
    if not side:
        raise UsageError(f"{where}: {n} features of {last} channels are not a square; refsim cannot place its pools")
    reading = _read(body, convs, layout, tensors, shape, side, where, options)

    graph = Graph(tensors, where=where, shape=shape, options=options)
    at = INPUT
    for place, unit in enumerate(convs):
        bn = None if unit.bn is None else numbered(body, unit.bn)
        at = graph.conv(numbered(body, unit.at), at, bn=bn, padding=None if reading.padded else 0)
        at = graph.spiking(numbered(body, unit.act or 0), at)
        last_one = place == len(convs) - 1
        pooled = place in reading.pools
        if last_one and reading.size != (side, side):
            at = _adaptive(graph, at, reading.size, side, pooled, options)
        elif pooled:
            name = numbered(body, "pool") if last_one else numbered(body, (unit.act or 0) + unit.gap)
            average = last_one and layout.last_is_average
            at = graph.pool(name, at, (2, 2), "avg" if average else require_pool(options, where))
    if reading.pools:
        behind = ", ".join(numbered(body, convs[place].at) for place in sorted(reading.pools))
        graph.assume(f"pools of 2 x 2 behind {behind}: the reading of the keys that fits {n} features")
    at = graph.flatten("flatten", at)
    if single:
        graph.linear(head, at)
    else:
        add_head(graph, head, linears, at)
    depths = _depths(len(convs), reading.pools)
    other = f"VGG, {len(convs)} convolutions" if layout.padded else f"Sequential, {len(convs)} convolutions"
    return graph.finish(VGG_NAMES.get(depths, other))


def _adaptive(graph: Graph, at: str, size: tuple[int, int], side: int, pooled: bool, options: ImportOptions) -> str:
    """The adaptive average pool at the end, with the pool of 2 x 2 before it in one."""
    graph.assume(f"an adaptive average pool of {size[0]} x {size[1]} to {side} x {side} cells assumed")
    if pooled and require_pool(options, graph.where) != "avg":
        raise FormatError(
            f"{graph.where}: a max pool, then an average pool of {size[0]} x {size[1]} to {side} x {side} cells; "
            "two pools in a row are not simulated"
        )
    factor = 2 if pooled else 1
    return graph.avg_pool("avg_pool", at, (factor * size[0] // side, factor * size[1] // side))


def _units(
    body: str, head: str, single: bool, tensors: Mapping[str, Array], where: str, relu: bool
) -> tuple[list[Unit], list[Unit]]:
    """The convolutions and the linear layers."""
    own = {key: value for key, value in tensors.items() if not (single and key in (f"{head}.weight", f"{head}.bias"))}
    groups = re.compile("|".join(re.escape(name) for name in {body, head}))
    expected = f"the layout {numbered(body, 'N')}.*, {head if single else numbered(head, 'N')}.*"
    modules = modules_of(own, groups, where, expected)
    inside = modules[body]
    if head == body:
        # One Sequential: the linear layers begin behind the convolutions and what belongs to them.
        start = next(index for index, kind in inside.items() if kind == "linear")
        convs = units_of(
            body, {i: kind for i, kind in inside.items() if i < start}, "conv", where, relu=relu, first=(0,), end=start
        )
        linears = units_of(
            body, {i: kind for i, kind in inside.items() if i >= start}, "linear", where, relu=relu, first=(start,)
        )
    else:
        convs = units_of(body, inside, "conv", where, relu=relu, first=(0,))
        linears = []
        if not single:
            linears = units_of(head, modules[head], "linear", where, relu=relu, first=(0, 1))
    check_head(head, linears, where)
    return convs, linears


def _read(
    body: str,
    convs: list[Unit],
    layout: Sequence,
    tensors: Mapping[str, Array],
    shape: ImageShape,
    side: int,
    where: str,
    options: ImportOptions,
) -> _Reading:
    """The one reading of the numbering that ends in planes of `side` x `side`."""
    certain, open_ = _possible_pools(body, convs, where, options, one_group=not layout.heads)
    if len(open_) > _MOST_OPEN:
        raise UsageError(f"{where}: {_choices(body, convs, open_)}")
    kernels = [int(tensors[numbered(body, unit.at) + ".weight"].shape[2]) for unit in convs]
    paddings = (True,) if layout.padded else (True, False)
    if options.keys.padding is not None:
        paddings = (options.keys.padding > 0,)
        if options.keys.padding and set(kernels) != {2 * options.keys.padding + 1}:
            raise UsageError(
                f"{where}: convolutions.padding is {options.keys.padding}; refsim pads by 0 or half a kernel"
            )
    if set(kernels) == {1}:
        paddings = (True,)
    readings = list(_readings(certain, open_, kernels, paddings, shape))
    fitting = [reading for reading in readings if reading.size == (side, side)]
    if not fitting:
        # The plane is larger, and an adaptive average pool makes it side x side: with all the pools that can be.
        everything = frozenset(certain + open_)
        fitting = [
            reading
            for reading in readings
            if reading.pools == everything and not any(size % side for size in reading.size)
        ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UsageError(
            f"{where}: no reading of the keys makes {side} x {side} cells of images of {shape[1]} x {shape[2]}; "
            f"give the size of its images (--input-shape), or pools.after = [...] in the file of --keys"
        )
    raise UsageError(f"{where}: {_choices(body, convs, open_)}")


def _readings(
    certain: list[int], open_: list[int], kernels: list[int], paddings: tuple[bool, ...], shape: ImageShape
) -> Iterator[_Reading]:
    for padded in paddings:
        for chosen in product((False, True), repeat=len(open_)):
            pools = frozenset(certain) | {place for place, pool in zip(open_, chosen, strict=True) if pool}
            height, width = shape[1:]
            for place, kernel in enumerate(kernels):
                if not padded:
                    height, width = height - kernel + 1, width - kernel + 1
                if place in pools:
                    height, width = height // 2, width // 2
            if height > 0 and width > 0:
                yield _Reading(pools=pools, padded=padded, size=(height, width))


def _possible_pools(
    body: str, convs: list[Unit], where: str, options: ImportOptions, *, one_group: bool
) -> tuple[list[int], list[int]]:
    """Places of pools that are certain, and of modules that may be pools or Dropout."""
    if options.keys.pools is not None:
        names = [numbered(body, unit.at) for unit in convs]
        unknown = [name for name in options.keys.pools if name not in names]
        if unknown:
            raise UsageError(f"{where}: pools.after names {unknown[0]!r}; the convolutions are {', '.join(names)}")
        return [names.index(name) for name in options.keys.pools], []
    gaps = [unit.gap for unit in convs]
    # Behind the last convolution stand, unseen or counted, Flatten and perhaps a pool and Dropout.
    inner, last = gaps[:-1], gaps[-1] - 1 if one_group else None
    for unit, gap in zip(convs, inner):
        if gap > 2:
            raise FormatError(
                f"{where}: {gap} modules without parameters behind {numbered(body, unit.act or 0)}; only Dropout and a "
                "pool are expected there"
            )
    # Dropout behind every activation, or behind none; where a gap of two is, it is Dropout and a pool.
    uniform = 2 in inner and 0 not in inner
    certain = [place for place, gap in enumerate(inner) if gap == 2]
    open_ = [] if uniform else [place for place, gap in enumerate(inner) if gap == 1]
    end = len(convs) - 1
    if last is None or last == 1:
        open_.append(end)
    elif last >= 2:
        certain.append(end)
    return certain, open_


def _choices(body: str, convs: list[Unit], open_: list[int]) -> str:
    names = ", ".join(numbered(body, convs[place].at) for place in open_)
    return (
        f"the keys do not show whether pools or Dropout stand behind {names}; several readings fit; write those behind "
        f"which a pool of 2 x 2 stands into the file of --keys, e.g. pools.after = ['{numbered(body, convs[0].at)}']"
    )


def _depths(n: int, pools: frozenset[int]) -> tuple[int, ...]:
    """Convolutions before each pool."""
    ends = [-1, *sorted(pools)]
    depths = [later - earlier for earlier, later in pairwise(ends)]
    return tuple(depths) if ends[-1] == n - 1 else (*depths, n - 1 - ends[-1])
