"""NIR graphs (`.nir`) as networks, without the package nir: HDF5 through the guarded child.

NIR's IF is v' = r I; it spikes when v > v_threshold, v = v_reset after it, and spikes are worth 1. Tools that write
such files compute other things; a `Dialect` says which. Spikes are worth theta here, so weights are divided by the
theta of what they read, which is exact where it is a power of two.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

from refsim.exceptions import FormatError, NetworkError, UsageError
from refsim.formats.untrusted.reader import read_foreign
from refsim.formats.untrusted.text import clean
from refsim.importers.build.values import MALFORMED
from refsim.importers.nir_file import NirNode, parse_nir
from refsim.importers.nir_layers import NirNetwork, Reader, Rule
from refsim.importers.options import ImageShape

Dialect = Literal["spec", "qcfs", "spikingjelly", "norse", "sinabs", "snntorch"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

_RULES: dict[str, Rule] = {
    "spec": Rule(strict=True, reset="zero", v0=0),
    "norse": Rule(strict=True, reset="zero", v0=0),
    "spikingjelly": Rule(strict=False, reset="zero", v0=0),
    "qcfs": Rule(strict=False, reset="subtract", v0=0.5),
}
_NO_NEURON = {
    "sinabs": "its IF fires several times in one step and clamps potentials at -theta, which no neuron here does; "
    "'qcfs' fires once at most and does not clamp",
    "snntorch": "it makes a leaky neuron with beta 0.9 of IF, whose output it cannot pass on; such networks do not run",
}


def read_nir(
    path: str | os.PathLike[str], where: str, dialect: Dialect | None, dt: float | None, shape: ImageShape | None
) -> NirNetwork:
    """Read a graph.

    Parameters
    ----------
    dialect
        Whose meaning the neurons have; None: NIR's own, with a warning.
    dt
        Time of a step, in the unit of r; None: 1 / r, where all r are equal.
    shape
        (C, H, W) of an image, where the graph has a flat input.

    Raises
    ------
    FormatError
        Damaged, or with nodes that have no counterpart, by name.
    UsageError
        A dialect whose neurons have no counterpart; r differs and dt is not said.
    """
    if dialect is not None and dialect not in DIALECTS:
        raise UsageError(f"nir_dialect must be one of {', '.join(DIALECTS)}, got {dialect!r}")
    if dialect in _NO_NEURON:
        raise UsageError(f"{where}: dialect {dialect}: {_NO_NEURON[dialect]}")
    try:
        content = read_foreign(path, "NIR graph")
        nodes, edges = parse_nir(content)
        network = Reader(nodes, edges, _RULES[dialect or "spec"]).network(dt, shape)
    except FormatError as error:
        raise FormatError(f"{where}: {error}") from None
    except NetworkError as error:
        raise NetworkError(f"{where}: {error}") from None
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    except MALFORMED as error:
        raise FormatError(f"{where}: the graph is damaged ({type(error).__name__}: {clean(str(error))})") from error
    if dialect is None:
        network = replace(network, notes=(*network.notes, _meaning(nodes)))
    return network


def _meaning(nodes: Mapping[str, NirNode]) -> str:
    """What a file that was taken literally may mean, by what the tools write."""
    kinds = {node.kind for node in nodes.values()}
    written = "norse writes such files"
    if any(node.has("metadata") for node in nodes.values()):
        written = "its metadata speak of another neuron, perhaps 'qcfs'"
    elif "SumPool2d" in kinds:
        written = "sinabs writes such files, and means several spikes in a step"
    elif any((node.numbers("r") != 1).any() for node in nodes.values() if node.kind == "IF"):
        written = "SpikingJelly writes such files, and means v >= v_threshold: 'spikingjelly'"
    return (
        "taken literally: a spike where v > v_threshold, then v = 0, v = 0 at the start; "
        f"{written}; --nir-dialect (in Python, nir_dialect=) says what is meant"
    )
