"""The names of a checkpoint's tensors: thresholds under one name, and what the user says of keys nobody knows."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from numpy.typing import NDArray

from refsim.exceptions import FormatError, UsageError
from refsim.formats.untrusted.opening import read_text
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import shown

Array = NDArray[Any]

THRESHOLD = "thresh"
"""The last part of a threshold's key in today's QCFS code."""

THRESHOLDS = (THRESHOLD, "up", "v_threshold", "thre", "act_alpha")
"""What public codes call a trained threshold: QCFS; older QCFS, SRP and COS; SpikingJelly; SNM; PACT."""

Zeros = Literal["around", "behind"]
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class KeyMap:
    """What a user says of the keys, and of modules that have none.

    rename
        Keys, or beginnings of keys up to a dot, and what stands there instead.
    pools
        Names of the layers behind whose activations a pool of 2 x 2 stands; None: as the keys show.
    padding
        Of every convolution of a plain Sequential; None: as the sizes show.
    zeros
        Where a shortcut without parameters has its zero channels: half of them before and half behind the others
        ("around"), or all "behind" them.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    pools: tuple[str, ...] | None = None
    padding: int | None = None
    zeros: Zeros | None = None


def read_key_map(path: str | os.PathLike[str]) -> KeyMap:
    """Read a MAP.toml (docs/layouts.md).

    Raises
    ------
    UsageError
        Not TOML, or something in it that nobody reads.
    """
    where = clean(os.fspath(path), None)
    try:
        content = tomllib.loads(read_text(path, what="TOML file", most=_MOST_BYTES))
    except FormatError as error:
        raise UsageError(str(error)) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{where}: not a TOML file ({clean(str(error))})") from None
    taken = {
        "rename": content.pop("rename", {}),
        "pools": _entry(content, "pools", "after", where),
        "padding": _entry(content, "convolutions", "padding", where),
        "zeros": _entry(content, "shortcuts", "zeros", where),
    }
    if content:
        raise UsageError(
            f"{where}: unknown entry {shown(next(iter(content)))}; expected [rename], pools.after, "
            "convolutions.padding, shortcuts.zeros"
        )
    rename, pools, padding, zeros = taken.values()
    if not isinstance(rename, dict) or not all(isinstance(new, str) and new for new in rename.values()):
        raise UsageError(f"{where}: [rename] must hold lines such as 'backbone.stem' = 'conv1'")
    if pools is not None and not (isinstance(pools, list) and all(isinstance(name, str) for name in pools)):
        raise UsageError(f"{where}: pools.after must be a list of names of layers")
    if padding is not None and (
        isinstance(padding, bool) or not isinstance(padding, int) or not 0 <= padding < 1 << 16
    ):
        raise UsageError(f"{where}: convolutions.padding must be a whole number, got {clean(repr(padding))}")
    if zeros is not None and zeros not in get_args(Zeros):
        raise UsageError(f"{where}: shortcuts.zeros must be {' or '.join(get_args(Zeros))}, got {clean(repr(zeros))}")
    return KeyMap(rename=rename, pools=None if pools is None else tuple(pools), padding=padding, zeros=zeros)


def _entry(content: dict[str, Any], table: str, key: str, where: str) -> Any:
    inside = content.pop(table, {})
    if not isinstance(inside, dict) or set(inside) - {key}:
        raise UsageError(f"{where}: [{table}] holds {key} and nothing else")
    return inside.get(key)


def known_names(tensors: Mapping[str, Array], rename: Mapping[str, str], where: str) -> dict[str, Array]:
    """The same tensors under the names that layouts know.

    Raises
    ------
    FormatError
        Two tensors would have the same name.
    UsageError
        A line of `rename` that fits no key.
    """
    unused = set(rename)
    named: dict[str, Array] = {}
    for key, value in tensors.items():
        parts = key.split(".")
        # The longest beginning that the user names.
        for n in range(len(parts), 0, -1):
            start = ".".join(parts[:n])
            if start in rename:
                unused.discard(start)
                key = ".".join([rename[start], *parts[n:]])
                break
        rest, _, last = key.rpartition(".")
        if rest and last in THRESHOLDS:
            key = f"{rest}.{THRESHOLD}"
        if key in named:
            raise FormatError(f"{where}: both the old and the new name of {shown(key)} are there")
        named[key] = value
    if unused:
        raise UsageError(f"{where}: no key begins with {shown(min(unused))}, which --keys renames")
    return named


def likely_thresholds(tensors: Mapping[str, Array]) -> list[str]:
    """Keys of an unknown name that hold as few numbers as a threshold does and belong to no layer or normalisation."""
    usual = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked", THRESHOLD)
    return [key for key, value in tensors.items() if key.rpartition(".")[2] not in usual and value.ndim <= 1]
