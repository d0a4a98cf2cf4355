"""What happened in a run, in one HDF5 file that any other tool can read.

/                      attrs  format="refsim-recording"  version=1  T  name  neuron  weights_sha256  x_max
/indices, /labels      (N,)   which images of the data set; labels are missing if the data has none
/logits                (T, N, K)  the readout's input current of each step
/layers/<name>         attrs  name, margin (2,);  counts_pos, counts_neg, reached, recomputed (T, N)
                       n (N, *shape) net counts;  v (N, *shape) final potentials
                       spikes/  t, image, neuron, sign: one entry per spike, image is a row of /indices
/sops/<source>-><target>   attrs  source, target;  unit, event, unit_neg, event_neg, pool_in (T, N)
/nonzero_macs          (N,)

In the names of groups "/" is written %2F (and "%" %25); the attributes have the names as they are.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from refsim.engine.results import PopulationCounts, Result, predictions
from refsim.engine.trace import PopulationTrace, SynapticOps, Trace
from refsim.exceptions import FormatError
from refsim.formats.atomic import claimed, replacing
from refsim.formats.untrusted.opening import require_regular
from refsim.runs.sink import Sink

Array = NDArray[Any]
Indices = NDArray[np.int64]

FORMAT = "refsim-recording"


class Recorder:
    """Writes traces batch by batch, in the order of the images; the file appears under its name when complete.

    `what` says which of "n", "v" and "spikes" to keep, as the traces hold them; logits and counts always are.

    Raises
    ------
    UsageError
        Another run is writing this file.
    OSError
        It cannot be written; also from `write` and at the end. Nothing is left behind.

    Used as a context manager: `with Recorder(...) as recorder: run_snn(..., on_batch=recorder.write)`.
    """

    def __init__(
        self,
        path: Path,
        *,
        T: int,
        n_images: int,
        labels: Indices | None,
        what: Collection[str],
        attributes: dict[str, str],
    ) -> None:
        self._n, self._what, self._done = n_images, frozenset(what), 0
        with ExitStack() as stack:
            stack.enter_context(claimed(path))
            self._sink = Sink(stack.enter_context(replacing(path)))
            stack.callback(self._sink.check)
            # Python objects as files have no locks of HDF5's; `claimed` is one.
            self._file = h5py.File(self._sink, "w", libver=("v110", "v110"))
            stack.callback(self._file.close)
            self._begin(labels, {"T": T, **attributes})
            self._stack = stack.pop_all()

    def _begin(self, labels: Indices | None, attributes: dict[str, Any]) -> None:
        self._file.attrs.update({"format": FORMAT, "version": 1, "x_max": 0.0, **attributes})
        for group in ("layers", "sops"):
            self._file.create_group(group, track_order=True)
        self._file.create_dataset("indices", (self._n,), np.int64)
        if labels is not None:
            self._file["labels"] = labels

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, where)

    def write(self, indices: Indices, trace: Trace, result: Result) -> None:
        """Append one batch; `on_batch` of `parallel.run_snn`."""
        rows = slice(self._done, self._done + len(indices))
        self._file["indices"][rows] = indices
        self._file.attrs["x_max"] = max(float(self._file.attrs["x_max"]), result.x_max)
        self._put("logits", trace.logits, rows, axis=1)
        self._put("nonzero_macs", trace.nonzero_macs, rows, axis=0)
        for name, population in trace.populations.items():
            self._write_population(f"layers/{_key(name)}", name, population, rows)
        for (source, target), ops in trace.ops.items():
            place = f"sops/{_key(source)}->{_key(target)}"
            for key in ("unit", "event", "unit_neg", "event_neg", "pool_in"):
                self._put(f"{place}/{key}", getattr(ops, key), rows, axis=1)
            self._file[place].attrs.update({"source": source, "target": target})
        self._done += len(indices)
        self._sink.check()

    def _write_population(self, key: str, layer: str, population: PopulationTrace, rows: slice) -> None:
        self._put(f"{key}/counts_pos", population.n_pos, rows, axis=1)
        self._put(f"{key}/counts_neg", population.n_neg, rows, axis=1)
        self._put(f"{key}/reached", population.reached, rows, axis=1)
        self._put(f"{key}/recomputed", population.recomputed, rows, axis=1)
        attributes = self._file[key].attrs
        attributes["name"] = layer
        attributes["margin"] = np.minimum(attributes.get("margin", np.inf), population.margin)
        if "n" in self._what and population.n is not None:
            self._put(f"{key}/n", population.n, rows, axis=0)
        if "v" in self._what and population.v is not None:
            self._put(f"{key}/v", population.v, rows, axis=0)
        if "spikes" in self._what and population.spikes is not None:
            flat = population.spikes.reshape(*population.spikes.shape[:2], -1).transpose(1, 0, 2)
            image, t, neuron = np.nonzero(flat)
            columns = {
                "t": t + 1,
                "image": image + rows.start,
                "neuron": neuron,
                "sign": flat[image, t, neuron],
            }
            for name, values in columns.items():
                self._append(f"{key}/spikes/{name}", values.astype(np.int8 if name == "sign" else np.int32))

    def _put(self, key: str, values: Array, rows: slice, axis: int) -> None:
        if key not in self._file:
            shape = list(values.shape)
            shape[axis] = self._n
            self._file.create_dataset(key, tuple(shape), values.dtype)
        self._file[key][(slice(None),) * axis + (rows,)] = values

    def _append(self, key: str, values: Array) -> None:
        if key not in self._file:
            self._file.create_dataset(key, (0,), values.dtype, maxshape=(None,), chunks=(2**16,))
        data = self._file[key]
        data.resize((len(data) + len(values),))
        data[len(data) - len(values) :] = values


def _key(name: str) -> str:
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


def _result(file: h5py.File, path: Path) -> Result:
    if file.attrs.get("format") != FORMAT:
        raise FormatError(f"{path}: not a recording of refsim")
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
