"""Golden vectors of the quantised network: what a test bench is checked against, in one folder with a manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from refsim.engine.wiring import Wire
from refsim.exceptions import UsageError
from refsim.exporters.vector_files import (
    FORMATS,
    EventWords,
    Format,
    arrays_of,
    csv_of,
    hex_files,
    key_of,
    write_hdf5,
    write_npz,
)
from refsim.exporters.vectors import BITS, PopulationVectors, Whole, vectors_of
from refsim.formats.atomic import folder_written_atomically, write_atomically
from refsim.formats.images.inputs import Data, Images, open_images
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import WeightFile
from refsim.model import Conv2d, NeuronKind, Spiking
from refsim.version import __version__

Array = NDArray[Any]

SCHEMA = "refsim-golden 1"

RULES = {
    "axes": "weights (C_out, C_in / groups, kH, kW) or (N_out, N_in); neurons (C, H, W) or (N,); steps, images first",
    "address": "flat index of a neuron in its layer, row-major over (C, H, W), from 0",
    "step": "t from 1 to T; every layer is evaluated once a step, in order, on the spikes of the same step",
    "image": "row of indices (and of input, current, v, logits), from 0",
    "state": "v = v0 before the first step of each image",
    "unit": "theta / 2^s of the target channel; 2^-s of the readout, one for all classes",
    "current": (
        "u = sum of weight x arriving spikes (cross-correlation, zero padding) + bias; where the image drives the "
        "population `current` stands for the bias, and is the same at every step"
    ),
    "arriving": (
        "a spike counts +1 or -1; behind an average pool the signed sum of the window, whose division by the window's "
        "size is inside the weight; behind a max pool the spikes y(t) = max N(t) - max N(t-1) (cumulative) or "
        "max s(t) (or), N the net counts of the window's neurons"
    ),
    "comparison": "s = +1 if v + u >= theta",
    "negative": (
        "s = -1 if v + u <= theta_neg and the gate is open: net, more positive than negative spikes so far; gross, any "
        "positive spike so far; decided on the same v + u, before the count changes; without theta_neg never"
    ),
    "reset": "subtract: v = v + u - s theta; zero: v = 0 where s is not 0, else v + u",
    "sums": "exact: nothing is rounded or wraps around after the numbers in these files",
    "rounding": (
        "to the nearest whole number of units, ties to even, saturated symmetrically. current: round(z / unit), z in "
        "float64 what the layers that only the image reaches make of it, biases inside and rounded with it, plus the "
        "rounded bias of the wires, saturated"
    ),
    "readout": "the class after t steps has the largest sum of logits so far; ties go to the lowest",
}
"""What the numbers mean, for whoever writes a checker from the manifest alone."""

HEX = {
    "words": "one a line, hexadecimal, two's complement, as many digits as the file's bits / 4; arrays row-major",
    "address": (
        "spikes: 32 bits; image by image, step by step; ffffffff ends a step; bit 30 is set of a spike of -1; "
        "bits 29..0 are the address"
    ),
    "bits": "positive, negative: 64 bits; image by image, step by step; neuron k is bit k % 64 of word k / 64",
}
"""How the text for `$readmemh` is to be read."""


def export_golden(
    file: WeightFile,
    folder: str | os.PathLike[str],
    images: Images | Data = None,
    *,
    T: int = 4,
    dtype: Whole = "int8",
    neuron: NeuronKind = "file",
    limit: int = 8,
    pad: bool = False,
    formats: Collection[Format] = FORMATS,
    events: EventWords = "address",
    potentials: bool = False,
) -> dict[str, Any]:
    """Write golden vectors of the quantised network into a new folder, and return their manifest.

    Parameters
    ----------
    file
        From `refsim.load`.
    folder
        Must not exist; it appears when all of it is there.
    images, limit, pad
        As in `refsim.open_images`; `limit` of them are exported.
    dtype
        "int8" or "int16": bits of the weights.
    neuron
        As in `Network.with_kind`.
    formats
        Any of "npz" and "h5" (one file of all arrays), "hex" (text for `$readmemh`, a file for each array), "csv".
    events
        Spikes as hexadecimal text: "address", a word for each event, or "bits", a bit for each neuron and step.
    potentials
        Also the potential of every neuron after every step.

    Raises
    ------
    UsageError
        A value that cannot be, or a network that has no counterpart in whole numbers.
    DataError
        Images that cannot be used.
    OSError
        The folder exists, or cannot be written.

    Examples
    --------
    >>> import refsim
    >>> manifest = refsim.export_golden(refsim.load(), "vectors", T=2, limit=1)  # doctest: +SKIP
    """
    _check(T, dtype, formats, events)
    images = images if isinstance(images, Images) else open_images(file, images, limit=limit, pad=pad)
    network, x = file.network.with_kind(neuron), images.currents()
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "refsim": __version__,
        "weights": {"name": network.name, "sha256": file.sha256},
        "data": {"source": images.description, "images": len(images), "sha256": images.sha256},
        "dtype": dtype,
        "T": T,
        "input_shape": list(network.input.shape),
        "rules": RULES,
        "hex": {**HEX, "events": events},
        "formats": [each for each in FORMATS if each in formats],
        "populations": [],
    }
    arrays: dict[str, Array] = {"input": x, "indices": images.indices}
    if images.labels is not None:
        arrays["labels"] = images.labels
    spikes: dict[str, Array] = {}
    with folder_written_atomically(folder) as part:
        for number, each in enumerate(vectors_of(network, x, T, dtype, potentials), start=1):
            key = key_of(number, each.layer.name)
            words = _write_hex(part, key, each, events) if "hex" in formats else {}
            manifest["populations"].append(_population(key, each, network.shapes[each.layer.name], words))
            arrays |= {f"{key}/{name}": values for name, values in arrays_of(each).items()}
            if each.spikes is not None:
                spikes[each.layer.name] = each.spikes
        if "npz" in formats:
            write_npz(part / "vectors.npz", arrays)
        if "h5" in formats:
            write_hdf5(part / "vectors.h5", arrays)
        if "csv" in formats:
            write_atomically(part / "events.csv", csv_of(spikes))
        write_atomically(part / "manifest.json", (json.dumps(manifest, indent=1) + "\n").encode())
    return manifest


def _check(T: int, dtype: str, formats: Collection[str], events: str) -> None:
    if isinstance(T, bool) or not isinstance(T, int | np.integer) or T < 1:
        raise UsageError(f"T must be a whole number of at least 1, got {T!r}")
    if dtype not in BITS:
        raise UsageError(f"golden vectors are whole numbers: dtype must be {' or '.join(BITS)}, got {dtype!r}")
    strange = [each for each in formats if each not in FORMATS]
    if strange or not formats:
        raise UsageError(f"formats must be some of {', '.join(FORMATS)}, got {', '.join(map(repr, strange)) or 'none'}")
    if events not in get_args(EventWords):
        raise UsageError(f"events must be {' or '.join(get_args(EventWords))}, got {events!r}")


def _write_hex(folder: Path, key: str, each: PopulationVectors, events: EventWords) -> dict[str, Any]:
    (folder / "hex").mkdir(exist_ok=True)
    written = {}
    for name, bits, text in hex_files(each, events):
        place = f"hex/{key}.{name}.hex"
        write_atomically(folder / place, text)
        written[name] = {"file": place, "bits": bits}
    return written


def _population(key: str, each: PopulationVectors, shape: tuple[int, ...], words: dict[str, Any]) -> dict[str, Any]:
    layer = each.layer
    facts: dict[str, Any] = {"key": key, "layer": clean(layer.name, None), "shape": list(shape)}
    if isinstance(layer, Spiking):
        facts |= {"kind": "spiking", "reset": layer.neuron.reset, "negative": layer.neuron.dual}
        facts |= {"gate": layer.neuron.gate} if layer.neuron.dual else {}
    else:
        facts["kind"] = "readout"
    facts["image"] = each.current is not None
    facts["wires"] = [_wire(key, i, wire) for i, wire in enumerate(each.wires)]
    facts["arrays"] = {name: list(values.shape) for name, values in arrays_of(each).items()}
    return facts | ({"hex": words} if words else {})


def _wire(key: str, number: int, wire: Wire) -> dict[str, Any]:
    """How spikes come in: from which layer, through which pool, and what is done with the weights."""
    facts: dict[str, Any] = {"source": clean(wire.port.source, None), "weight": f"{key}/weight{number}"}
    facts["flatten"] = wire.port.flatten
    if wire.port.pool is not None:
        pool = {key: value for key, value in asdict(wire.port.pool).items() if key not in ("name", "inputs")}
        facts["pool"] = {"kind": wire.port.pool.kind, **pool}
    if wire.layer is None:
        return facts | {"operation": "identity"}
    facts |= {"operation": wire.layer.kind, "layer": clean(wire.layer.name, None)}
    if isinstance(wire.layer, Conv2d):
        facts |= {key: getattr(wire.layer, key) for key in ("stride", "padding", "dilation", "groups")}
    return facts
