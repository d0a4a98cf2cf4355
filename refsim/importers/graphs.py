"""Files and models that hold a graph: one road from each of them to a `Network`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

import numpy as np

from refsim.exceptions import NetworkError, UsageError
from refsim.formats.untrusted.opening import open_file
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.checkpoint import MAX_BYTES
from refsim.importers.kinds import Kind
from refsim.importers.operators import Graph
from refsim.importers.options import ImageShape
from refsim.importers.parameters import NeuronChoice
from refsim.importers.presets import Preprocessing, preprocessing
from refsim.importers.pt2 import read_pt2
from refsim.importers.recognise import Recognised, recognise
from refsim.importers.recognise.preprocessing import InputMap
from refsim.model import Conv2d, InputSpec, Linear, MaxMode, Network

MAX_PIXEL = 255
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """What a graph does not say and the user must; see `refsim.runs.convert`.

    choice
        What neurons replace the activations; L and shift are in the graph.
    L
        What the user takes L to be; None: nothing was said.
    calibrated
        Whether thresholds of ReLU will be found later.
    max_pool
        Mode of max pools.
    preset, mean, std
        Preprocessing, as `presets.preprocessing` takes it.
    """

    choice: NeuronChoice = field(default_factory=NeuronChoice)
    L: int | None = None
    calibrated: bool = False
    max_pool: MaxMode | None = None
    preset: str | None = None
    mean: str | Sequence[float] | None = None
    std: str | Sequence[float] | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a graph came from: for messages, for the network's name, and for the metadata of its file."""

    where: str
    name: str
    metadata: Mapping[str, str]


def read_file(path: str | os.PathLike[str], kind: Kind, shape: ImageShape | None) -> tuple[Graph, Source]:
    """The graph in a file.

    Raises
    ------
    FormatError
        Damaged, of a version that is not known, or with operators that do not fit together.
    UsageError
        The size of the image is not known.
    """
    path = Path(path)
    where = clean(str(path), None)
    # Numbers of a damaged file overflow or are none; what comes of them is refused where it is used.
    with open_file(path, what="checkpoint", most=MAX_BYTES) as file, np.errstate(all="ignore"):
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        match kind:
            case "torch.export":
                graph = read_pt2(file, size, where, shape)
            case "onnx":
                from refsim.importers.onnx import read_onnx

                graph = read_onnx(file.read(), path.parent, where, shape)
            case "state dict" | "nir":
                raise AssertionError("no operator graph")
            case _:
                assert_never(kind)
    metadata = {"source": path.name, "source_sha256": sha256, "source_format": kind}
    return graph, Source(where=where, name=path.stem, metadata=metadata)


def to_network(
    graph: Graph, source: Source, options: GraphOptions, *, name: str | None = None, classes: tuple[str, ...] = ()
) -> tuple[Network, tuple[str, ...]]:
    """The network that a graph computes, and lines for the user.

    Activations that are ReLU have theta = 1 until they are calibrated.

    Raises
    ------
    FormatError
        Everything in the graph that has no counterpart here.
    NetworkError
        Parameters that do not fit together.
    UsageError
        Something that only the user knows is missing, or contradicts the graph.
    """
    found = recognise(graph, source.where, options.choice, options.max_pool)
    _check(found, source.where, options)
    given = _preprocessing(found.input_map, source.where, options)
    spec = InputSpec(
        shape=found.shape,
        scale=1.0 if found.input_map is not None and found.input_map.of_bytes else 1 / MAX_PIXEL,
        mean=np.array(given.mean),
        std=np.array(given.std),
        dataset=given.usual.dataset if given.usual else "",
    )
    try:
        network = Network(
            name=name or source.name,
            input=spec,
            layers=found.layers,
            classes=classes,
            metadata={"method": _method(found, options), "architecture": _architecture(found), **source.metadata},
        )
    except NetworkError as error:
        error.add_note(source.where)
        raise
    notes = list(found.notes)
    if found.input_map is not None and found.input_map.of_bytes:
        notes.append("the graph's own preprocessing takes pixels of 0 to 255")
    return network, tuple(notes)


def _check(found: Recognised, where: str, options: GraphOptions) -> None:
    """Refuse what the user has to say, all of it at once."""
    missing = []
    if found.max_pools and options.max_pool is None:
        missing.append(
            f"max pools ({_some(found.max_pools)}): say --max-pool cumulative, which follows the maximum, or "
            "--max-pool or, as dense simulators do it (in Python, max_pool=)"
        )
    if found.relu and not options.calibrated:
        missing.append(
            f"ReLU ({_some(found.relu)}) has no thresholds: --calibrate DATA (in Python, calibrate=) takes them from "
            "its activations on training images"
        )
    if missing:
        raise UsageError(f"{where}: {'; and '.join(missing)}")
    if options.L is not None:
        steps = {
            layer.name: layer.neuron.activation.L
            for layer in found.layers
            if layer.kind == "spiking" and layer.neuron.activation is not None
        }
        wrong = next(((name, L) for name, L in steps.items() if L != options.L), None)
        if wrong is not None:
            what = "no steps" if wrong[1] is None else f"L = {wrong[1]}"
            raise UsageError(
                f"{where}: L = {options.L} contradicts the graph, where {shown(wrong[0])} has {what}; leave it out"
            )


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(map(shown, labels[:_SHOWN])) + more


def _preprocessing(found: InputMap | None, where: str, options: GraphOptions) -> Preprocessing:
    """mean and std of the graph, or those that the user gave."""
    if found is None:
        return preprocessing(options.preset, options.mean, options.std)
    unit = MAX_PIXEL if found.of_bytes else 1
    mean, std = (tuple(each / unit for each in values) for values in (found.mean, found.std))
    named = options.preset is not None
    given = preprocessing(
        options.preset,
        mean if options.mean is None and not named else options.mean,
        std if options.std is None and not named else options.std,
    )
    if not all(
        np.allclose(ours, theirs, rtol=1e-3, atol=1e-3) for ours, theirs in ((mean, given.mean), (std, given.std))
    ):
        raise UsageError(
            f"{where}: the graph itself takes off the mean {_numbers(mean)} and divides by {_numbers(std)}; mean and "
            f"std say {_numbers(given.mean)} and {_numbers(given.std)}; leave them out"
        )
    return Preprocessing(mean=found.mean, std=found.std, usual=given.usual)


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:.4g}" for value in values)


def _method(found: Recognised, options: GraphOptions) -> str:
    if found.relu:
        return "relu"
    return "qcfs" if options.choice.kind == "if" else "ecl"


def _architecture(found: Recognised) -> str:
    n_convs = sum(isinstance(layer, Conv2d) for layer in found.layers)
    n_linear = sum(isinstance(layer, Linear) for layer in found.layers)
    n_adds = sum(layer.kind == "add" for layer in found.layers)
    text = f"{n_convs} convolutions, {n_linear} linear layers"
    return f"{text}, {n_adds} residual additions" if n_adds else text
