"""NIR files, written with h5py alone: `export_nir`."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from refsim.exceptions import UsageError
from refsim.exporters.nir_graph import SUM_POOLS, TOOLS, NirGraph, NirNode, Tool, nir_graph
from refsim.formats.atomic import write_atomically
from refsim.formats.weights.parts import WeightFile
from refsim.model import Network, NeuronKind
from refsim.version import __version__

NIR_VERSION = "1.0"
"""Of the layout: what nir 1.0.4 to 1.0.8 read alike."""

CANNOT_RUN = (
    "Rockpool, Nengo and hxtorch have no IF or no Conv2d; lava-dl refuses convolutions with a bias, which a folded "
    "batch normalisation is"
)
"""Tools that read NIR and cannot run what is written."""

SETTINGS: Mapping[Tool, str] = {
    "generic": "NIR has no word for soft reset, v0 and one spike a step: each tool needs three lines (docs/nir.md)",
    "sinabs": "by default sinabs fires several spikes a step and starts at 0: three lines set it right (docs/nir.md)",
    "spikingjelly": "by default SpikingJelly resets to 0 and starts at 0: three lines set it right (docs/nir.md)",
    "norse": "norse's IF knows hard reset only: it needs a cell of one's own, five lines (docs/nir.md)",
    "snntorch": "snnTorch makes leaky neurons of IF: three lines set it right (docs/nir.md)",
}
"""What a person has to know before the file is run."""


def export_nir(
    file: WeightFile, path: str | os.PathLike[str], *, tool: Tool = "generic", neuron: NeuronKind = "file"
) -> tuple[str, ...]:
    """Write a network as a NIR graph, and return what its reader has to know, line by line.

    Every threshold is 1 and every spike worth 1; see `refsim.exporters.nir_graph`. The input of the graph are
    normalised images; how raw ones become that is in the metadata.

    Parameters
    ----------
    file
        From `refsim.load`.
    tool
        Who is to read it: "generic" writes AvgPool2d, as spikingjelly and snntorch read it; sinabs and norse read
        SumPool2d.
    neuron
        As in `Network.with_kind`.

    Raises
    ------
    UsageError
        No such tool; a network that NIR has no words for, or whose tools have none.
    OSError
        The file cannot be written.
    """
    if tool not in TOOLS:
        raise UsageError(f"tool must be one of {', '.join(TOOLS)}, got {tool!r}")
    network = file.network.with_kind(neuron)
    write_atomically(path, _to_bytes(nir_graph(network, tool), _facts(network, file.sha256, tool)))
    notes = [SETTINGS[tool]]
    if any(layer.neuron.reset == "zero" for layer in network.spiking):
        notes.append("neurons reset to zero, as NIR has it: leave the tools' hard reset on, and set v0 alone")
    if tool == "generic" and any(layer.kind == "avg_pool2d" for layer in network.layers):
        notes.append(f"{' and '.join(SUM_POOLS)} read no AvgPool2d: export for them with --for")
    return (*notes, f"cannot run it: {CANNOT_RUN}")


def _facts(network: Network, sha256: str, tool: Tool) -> dict[str, Any]:
    spec = network.input
    return {
        "refsim": __version__,
        "network": network.name,
        "weights_sha256": sha256,
        "written_for": tool,
        "dt": 1.0,
        "thresholds": "unit thresholds: weights are W theta_source / theta_target, a spike is worth 1",
        "input": "x = (raw * scale - mean) / std, the same at every step",
        "input_scale": spec.scale,
        "input_mean": np.asarray(spec.mean),
        "input_std": np.asarray(spec.std),
    }


def _to_bytes(graph: NirGraph, facts: Mapping[str, Any]) -> bytes:
    """The HDF5 file: /version, /node/{type, nodes/<name>/..., edges, metadata}."""
    import h5py

    text = h5py.string_dtype()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", track_order=True) as file:
        file.create_dataset("version", data=NIR_VERSION, dtype=text)
        top = file.create_group("node")
        top.create_dataset("type", data="NIRGraph", dtype=text)
        nodes = top.create_group("nodes", track_order=True)
        for name, node in graph.nodes.items():
            _write_node(nodes.create_group(name, track_order=True), node, text)
        top.create_dataset("edges", data=np.array(graph.edges, dtype=object), dtype=text)
        _write_fields(top.create_group("metadata"), facts, text)
    return buffer.getvalue()


def _write_node(group: Any, node: NirNode, text: Any) -> None:
    group.create_dataset("type", data=node.type, dtype=text)
    _write_fields(group, node.fields, text)
    if node.metadata:
        _write_fields(group.create_group("metadata"), node.metadata, text)


def _write_fields(group: Any, fields: Mapping[str, Any], text: Any) -> None:
    for key, value in fields.items():
        if isinstance(value, str):
            group.create_dataset(key, data=value, dtype=text)
            continue
        data = np.asarray(value)
        # gzip is NIR's own habit; a scalar has no chunks to pack.
        group.create_dataset(key, data=data, compression="gzip" if data.size > 64 else None)


def check_target(path: Path) -> None:
    """Refuse a name that no NIR reader looks for.

    Raises
    ------
    UsageError
        It does not end in .nir.
    """
    if path.suffix != ".nir":
        raise UsageError(f"-o {path}: the name must end in .nir")
