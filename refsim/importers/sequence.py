"""Sequentials of numbered modules: what each is, by its parameters, and the units they make.

Modules without parameters (activations, pools, dropout) show only as gaps in the numbering.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from numpy.typing import NDArray

from refsim.exceptions import FormatError
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.keys import THRESHOLD

Array = NDArray[Any]
Modules = dict[int, str]

_KEY = re.compile(r"(?:([\w.]*?)\.)?([0-9]{1,3})\.(\w+)")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A convolution or linear layer with what belongs to it, by their numbers; `gap` modules stand behind it."""

    at: int
    bn: int | None
    act: int | None
    gap: int


def modules_of(tensors: Mapping[str, Array], groups: re.Pattern[str], where: str, layout: str) -> dict[str, Modules]:
    """By Sequential and number: "conv", "bn", "if" or "linear"; Sequentials and modules in order.

    Parameters
    ----------
    groups
        Names of Sequentials that may be there.
    layout
        What is expected, for messages.
    """
    found: dict[str, Modules] = {}
    for key, value in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None or not groups.fullmatch(match[1] or ""):
            raise FormatError(f"{where}: {shown(key)} does not belong to {layout}")
        name, index, part = match[1] or "", int(match[2]), match[3]
        kind = None
        if part == THRESHOLD:
            kind = "if"
        elif part == "weight":
            kind = {4: "conv", 2: "linear", 1: "bn"}.get(value.ndim)
        elif part in ("bias", "running_mean", "running_var", "num_batches_tracked"):
            continue
        if kind is None:
            raise FormatError(f"{where}: {shown(key)} of shape {value.shape} is not part of a layer refsim knows")
        found.setdefault(name, {})[index] = kind
    return {name: dict(sorted(found[name].items())) for name in sorted(found)}


def units_of(
    name: str,
    modules: Modules,
    kind: Literal["conv", "linear"],
    where: str,
    *,
    relu: bool,
    first: Sequence[int],
    end: int | None = None,
) -> list[Unit]:
    """The convolutions, or linear layers, of one Sequential, each with its normalisation and activation.

    Parameters
    ----------
    kind
        "conv" or "linear"; the last linear layer is the readout, which has no activation.
    relu
        Activations have no thresholds.
    first
        Numbers that the first layer may have.
    end
        Number of what follows in the same Sequential, if something does.

    Raises
    ------
    FormatError
        Something else is there, or a threshold is missing.
    """
    word = {"conv": "Conv2d", "linear": "Linear"}[kind]
    starts = [index for index, found in modules.items() if found == kind]
    if not starts or starts[0] not in first:
        raise FormatError(f"{where}: {name}.{min(modules)} is not the {word} expected at {name}.{min(first)}")
    left = dict(modules)
    units: list[Unit] = []
    followings: list[int | None] = [*starts[1:], end]
    for at, following in zip(starts, followings, strict=True):
        del left[at]
        bn = at + 1 if left.get(at + 1) == "bn" else None
        if bn is not None:
            del left[bn]
        act: int | None = (at if bn is None else bn) + 1
        if following is None and kind == "linear":
            act = None
        elif act is not None and not relu:
            # Dropout may stand between a convolution and its activation.
            act = next((index for index in (act, act + 1) if left.get(index) == "if"), act)
            if left.pop(act, None) != "if":
                raise FormatError(
                    f"{where}: {name}.{at} has no trained threshold behind it ({name}.{act}.{THRESHOLD} is missing); "
                    "activations with and without one in one network are not converted"
                )
        gap = 0 if following is None or act is None else following - act - 1
        if gap < 0:
            raise FormatError(f"{where}: {name}.{at} and {name}.{following} have no activation between them")
        units.append(Unit(at=at, bn=bn, act=act, gap=gap))
    if left:
        index, found = next(iter(left.items()))
        raise FormatError(f"{where}: {name}.{index} ({found}) belongs to no {word} before it")
    return units


def check_head(name: str, units: list[Unit], where: str) -> None:
    """Refuse linear layers between which more stands than an activation and Dropout."""
    for one, other in pairwise(units):
        if one.gap > 1:
            least = other.at - one.gap
            raise FormatError(
                f"{where}: {name}.{other.at} is not the Linear expected at {name}.{least} or "
                f"{name}.{least + 1}; layers without parameters other than Dropout cannot be told from the keys"
            )


def numbered(group: str, index: int | str) -> str:
    """The name of a module."""
    return f"{group}.{index}" if group else str(index)
