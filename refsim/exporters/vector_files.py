"""Golden vectors in files: npz, HDF5, text for `$readmemh`, CSV."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from refsim.exporters.vectors import PopulationVectors
from refsim.exporters.words import address_words, bit_words, hex_words
from refsim.formats.atomic import write_atomically
from refsim.model import Spiking

Array = NDArray[Any]

Format = Literal["npz", "h5", "hex", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)

EventWords = Literal["address", "bits"]


def key_of(number: int, name: str) -> str:
    """What a population's files and arrays are called: its number, and what of its name no file system minds."""
    return f"{number:02d}_{re.sub(r'[^A-Za-z0-9._-]', '_', name)}"


def arrays_of(each: PopulationVectors) -> dict[str, Array]:
    """The arrays of a population by their names, spikes as a list of events."""
    found: dict[str, Array] = {"unit": each.unit, "bias": each.bias}
    found |= {f"weight{i}": weight for i, weight in enumerate(each.weights)}
    for name in ("current", "theta", "theta_neg", "v0", "v", "logits"):
        values = getattr(each, name)
        if values is not None:
            found[name] = values
    if each.spikes is not None:
        found |= {f"spikes/{name}": column for name, column in events_of(each.spikes).items()}
    return found


def events_of(spikes: Array) -> dict[str, Array]:
    """Spikes (T, N, *shape) as columns, sorted by image, step and neuron; steps are counted from 1."""
    flat = spikes.reshape(*spikes.shape[:2], -1).swapaxes(0, 1)
    image, t, neuron = (each.astype(np.int32) for each in np.nonzero(flat))
    return {"image": image, "t": t + np.int32(1), "neuron": neuron, "sign": flat[image, t, neuron]}


def write_npz(path: Path, arrays: dict[str, Array]) -> None:
    """All arrays in one compressed archive; names may have slashes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # names are not those of its options
    write_atomically(path, buffer.getvalue())


def write_hdf5(path: Path, arrays: dict[str, Array]) -> None:
    """All arrays in one HDF5 file."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, compression="gzip" if values.size > 1 else None)
    write_atomically(path, buffer.getvalue())


def hex_files(each: PopulationVectors, kind: EventWords) -> Iterator[tuple[str, int, bytes]]:
    """Name, bits of a word, and text of every file for `$readmemh` of a population."""
    for name, values in arrays_of(each).items():
        if values.dtype.kind == "i" and not name.startswith("spikes/"):
            bits = 8 * values.dtype.itemsize
            yield name, bits, hex_words(values, bits)
    if each.spikes is None:
        return
    if kind == "address":
        yield "spikes", 32, hex_words(address_words(each.spikes), 32)
        return
    yield "positive", 64, hex_words(bit_words(each.spikes > 0), 64)
    if isinstance(each.layer, Spiking) and each.layer.neuron.dual:
        yield "negative", 64, hex_words(bit_words(each.spikes < 0), 64)


def csv_of(spikes: dict[str, Array]) -> bytes:
    """All spikes (T, N, *shape) by layer as one table with a head, for the eye and for spreadsheets."""
    text = io.StringIO()
    text.write("layer,image,t,neuron,c,y,x,sign\n")
    for name, each in spikes.items():
        quoted = '"' + name.replace('"', '""') + '"' if re.search(r'[",\s]', name) else name
        columns = events_of(each)
        c, y, x = np.unravel_index(columns["neuron"], (*each.shape[2:], 1, 1)[:3])
        table = np.stack([columns["image"], columns["t"], columns["neuron"], c, y, x, columns["sign"]], axis=1)
        np.savetxt(text, table, fmt=quoted.replace("%", "%%") + 7 * ",%d")
    return text.getvalue().encode()
