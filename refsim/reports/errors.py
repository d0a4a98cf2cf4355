"""The report of where errors come from: the split of every layer asked for, for one or several T."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

from refsim.analysis.layer_errors import LayerErrors, Summary
from refsim.analysis.residual import Residual
from refsim.engine.modes import Mode
from refsim.exceptions import UsageError
from refsim.formats.untrusted.text import clean
from refsim.model import Network, Spiking
from refsim.reports.accuracy_if import AccuracyIf
from refsim.reports.frames import as_html, to_pandas
from refsim.reports.origin import Origin
from refsim.reports.quantised import RoundedLayer
from refsim.version import __version__

SCHEMA = "refsim-errors 1"

DEFINITIONS = {
    "clipping": "clip(zbar, 0, theta) - ReLU(zbar), zbar = mean input current over T steps",
    "quantization": "theta level / T - h(zbar), level = clip(N + floor(v(T) / theta), 0, T); against ReLU, where "
    "clipping stands apart, theta level / T - clip(zbar, 0, theta)",
    "unevenness": "theta k / T, k = N - level: spikes too many or too few",
    "propagated": "h(zbar) - h(z), z = the ANN's weighted input: what earlier layers did",
    "total": "phi - h(z), phi = theta N / T; h = ReLU, or QCFS_L as in the source ANN",
}


POOL = {
    "pool": "h(zbar) - h(zbar*), zbar* = zbar if the max pools before it had followed the maximum; behind them "
    "propagated is h(zbar*) - h(z)",
}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LayerReport:
    """The errors of one spiking layer at one T, in units of theta.

    number
        Of the layer among the spiking layers, from 1.
    reads
        What the layer stands behind.
    theta
        Least and greatest threshold.
    L
        Quantization steps of the ANN's activation; None: ReLU, 0: unknown.
    clipped
        Whether it is a ReLU with a bound, clip(z, 0, lambda).
    errors
        The split itself: `errors.against_relu["clipping"].mean`, counts of spikes too many and too few, the residual.
    """

    number: int
    name: str
    reads: tuple[str, ...]
    theta: tuple[float, float]
    L: int | None
    clipped: bool
    errors: LayerErrors

    @classmethod
    def of(cls, network: Network, layer: Spiking, errors: LayerErrors) -> LayerReport:
        """Of a layer of this network."""
        activation = layer.neuron.activation
        return cls(
            number=network.spiking.index(layer) + 1,
            name=layer.name,
            reads=layer.inputs,
            theta=(float(layer.neuron.theta.min()), float(layer.neuron.theta.max())),
            L=activation.L if activation is not None else 0,
            clipped=activation is not None and activation.clipped,
            errors=errors,
        )

    @property
    def parts(self) -> Mapping[str, Summary]:
        """The parts of the error that the source ANN speaks for, with their sum last.

        Against QCFS_L or the clipped ReLU where the ANN has them; else against ReLU; without the ANN, what is local.
        """
        relu, qcfs = self.errors.against_relu, self.errors.against_qcfs
        if qcfs:
            return {
                key: qcfs[key] for key in ("quantization", "unevenness", "pool", "propagated", "total") if key in qcfs
            }
        last = "total" if "total" in relu else "local"
        keys = ("clipping", "quantization", "unevenness", "pool", "propagated", last)
        return {key: relu[key] for key in keys if key in relu}

    @property
    def clipping(self) -> Summary:
        """clip(zbar, 0, theta) - ReLU(zbar): the layer's own input exceeds theta."""
        return self.errors.against_relu["clipping"]

    @property
    def quantization(self) -> Summary:
        """What T steps cannot resolve, against the ANN's activation where there is one."""
        return self.parts["quantization"]

    @property
    def unevenness(self) -> Summary:
        """theta k / T: spikes too many or too few."""
        return self.parts["unevenness"]

    @property
    def propagated(self) -> Summary:
        """What earlier layers did to the input of this one.

        Raises
        ------
        UsageError
            The ANN was not run.
        """
        return self._of_ann("propagated")

    @property
    def total(self) -> Summary:
        """phi - a: all of it.

        Raises
        ------
        UsageError
            The ANN was not run.
        """
        return self._of_ann("total")

    def _of_ann(self, key: str) -> Summary:
        if key not in self.parts:
            raise UsageError(f"layer '{self.name}': the error against the ANN is not known: the file does not say L")
        return self.parts[key]

    @property
    def own(self) -> tuple[str, Summary]:
        """The largest part of what the layer itself adds, by RMS: its name and its size."""
        parts = {key: part for key, part in self.parts.items() if key not in ("propagated", "total", "local")}
        return max(parts.items(), key=lambda item: item[1].rms)

    @property
    def residual(self) -> Residual | None:
        """g' = phi - a in units of the membrane potential (NQ); None without the ANN."""
        return self.errors.residual

    @property
    def spike_count(self) -> dict[str, float]:
        """Shares of neurons (times images) that fired what their input asks for, one more, one less, or else."""
        errors = self.errors
        return {
            "exact": errors.fraction(0),
            "plus_1": errors.fraction(1),
            "minus_1": errors.fraction(-1),
            "more": errors.fraction(2, errors.T) + errors.fraction(-2 * errors.T, -2),
        }

    def share(self, low: int | None, high: int | None) -> float:
        """The part of the neurons (times images) with low <= k <= high; None is no limit."""
        chosen = [n for k, n in self.errors.k.items() if (low is None or k >= low) and (high is None or k <= high)]
        return float(sum(chosen) / sum(self.errors.k.values()))

    def to_json(self) -> dict[str, Any]:
        """As it stands in a report."""
        errors = self.errors
        n = errors.n_images * errors.n_neurons
        bounded = {key: asdict(part) for key, part in errors.against_qcfs.items()} or None
        channels = {"channels": {key: means.tolist() for key, means in errors.channels.items()}}
        return {
            "number": self.number,
            "name": self.name,
            "reads": list(self.reads),
            "theta": list(self.theta),
            "L": self.L,
            "neurons": errors.n_neurons,
            "against_relu": {key: asdict(part) for key, part in errors.against_relu.items()},
            "against_qcfs": None if self.clipped else bounded,
            **({"against_clipped": bounded} if self.clipped else {}),
            "spike_count": {**self.spike_count, "k": {str(k): count for k, count in errors.k.items()}},
            "silent": errors.n_silent / n,
            "never_fire": errors.n_never,
            "saturated": errors.n_saturated / n,
            "always_saturated": errors.n_always,
            "potential": asdict(errors.potential)
            | {"below_0": errors.n_below / n, "at_least_theta": errors.n_above / n},
            "residual": _finite(asdict(errors.residual)) if errors.residual is not None else None,
            **(channels if errors.channels else {}),
        }

    def row(self) -> dict[str, Any]:
        """Means and RMS of the parts as one row."""
        parts = {f"{key}_mean": part.mean for key, part in self.parts.items()}
        whole = list(self.parts)[-1]
        return {
            "number": self.number,
            "layer": self.name,
            "T": self.errors.T,
            "clipping_mean": self.clipping.mean,
            **parts,
            f"{whole}_rms": self.parts[whole].rms,
            **self.spike_count,
        }

    def __repr__(self) -> str:
        shown = ", ".join(f"{key} {part.mean:+.4f}" for key, part in self.parts.items())
        return f"LayerReport {self.number} {self.name}, T={self.errors.T}: {shown} theta"


