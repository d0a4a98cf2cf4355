"""What happened in a run, in one HDF5 file that any other tool can read (docs/recordings.md: field by field)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from refsim.engine.results import PopulationCounts, Result, predictions
from refsim.engine.trace import SynapticOps
from refsim.exceptions import FormatError
from refsim.formats.spike_lists import Events
from refsim.formats.untrusted.opening import require_regular
from refsim.formats.untrusted.text import clean
from refsim.runs.happened import Happened

Array = NDArray[Any]

FORMAT = "refsim-recording"
VERSION = 2
"""1 (refsim up to 0.2) says nothing of the numbers, the neurons' parameters and what is counted from where."""

CONVENTIONS = {
    "t_first": 1,
    "neuron_order": "flat index, row-major over (C, H, W), from 0",
    "image_order": "row of /indices, from 0",
}


def key_of(name: str) -> str:
    """A layer's name as the name of an HDF5 group."""
    return name.replace("%", "%25").replace("/", "%2F")


def _ends(key: str, group: h5py.Group) -> tuple[str, str]:
    """Source and target of a projection; recordings made before refsim 0.2 have them in the group's name alone."""
    if "source" in group.attrs:
        return str(group.attrs["source"]), str(group.attrs["target"])
    source, _, target = key.partition("->")
    return source, target


def read_result(path: Path) -> Result:
    """The result that a recording adds up to: every number that the run printed.

    Raises
    ------
    FormatError
        Not a recording.
    """
    require_regular(path, what="recording")
    try:
        with h5py.File(path, "r") as file:
            return _result(file, path)
    except (OSError, KeyError) as error:
        raise FormatError(f"{path}: not a complete recording of refsim ({error})") from None


def _check_format(file: h5py.File, path: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        raise FormatError(f"{path}: not a recording of refsim")
    version = int(file.attrs["version"])
    if version > VERSION:
        raise FormatError(f"{path}: a recording of version {version}; this refsim reads up to {VERSION}")


def _result(file: h5py.File, path: Path) -> Result:
    _check_format(file, path)
    logits = file["logits"][:]
    T, n_images, _ = logits.shape
    labels = file["labels"][:] if "labels" in file else None
    correct = np.zeros(T, dtype=np.int64)
    if labels is not None:
        correct = (predictions(logits) == labels).sum(axis=1)
    populations = {
        str(group.attrs.get("name", name)): PopulationCounts(
            n_pos=group["counts_pos"][:].sum(axis=1),
            n_neg=group["counts_neg"][:].sum(axis=1),
            reached=group["reached"][:].sum(axis=1),
            recomputed=group["recomputed"][:].sum(axis=1),
            margin=group.attrs["margin"],
        )
        for name, group in file["layers"].items()
    }
    ops = {}
    for key, group in file["sops"].items():
        source, target = _ends(key, group)
        sums = {name: group[name][:].sum(axis=1) for name in group}
        ops[source, target] = SynapticOps(
            unit_pos=sums["unit"] - sums["unit_neg"],
            unit_neg=sums["unit_neg"],
            event_pos=sums["event"] - sums["event_neg"],
            event_neg=sums["event_neg"],
            pool_in=sums["pool_in"],
        )
    return Result(
        T=T,
        n_images=n_images,
        n_labelled=n_images if labels is not None else 0,
        correct=correct,
        populations=populations,
        ops=ops,
        nonzero_macs=int(file["nonzero_macs"][:].sum()),
        x_max=float(file.attrs["x_max"]),
    )


def read_happened(path: Path) -> Happened:
    """What happened according to a recording: its spikes, or if it holds none, numbers of spikes.

    Raises
    ------
    FormatError
        Not a recording, or one with spikes of chosen neurons or steps only.
    """
    try:
        with h5py.File(path, "r") as file:
            _check_format(file, path)
            groups = {str(group.attrs.get("name", name)): group for name, group in file["layers"].items()}
            whole = all("spikes" in group for group in groups.values())
            chosen = [name for name, group in groups.items() if "neurons" in group or "steps" in group]
            if whole and chosen:
                raise FormatError(f"{path}: holds chosen neurons or steps of '{chosen[0]}' only; record all to compare")
            spikes = {
                name: Events(
                    **{key: group["spikes"][key][:].astype(np.int64) for key in ("image", "t", "neuron", "sign")}
                )
                for name, group in groups.items()
                if whole
            }
            counts = {
                name: np.stack([group["counts_pos"][:], group["counts_neg"][:]]) for name, group in groups.items()
            }
            return Happened(
                name=clean(path.name, None),
                layers=tuple(groups),
                ordered=True,
                T=int(file.attrs["T"]),
                n_images=len(file["indices"]),
                spikes=spikes if whole else None,
                counts=None if whole else counts,
                indices=file["indices"][:].astype(np.int64),
                dtype=str(file.attrs.get("dtype", "")),
                neuron=str(file.attrs.get("neuron", "")),
            )
    except (OSError, KeyError) as error:
        raise FormatError(f"{path}: not a complete recording of refsim ({error})") from None
