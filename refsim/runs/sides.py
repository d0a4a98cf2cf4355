"""What can stand on a side of `diff`: what happened according to a recording, a run directory or another tool."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from refsim.exceptions import FormatError, UsageError
from refsim.formats.spike_lists import MOST_BYTES, Events, read_spike_lists
from refsim.formats.untrusted.opening import open_file, read_text, require_regular
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.locate import load
from refsim.formats.weights.parts import WeightFile
from refsim.runs.happened import Happened

Side = WeightFile | Happened

MOST_MANIFEST = 1 << 24
"""Bytes."""


def open_side(what: WeightFile | str | os.PathLike[str]) -> Side:
    """A weight file, to be simulated, or what happened according to a file or a folder.

    Raises
    ------
    UsageError
        Nothing of that name.
    FormatError
        A damaged file, or one of another kind.
    """
    if isinstance(what, WeightFile):
        return what
    path = Path(what)
    if path.is_dir():
        return _golden(path) if (path / "manifest.json").is_file() else _run_directory(path)
    if path.suffix.lower() in (".csv", ".npz") and path.is_file():
        return _foreign(path)
    if path.is_file() and (kind := _hdf5_kind(path)) is not None:
        return _recording(path) if kind == "recording" else _foreign(path)
    return load(what)


def _hdf5_kind(path: Path) -> str | None:
    """Whether a file is a recording or a list of spikes; None of what is left to the reader of weight files."""
    import h5py

    from refsim.runs.recording import FORMAT

    require_regular(path, what="file of spikes or weights")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") == FORMAT:
                return "recording"
            return "spikes" if "layer" in file and "t" in file else None
    except OSError:
        return None


def _foreign(path: Path) -> Happened:
    spikes = read_spike_lists(path)
    filled = [each for each in spikes.values() if len(each)]
    return Happened(
        name=clean(path.name, None),
        layers=tuple(spikes),
        ordered=False,
        T=max((int(each.t.max()) for each in filled), default=0),
        n_images=max((int(each.image.max()) + 1 for each in filled), default=0),
        spikes=spikes,
    )


def _golden(path: Path) -> Happened:
    name = clean(path.name, None)
    try:
        facts: dict[str, Any] = json.loads(read_text(path / "manifest.json", what="manifest", most=MOST_MANIFEST))
        with (
            open_file(path / "vectors.npz", what="archive of vectors", most=MOST_BYTES) as file,
            np.load(file, allow_pickle=False) as data,
        ):
            layers = [each for each in facts["populations"] if each["kind"] == "spiking"]
            spikes = {
                str(each["layer"]): Events(
                    **{
                        key: data[f"{each['key']}/spikes/{key}"].astype(np.int64)
                        for key in ("image", "t", "neuron", "sign")
                    }
                )
                for each in layers
            }
            return Happened(
                name=name,
                layers=tuple(spikes),
                ordered=True,
                T=int(facts["T"]),
                n_images=len(data["indices"]),
                spikes=spikes,
                indices=data["indices"].astype(np.int64),
                dtype=str(facts["dtype"]),
                neuron="dual" if any(each["negative"] for each in layers) else "if",
            )
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise FormatError(f"{name}: golden vectors that are not complete ({error}); vectors.npz is read") from None


def _recording(path: Path) -> Happened:
    from refsim.runs.recording import read_happened

    return read_happened(path)


def _run_directory(path: Path) -> Happened:
    """Numbers of spikes of every image of a run."""
    from contextlib import closing

    from refsim.runs.settings import ANN
    from refsim.runs.store.database import Database
    from refsim.runs.store.rows import COUNTED, unpack

    with closing(Database(path, writable=False)) as database:
        spec = database.spec()
        kinds = spec.kinds
        if len(kinds) > 1:
            raise UsageError(
                f"{path}: holds runs with {' and '.join(kinds)} neurons; compare recordings of one of them"
            )
        machine = kinds[0]
        layout = database.layout(machine)
        if layout is None or machine == ANN:
            raise FormatError(f"{path}: holds no spikes")
        rows = {image: unpack(data, layout.width) for image, data in database.rows(machine, layout)}
    images = np.array(sorted(rows), dtype=np.int64)
    table = np.stack([rows[image] for image in images.tolist()])[:, 2 + layout.T :]
    columns = table.reshape(len(images), -1, layout.T)
    counts = {
        name: columns[:, len(COUNTED) * i : len(COUNTED) * i + 2].transpose(1, 2, 0)
        for i, name in enumerate(layout.populations)
    }
    return Happened(
        name=clean(path.name, None),
        layers=tuple(counts),
        ordered=True,
        T=layout.T,
        n_images=len(images),
        counts=counts,
        indices=images,
        dtype=spec.dtype,
        neuron=machine,
    )