@dataclass(frozen=True, kw_only=True)
class Step:
    """The layers at one T."""

    T: int
    layers: tuple[LayerReport, ...]

    @property
    def has_pool(self) -> bool:
        """Whether a max pool that does not follow the maximum has a part in the error of some layer."""
        return any("pool" in layer.errors.against_relu for layer in self.layers)


Measurable = Callable[[str | int, int, Any], AccuracyIf]
"""Measures a layer, by its name or number, at T steps, with a progress."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ErrorReport:
    """Where the error of each layer comes from.

    `report["layer3.2"].unevenness.mean` is the mean of one part, at the largest T, in units of theta.

    neuron
        Of the network that was run.
    missing
        What cannot be said because the file does not say what the ANN computes; None if nothing is missing.
    steps
        One entry for each T, in increasing order.
    study
        What `accuracy_if` asks to measure; None where nobody could.
    as_ann
        What was measured by it.
    """

    origin: Origin
    dtype: Mode
    neuron: Literal["if", "dual"]
    missing: str | None
    rounded: tuple[RoundedLayer, ...] | None
    steps: tuple[Step, ...]
    study: Measurable | None = None
    as_ann: tuple[AccuracyIf, ...] = ()

    def accuracy_if(self, layer: str | int | None = None, *, progress: Any = None) -> AccuracyIf:
        """Measure, on the same images at the largest T, what would be gained if a layer made no error of its own.

        Parameters
        ----------
        layer
            Name or number (from 1) of a spiking layer; None: the one whose own error is largest (`worst`).
        progress
            As in `refsim.run`.

        Raises
        ------
        UsageError
            No such layer; images without labels; the file does not say what the ANN computes there.
        """
        if self.study is None:
            raise UsageError("this report was not made by refsim.layer_errors, which knows network and images")
        return self.study(self.worst.number if layer is None else layer, self.T, progress)

    @property
    def verdict(self) -> str:
        """Which layer loses most, by what, and, where it was measured, what would be gained without its own error."""
        worst = self.worst
        part, summary = worst.own
        size = f"RMS {summary.rms:.3f} theta at T={self.T}"
        text = f"most is lost in layer {worst.number} '{clean(worst.name, 40)}': {part} ({size})"
        for each in self.as_ann:
            if each.number == worst.number:
                text += f"; as in the ANN it would give {each.gain:+.1f} points on {each.n_images} images"
        return text

    @property
    def T(self) -> int:
        """The largest T."""
        return self.steps[-1].T

    @property
    def layers(self) -> tuple[LayerReport, ...]:
        """The layers at the largest T."""
        return self.steps[-1].layers

    @property
    def worst(self) -> LayerReport:
        """The layer whose own error is largest at the largest T, by the RMS of `LayerReport.own`."""
        return max(self.layers, key=lambda layer: layer.own[1].rms)

    def __getitem__(self, key: str | int) -> LayerReport:
        """A layer at the largest T, by its name or by its number among the spiking layers, from 1."""
        for layer in self.layers:
            if str(key) in (layer.name, str(layer.number)):
                return layer
        raise UsageError(f"no layer {key!r} in this report; it has {', '.join(each.name for each in self.layers)}")

    @property
    def definitions(self) -> dict[str, str]:
        """The words that this report uses."""
        return DEFINITIONS | POOL if any(step.has_pool for step in self.steps) else DEFINITIONS

    def at(self, T: int) -> Step:
        """The layers at another T."""
        for step in self.steps:
            if step.T == T:
                return step
        raise UsageError(f"T={T} was not measured; there is T={', '.join(str(each.T) for each in self.steps)}")

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each layer and T, means in units of theta.

        Raises
        ------
        UsageError
            pandas is not installed.
        """
        return to_pandas([layer.row() for step in self.steps for layer in step.layers])

    def plot(self, ax: Any = None) -> Any:
        """Draw the mean error of every layer at the largest T, its parts stacked; returns the Axes.

        Parameters
        ----------
        ax
            matplotlib Axes to draw on; None: new ones.
        """
        from refsim.reports.figures import plot_layers

        return plot_layers(self, ax)

    def to_json(self) -> dict[str, Any]:
        """The whole report."""
        return {
            "schema": SCHEMA,
            "refsim": __version__,
            **self.origin.to_json(),
            "T": self.T,
            "dtype": self.dtype,
            "quantised": None if self.rounded is None else [each.to_json() for each in self.rounded],
            "neuron": self.neuron,
            "definitions": {**self.definitions, "unit": "theta, of the neuron concerned"},
            "missing": self.missing,
            "verdict": self.verdict,
            "accuracy_if": [each.to_json() for each in self.as_ann],
            "steps": [{"T": step.T, "layers": [layer.to_json() for layer in step.layers]} for step in self.steps],
        }

    def __repr__(self) -> str:
        return (
            f"ErrorReport {self.origin.name}, {self.neuron}, T={self.T}: {len(self.layers)} layers, "
            f"{self.origin.source}"
        )

    def _repr_html_(self) -> str:
        keys = list(self.layers[0].parts)
        rows = [
            [
                str(layer.number),
                layer.name,
                *(f"{layer.parts[key].mean:+.4f}" if key in layer.parts else "" for key in keys),
            ]
            for layer in self.layers
        ]
        return as_html(f"{self!r}, means in units of theta", ["#", "layer", *keys], rows)


SHARES: Mapping[str, tuple[int | None, int | None]] = {
    "-1": (-1, -1),
    "<= -2": (None, -2),
    "+1": (1, 1),
    ">= 2": (2, None),
}
"""Spikes too many or too few as they are drawn, with their limits for `LayerReport.share`."""


def over_time(steps: Sequence[Step]) -> dict[str, list[float]]:
    """RMS against T: of each part, for a single layer; else of the whole error of each layer."""
    first = steps[0].layers
    if len(first) == 1:
        return {key: [step.layers[0].parts[key].rms for step in steps] for key in first[0].parts}
    return {
        layer.name: [list(step.layers[i].parts.values())[-1].rms for step in steps] for i, layer in enumerate(first)
    }


def _finite(numbers: dict[str, float]) -> dict[str, float | None]:
    """JSON has no nan: the shape of a residual that has no spread is null."""
    return {key: value if isfinite(value) else None for key, value in numbers.items()}
