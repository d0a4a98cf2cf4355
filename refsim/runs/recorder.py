"""Recorder: writes a recording batch by batch (docs/recordings.md: field by field)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, assert_never

import h5py
import numpy as np
from numpy.typing import NDArray

from refsim.engine.exact import Exact
from refsim.engine.floats import FloatNumbers
from refsim.engine.plan import Plan, Population
from refsim.engine.quantised import Quantised
from refsim.engine.results import Result
from refsim.engine.trace import PopulationTrace, Trace
from refsim.formats.atomic import claimed, replacing
from refsim.model import Spiking
from refsim.runs.recording import CONVENTIONS, FORMAT, VERSION, key_of
from refsim.runs.selection import Selection
from refsim.runs.sink import Sink

Array = NDArray[Any]
Indices = NDArray[np.int64]

Potentials = Callable[[Indices, int], Trace]
"""From numbers of images and a number of steps to a trace with the potentials after these steps."""


class Recorder:
    """Writes traces batch by batch, in the order of the images; the file appears under its name when complete.

    Parameters
    ----------
    plan
        The network, in the numbers that the run computes in.
    what
        Which of "n", "v" and "spikes" to keep, as the traces hold them; logits and counts always are.
    select
        By layer, what of it is kept; the other layers are not. Empty: everything of all layers.
    potentials
        Where a selection has steps, what gives the potentials after them.

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
        plan: Plan,
        T: int,
        n_images: int,
        labels: Indices | None,
        what: Collection[str],
        attributes: dict[str, str],
        select: Mapping[str, Selection] | None = None,
        potentials: Potentials | None = None,
    ) -> None:
        self._n, self._what, self._done = n_images, frozenset(what), 0
        self._select, self._potentials = select, potentials
        self._populations = {each.name: each for each in plan.populations}
        self._plan, self._T = plan, T
        with ExitStack() as stack:
            stack.enter_context(claimed(path))
            self._sink = Sink(stack.enter_context(replacing(path)))
            stack.callback(self._sink.check)
            # Python objects as files have no locks of HDF5's; `claimed` is one.
            self._file = h5py.File(self._sink, "w", libver=("v110", "v110"))
            stack.callback(self._file.close)
            self._begin(labels, attributes)
            self._stack = stack.pop_all()

    def _begin(self, labels: Indices | None, attributes: dict[str, str]) -> None:
        about = {"format": FORMAT, "version": VERSION, "T": self._T, "x_max": 0.0, "dtype": self._plan.mode}
        self._file.attrs.update(about | CONVENTIONS | attributes)
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
            self._write_population(f"layers/{key_of(name)}", name, population, rows)
        self._write_potentials(indices, trace, rows)
        for (source, target), ops in trace.ops.items():
            place = f"sops/{key_of(source)}->{key_of(target)}"
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
        if self._done == 0:
            attributes.update(_parameters(self._plan, self._populations[layer]))
        selection = self._selection(layer)
        if selection is None:
            return
        if self._done == 0:
            for axis, numbers in (("neurons", selection.neurons), ("steps", selection.steps)):
                if numbers is not None:
                    self._file[f"{key}/{axis}"] = np.array(numbers, dtype=np.int64)
        if "n" in self._what and population.n is not None:
            self._put(f"{key}/n", _chosen(population.n, selection), rows, axis=0)
        if "v" in self._what and population.v is not None:
            self._put(f"{key}/v", _chosen(population.v, selection), rows, axis=0)
        if "spikes" in self._what and population.spikes is not None:
            self._write_spikes(f"{key}/spikes", population.spikes, selection, rows)

    def _write_spikes(self, key: str, spikes: Array, selection: Selection, rows: slice) -> None:
        flat = spikes.reshape(*spikes.shape[:2], -1).transpose(1, 0, 2)
        image, t, neuron = np.nonzero(flat)
        kept = np.ones(len(t), dtype=bool)
        for values, chosen in ((t + 1, selection.steps), (neuron, selection.neurons)):
            if chosen is not None:
                kept &= np.isin(values, chosen)
        image, t, neuron = image[kept], t[kept], neuron[kept]
        columns = {
            "t": t + 1,
            "image": image + rows.start,
            "neuron": neuron,
            "sign": flat[image, t, neuron],
        }
        for name, values in columns.items():
            self._append(f"{key}/{name}", values.astype(np.int8 if name == "sign" else np.int32))

    def _write_potentials(self, indices: Indices, trace: Trace, rows: slice) -> None:
        """The potentials after chosen steps: those before the last are the last ones of shorter runs."""
        wanted = {name: each.steps for name, each in (self._select or {}).items() if each.steps is not None}
        if "v" not in self._what or not wanted:
            return
        assert self._potentials is not None
        for t in sorted({t for steps in wanted.values() for t in steps}):
            ended = trace if t == self._T else self._potentials(indices, t)
            for name, steps in wanted.items():
                v = ended.populations[name].v
                if t in steps and v is not None:
                    self._put_step(name, steps, t, v, rows)

    def _put_step(self, name: str, steps: tuple[int, ...], t: int, v: Array, rows: slice) -> None:
        key, values = f"layers/{key_of(name)}/v_steps", _chosen(v, (self._select or {})[name])
        if key not in self._file:
            self._file.create_dataset(key, (len(steps), self._n, *values.shape[1:]), values.dtype)
        self._file[key][steps.index(t), rows] = values

    def _selection(self, layer: str) -> Selection | None:
        """What of a layer is kept, or None."""
        return Selection() if not self._select else self._select.get(layer)

    def _put(self, key: str, values: Array, rows: slice, axis: int) -> None:
        if key not in self._file:
            shape = list(values.shape)
            shape[axis] = self._n
            self._file.create_dataset(key, tuple(shape), values.dtype)
        self._file[key][(slice(None),) * axis + (rows,)] = values

    def _append(self, key: str, values: Array) -> None:
        if key not in self._file:
            chunk = 2**10 if self._select else 2**16
            self._file.create_dataset(key, (0,), values.dtype, maxshape=(None,), chunks=(chunk,))
        data = self._file[key]
        data.resize((len(data) + len(values),))
        data[len(data) - len(values) :] = values


def _chosen(values: Array, selection: Selection) -> Array:
    """(B, *shape), or of chosen neurons (B, K)."""
    if selection.neurons is None:
        return values
    return np.asarray(values.reshape(len(values), -1)[:, list(selection.neurons)])


def _parameters(plan: Plan, population: Population) -> dict[str, Array | str | float]:
    """What the neurons of a layer are, in the unit of the ANN's activations, as the network has it."""
    layer = plan.network.by_name[population.name]
    assert isinstance(layer, Spiking)
    neuron = layer.neuron
    facts: dict[str, Array | str | float] = {
        "shape": np.array(population.layer_shape, dtype=np.int64),
        "theta": neuron.theta,
        "theta_neg": neuron.negative_threshold,
        "v0": neuron.v0,
        "gate": neuron.gate,
        "reset": neuron.reset,
        "leak": neuron.leak,
        "comparison": ">" if neuron.strict else ">=",
    }
    match population.numbers:
        case Quantised(currents=currents):
            return facts | {"unit": currents.unit}
        case FloatNumbers() | Exact():
            return facts
        case never:
            assert_never(never)
