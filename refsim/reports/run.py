"""The report of a run: what one or two SNNs and their source ANN did on the same images, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.energy import EnergyModel, find_energy_model
from refsim.analysis.margin import Margin, margins
from refsim.analysis.operations import AnnOperations, SnnOperations, ann_operations, snn_operations
from refsim.analysis.statistics import wilson_interval
from refsim.engine.modes import Mode
from refsim.engine.results import PopulationCounts, Result
from refsim.exceptions import UsageError
from refsim.model import Network
from refsim.reports.frames import as_html, require_xarray, to_pandas
from refsim.reports.origin import SOP, Origin
from refsim.reports.quantised import RoundedLayer
from refsim.version import __version__

Array = NDArray[Any]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Interval = tuple[float, float]

SCHEMA = "refsim-run 1"

SKIPPED = "synapses of weight 0 left out, of the ANN's MACs too"
"""What reports say of runs with `skip_zero_weights`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnRun:
    """The source ANN: what it costs for one image, and its accuracy if it ran.

    correct, n_labelled
        Images that it classifies correctly, of how many; None if it did not run.
    """

    operations: AnnOperations
    model: EnergyModel
    correct: int | None = None
    n_labelled: int = 0

    @classmethod
    def of(cls, network: Network, model: EnergyModel, result: Result | None, skip_zero_weights: bool = False) -> AnnRun:
        """Of a network, with the ANN's result where there is one."""
        operations = ann_operations(network, skip_zero_weights)
        if result is None or not result.n_labelled:
            return cls(operations=operations, model=model)
        return cls(operations=operations, model=model, correct=int(result.correct[0]), n_labelled=result.n_labelled)

    @property
    def joules(self) -> float:
        """Energy per image, in joules."""
        return self.model.ann(self.operations)

    @property
    def accuracy(self) -> float | None:
        """In 0..1; None if the ANN did not run, or the images have no labels."""
        return None if self.correct is None else self.correct / self.n_labelled

    @property
    def interval(self) -> Interval | None:
        """95 % Wilson interval of the accuracy."""
        return None if self.correct is None else wilson_interval(self.correct, self.n_labelled)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a report."""
        facts = {"operations": asdict(self.operations), "joules": self.joules, "accuracy": self.accuracy}
        return facts if self.correct is None else facts | {"correct": self.correct, "interval": self.interval}


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """What happened in one population, neuron by neuron, over all images of a run, where it was asked for.

    spikes : (T, N, *shape) int8, signed; n : (N, *shape), net spike counts
    v, current : (N, *shape), final membrane potential and sum of the input current over the T steps
    """

    spikes: NDArray[np.int8] | None = None
    n: NDArray[np.int32] | None = None
    v: Array | None = None
    current: Array | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SnnRun:
    """One SNN on all images of a run.

    network, result, dtype
        The network with its neurons, what was counted, and the numbers that were computed in.
    skip_zero_weights
        Whether synapses of weight 0 were left out of the counts.
    model
        Prices of operations.
    logits : (T, N, K), the readout's input current of each step, where something was recorded
    recorded
        By spiking layer.
    """

    network: Network
    result: Result
    dtype: Mode
    model: EnergyModel
    skip_zero_weights: bool = False
    logits: Array | None = None
    recorded: Mapping[str, Recorded] | None = None

    @property
    def neuron(self) -> Literal["if", "dual"]:
        """Whether any neuron can fire negative spikes."""
        return "dual" if self.network.dual else "if"

    @property
    def T(self) -> int:
        """Time steps."""
        return self.result.T

    @property
    def n_images(self) -> int:
        """Images that were run."""
        return self.result.n_images

    @cached_property
    def accuracy(self) -> Floats:
        """After each of t = 1..T steps, (T,) in 0..1; nan without labels."""
        n = self.result.n_labelled
        return self.result.correct / n if n else np.full(self.T, np.nan)

    def interval(self, t: int | None = None) -> Interval:
        """95 % Wilson interval of the accuracy after t steps (default: T).

        Raises
        ------
        UsageError
            The images have no labels, or t is not one of 1..T.
        """
        t = self._step(t)
        if not self.result.n_labelled:
            raise UsageError("these images have no labels, so there is no accuracy")
        return wilson_interval(int(self.result.correct[t - 1]), self.result.n_labelled)

    @cached_property
    def operations(self) -> SnnOperations:
        """Operations by class, totals of all images, cumulative over steps."""
        return snn_operations(self.network, self.result, self.skip_zero_weights)

    @cached_property
    def sops_per_image(self) -> Floats:
        """Synaptic operations per image after each of t steps, (T,), cumulative."""
        return self.operations.sop / self.n_images

    @cached_property
    def negative_sops(self) -> Counts:
        """Of all synaptic operations those of negative spikes, (T,), cumulative, of all images."""
        nothing = np.zeros(self.T, dtype=np.int64)
        return np.asarray(np.cumsum(sum((ops.unit_neg for ops in self.result.ops.values()), nothing)))

    def energy(self, model: str | EnergyModel | None = None) -> Floats:
        """Joules per image after each of t steps, (T,), under an energy model (default: the run's).

        Raises
        ------
        UsageError, FormatError
            No such model.
        """
        if isinstance(model, str):
            model = find_energy_model(model)
        return (model or self.model).snn(self.operations)

    @cached_property
    def margins(self) -> list[Margin]:
        """Decision margins of every spiking layer, and what another order of summation could change."""
        return margins(self.network, self.result, self.dtype)

    @property
    def layers(self) -> Mapping[str, PopulationCounts]:
        """By spiking layer, spikes of either sign at each step, summed over images."""
        return self.result.populations

    @cached_property
    def neurons(self) -> Mapping[str, int]:
        """How many each spiking layer has."""
        return {layer.name: prod(self.network.shapes[layer.name]) for layer in self.network.spiking}

    def step(self, t: int | None = None) -> dict[str, Any]:
        """Every number of step t (default: T): operations are cumulative totals of all images."""
        t = self._step(t)
        values = {key: int(counts[t - 1]) for key, counts in vars(self.operations).items() if key != "n_images"}
        facts: dict[str, Any] = {"t": t, **values, "joules_per_image": float(self.energy()[t - 1])}
        if self.result.n_labelled:
            facts |= {
                "correct": int(self.result.correct[t - 1]),
                "accuracy": float(self.accuracy[t - 1]),
                "interval": self.interval(t),
            }
        return facts

    def _step(self, t: int | None) -> int:
        if t is None:
            return self.T
        if not 1 <= t <= self.T:
            raise UsageError(f"t must be one of 1..{self.T}, the steps of this run, got {t}")
        return t

    def layers_to_pandas(self) -> Any:
        """A DataFrame with a row for each spiking layer and step: spikes of either sign, per step, of all images."""
        return to_pandas(
            [
                {
                    "layer": name,
                    "neurons": self.neurons[name],
                    "t": t + 1,
                    "spikes_pos": int(each.n_pos[t]),
                    "spikes_neg": int(each.n_neg[t]),
                    "rate": float(each.n_pos[t] + each.n_neg[t]) / (self.neurons[name] * self.n_images),
                }
                for name, each in self.layers.items()
                for t in range(self.T)
            ]
        )

    def projections_to_pandas(self) -> Any:
        """A DataFrame with a row for each projection and step: operations by sign, per step, of all images."""
        return to_pandas(
            [
                {"source": source, "target": target, "t": t + 1}
                | {key: int(values[t]) for key, values in vars(ops).items()}
                for (source, target), ops in self.result.ops.items()
                for t in range(self.T)
            ]
        )

    def to_xarray(self) -> Any:
        """An xarray Dataset over t: accuracy, operations, energy; spikes of either sign over (layer, t).

        Raises
        ------
        UsageError
            xarray is not installed.
        """
        xarray = require_xarray()
        operations = {key: ("t", values) for key, values in vars(self.operations).items() if key != "n_images"}
        spikes = {
            f"spikes_{sign}": (("layer", "t"), np.array([getattr(each, f"n_{sign}") for each in self.layers.values()]))
            for sign in ("pos", "neg")
            if self.layers
        }
        return xarray.Dataset(
            {"accuracy": ("t", self.accuracy), "joules_per_image": ("t", self.energy())} | operations | spikes,
            coords={"t": np.arange(1, self.T + 1), "layer": list(self.layers)},
            attrs={
                "neuron": self.neuron,
                "n_images": self.n_images,
                "dtype": self.dtype,
                "skip_zero_weights": self.skip_zero_weights,
            },
        )

    def to_json(self) -> dict[str, Any]:
        """As it stands in a report."""
        return {
            "neuron": self.neuron,
            "images": self.n_images,
            "steps": [self.step(t) for t in range(1, self.T + 1)],
            "layers": [
                _layer(each, self.layers[each.name], self.neurons[each.name], self.n_images) for each in self.margins
            ],
            "projections": [
                {"source": source, "target": target, **{key: getattr(ops, key).tolist() for key in vars(ops)}}
                for (source, target), ops in self.result.ops.items()
            ],
            "nonzero_first_layer_macs": self.result.nonzero_macs,
        }

    def __repr__(self) -> str:
        known = f"accuracy {100 * self.accuracy[-1]:.1f} %, " if self.result.n_labelled else ""
        return (
            f"SnnRun {self.network.name}, {self.neuron}: {known}{self.sops_per_image[-1]:,.0f} SOPs/image "
            f"at T={self.T}, {self.n_images} images"
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Run:
    """What a run did: the SNNs by their neurons, and the source ANN beside them.

    The numbers of the SNN can be asked of the run itself where there is only one: `run.accuracy`, `run.interval(4)`,
    `run.sops_per_image`, `run.energy("horowitz45")`. With neuron "both" say which: `run["dual"].accuracy`.

    snn
        By kind of neuron: "if", "dual", "signed" or "file".
    rounded
        How the quantised network differs from that of the file (int16, int8); None in other numbers.
    """

    origin: Origin
    T: int
    dtype: Mode
    model: EnergyModel
    ann: AnnRun
    snn: Mapping[str, SnnRun]
    rounded: tuple[RoundedLayer, ...] | None = None

    def __getitem__(self, neuron: str) -> SnnRun:
        if neuron not in self.snn:
            raise UsageError(f"this run has no {neuron!r} neurons; it has {', '.join(self.snn)}")
        return self.snn[neuron]

    @property
    def only(self) -> SnnRun:
        """The SNN, where there is one.

        Raises
        ------
        UsageError
            There are two.
        """
        if len(self.snn) > 1:
            names = " or ".join(f"run[{name!r}]" for name in self.snn)
            raise UsageError(f"this run has {len(self.snn)} SNNs: say {names}")
        return next(iter(self.snn.values()))

    @property
    def skip_zero_weights(self) -> bool:
        """Whether synapses of weight 0 were left out of all counts, the ANN's too."""
        return any(each.skip_zero_weights for each in self.snn.values())

    @property
    def accuracy(self) -> Floats:
        """As `SnnRun.accuracy`."""
        return self.only.accuracy

    def interval(self, t: int | None = None) -> Interval:
        """As `SnnRun.interval`."""
        return self.only.interval(t)

    @property
    def sops_per_image(self) -> Floats:
        """As `SnnRun.sops_per_image`."""
        return self.only.sops_per_image

    def energy(self, model: str | EnergyModel | None = None) -> Floats:
        """As `SnnRun.energy`."""
        return self.only.energy(model)

    @property
    def layers(self) -> Mapping[str, PopulationCounts]:
        """As `SnnRun.layers`."""
        return self.only.layers

    @property
    def recorded(self) -> Mapping[str, Recorded]:
        """By spiking layer, spikes, counts and potentials as arrays.

        Raises
        ------
        UsageError
            Nothing was recorded.
        """
        if self.only.recorded is None:
            raise UsageError('nothing was recorded; run with record=("spikes", "n", "v")')
        return self.only.recorded

    def rows(self) -> list[dict[str, Any]]:
        """A row of numbers for each SNN and step."""
        return [
            {
                "neuron": each.neuron,
                "images": each.n_images,
                **_flat(each.step(t)),
                "skip_zero_weights": each.skip_zero_weights,
            }
            for each in self.snn.values()
            for t in range(1, self.T + 1)
        ]

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each SNN and step: accuracy with its interval, operations, energy.

        Raises
        ------
        UsageError
            pandas is not installed.
        """
        return to_pandas(self.rows())

    def to_xarray(self) -> Any:
        """As `SnnRun.to_xarray`; with two SNNs along another dimension, "neuron"."""
        if len(self.snn) == 1:
            return self.only.to_xarray()
        xarray = require_xarray()
        parts = [each.to_xarray() for each in self.snn.values()]
        return xarray.concat(parts, dim="neuron", combine_attrs="drop_conflicts").assign_coords(neuron=list(self.snn))

    def plot(self, ax: Any = None, *, x: Literal["t", "energy"] = "t") -> Any:
        """Draw accuracy against time steps, or against energy per image, with the ANN's beside it; returns the Axes.

        Parameters
        ----------
        ax
            matplotlib Axes to draw on; None: new ones.
        """
        from refsim.reports.figures import plot_run

        return plot_run(self, ax, x)

    def with_model(self, model: str | EnergyModel) -> Run:
        """The same run at other prices."""
        found = find_energy_model(model) if isinstance(model, str) else model
        return replace(
            self,
            model=found,
            ann=replace(self.ann, model=found),
            snn={key: replace(each, model=found) for key, each in self.snn.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """The whole report: where it comes from, what the words mean, the ANN and the SNNs."""
        return {
            "schema": SCHEMA,
            "refsim": __version__,
            **self.origin.to_json(),
            "T": self.T,
            "dtype": self.dtype,
            "skip_zero_weights": self.skip_zero_weights,
            "quantised": None if self.rounded is None else [each.to_json() for each in self.rounded],
            "definitions": {"sop": SOP, "energy": self.model.describe(), "interval": "Wilson 95 %"},
            "ann": self.ann.to_json(),
            "runs": [each.to_json() for each in self.snn.values()],
        }

    def __repr__(self) -> str:
        ann = "" if self.ann.accuracy is None else f"; ANN {100 * self.ann.accuracy:.1f} %"
        return f"Run of {self.origin.source}: {'; '.join(map(repr, self.snn.values()))}{ann}"

    def _repr_html_(self) -> str:
        rows = []
        for key, each in self.snn.items():
            for t in shown_steps(self.T):
                known = f"{100 * each.accuracy[t - 1]:.1f} %" if each.result.n_labelled else "-"
                joules = f"{each.energy()[t - 1]:.3g}"
                rows.append([key, str(t), known, f"{each.sops_per_image[t - 1]:,.0f}", joules])
        ann = "" if self.ann.accuracy is None else f", ANN {100 * self.ann.accuracy:.1f} %"
        pruned = f", {SKIPPED}" if self.skip_zero_weights else ""
        title = f"{self.origin.name}, {self.origin.source}{ann}{pruned}"
        return as_html(title, ["neuron", "t", "accuracy", "SOPs/image", f"J/image ({self.model.name})"], rows)


def shown_steps(T: int, most: int = 8) -> list[int]:
    """The steps that a table for people shows: all of a few, else the powers of two and T."""
    if most >= T:
        return list(range(1, T + 1))
    powers = [2**k for k in range(T.bit_length()) if 2**k <= T]
    return sorted({*powers, T})


def _layer(margin: Margin, counts: PopulationCounts, neurons: int, n_images: int) -> dict[str, Any]:
    return {
        "name": margin.name,
        "neurons": neurons,
        "rate": ((counts.n_pos + counts.n_neg) / (neurons * n_images)).tolist(),
        "spikes_pos": counts.n_pos.tolist(),
        "spikes_neg": counts.n_neg.tolist(),
        "reached": counts.reached.tolist(),
        "recomputed": counts.recomputed.tolist(),
        "margin": margin.positive if margin.positive != float("inf") else None,
        "margin_neg": margin.negative if margin.negative != float("inf") else None,
        "rounding_bound": margin.bound,
        "certified": margin.certified,
    }


def _flat(step: dict[str, Any]) -> dict[str, Any]:
    """A step as a row of numbers: the interval's ends in columns of their own."""
    row = dict(step)
    if "interval" in row:
        row["low"], row["high"] = row.pop("interval")
    return row
