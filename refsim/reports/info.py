"""The report of what a weight file holds: layers, shapes, thresholds, MACs, provenance, checksum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any, Literal, assert_never

from refsim.analysis.macs import Macs, network_macs
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import WeightFile
from refsim.model import (
    Activation,
    Add,
    AnyLayer,
    AvgPool2d,
    Conv2d,
    Flatten,
    Floats,
    InputSpec,
    Kind,
    Linear,
    MaxMode,
    MaxPool2d,
    Network,
    Pair,
    Shape,
    Spiking,
)
from refsim.reports.plan import ProjectionReport
from refsim.version import __version__

SCHEMA = "refsim-info 1"


@dataclass(frozen=True, kw_only=True)
class Range:
    """The shape of a parameter, and its least and greatest value."""

    shape: Shape
    min: float
    max: float

    @classmethod
    def of(cls, value: Floats) -> Range:
        """Of an array."""
        return cls(shape=value.shape, min=float(value.min()), max=float(value.max()))


@dataclass(frozen=True, kw_only=True)
class WeightsReport:
    """A layer's weights; `macs_dense` counts every kernel tap, `macs_existing` only those inside the input."""

    weight: Shape
    dtype: str
    parameters: int
    macs_dense: int
    macs_existing: int


@dataclass(frozen=True, kw_only=True)
class ConvReport:
    """The geometry of a convolution."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


@dataclass(frozen=True, kw_only=True)
class PoolReport:
    """The windows of a pool."""

    kernel: Pair
    stride: Pair


@dataclass(frozen=True, kw_only=True)
class MaxPoolReport:
    """The windows of a max pool, and what it does with spikes."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    mode: MaxMode


@dataclass(frozen=True, kw_only=True)
class NeuronReport:
    """A population: its number among the spiking layers, from 1, and its parameters."""

    number: int
    neurons: int
    neuron: Literal["if", "dual"]
    theta: Range
    theta_neg: Range | None
    theta_neg_mode: str
    v0: Range
    gate: str
    reset: str
    leak: float
    strict: bool
    activation: Activation | None


@dataclass(frozen=True, kw_only=True)
class LayerInfo:
    """One layer; of the parts below those that its kind has."""

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    shape: Shape
    weights: WeightsReport | None = None
    conv: ConvReport | None = None
    pool: PoolReport | None = None
    max_pool: MaxPoolReport | None = None
    population: NeuronReport | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in a report: the parts beside each other."""
        facts: dict[str, Any] = {"name": self.name, "kind": self.kind, "inputs": self.inputs, "shape": self.shape}
        for part in (self.weights, self.conv, self.pool, self.max_pool, self.population):
            if part is not None:
                facts |= asdict(part)
        return facts


@dataclass(frozen=True, kw_only=True)
class GoldenReport:
    """Golden results in the file: for which neurons, steps and how many images."""

    T: int
    neuron: str
    images: int


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What a weight file holds. Thresholds are in the unit of the ANN's activations."""

    file: str
    sha256: str
    name: str
    input: InputSpec
    classes: tuple[str, ...]
    n_classes: int
    layers: tuple[LayerInfo, ...]
    n_samples: int
    golden: tuple[GoldenReport, ...]
    provenance: dict[str, str]
    plan: tuple[ProjectionReport, ...] | None = None

    @property
    def populations(self) -> list[NeuronReport]:
        """The spiking layers."""
        return [each.population for each in self.layers if each.population is not None]

    @property
    def weights(self) -> list[WeightsReport]:
        """The layers with weights."""
        return [each.weights for each in self.layers if each.weights is not None]

    @property
    def n_neurons(self) -> int:
        """Neurons of all populations."""
        return sum(each.neurons for each in self.populations)

    @property
    def n_parameters(self) -> int:
        """Numbers in weights and biases."""
        return sum(each.parameters for each in self.weights)

    @property
    def macs(self) -> Macs:
        """Multiply-accumulates of the source ANN for one image."""
        return Macs(sum(each.macs_dense for each in self.weights), sum(each.macs_existing for each in self.weights))

    def to_json(self) -> dict[str, Any]:
        """The whole report."""
        spec = self.input
        return {
            "schema": SCHEMA,
            "refsim": __version__,
            "file": self.file,
            "sha256": self.sha256,
            "name": self.name,
            "input": {
                "shape": spec.shape,
                "scale": spec.scale,
                "mean": spec.mean.tolist(),
                "std": spec.std.tolist(),
                "color": spec.color,
                "dataset": spec.dataset,
            },
            "classes": self.classes,
            "n_classes": self.n_classes,
            "layers": [each.to_json() for each in self.layers],
            "n_spiking": len(self.populations),
            "n_neurons": self.n_neurons,
            "parameters": self.n_parameters,
            "macs_dense": self.macs.dense,
            "macs_existing": self.macs.existing,
            "samples": self.n_samples,
            "golden": [asdict(each) for each in self.golden],
            "provenance": self.provenance,
            **({} if self.plan is None else {"plan": [each.to_json() for each in self.plan]}),
        }


def describe(file: WeightFile) -> FileReport:
    """What a weight file holds."""
    network = file.network
    macs = network_macs(network)
    return FileReport(
        file=clean(file.path, None),
        sha256=file.sha256,
        name=network.name,
        input=network.input,
        classes=network.classes,
        n_classes=network.n_classes,
        layers=tuple(_layer(network, layer, macs) for layer in network.layers),
        n_samples=0 if file.samples is None else len(file.samples.labels),
        golden=tuple(GoldenReport(T=each.T, neuron=each.neuron, images=each.logits.shape[1]) for each in file.golden),
        provenance=dict(sorted(network.metadata.items())),
    )


def _layer(network: Network, layer: AnyLayer, macs: Mapping[str, Macs]) -> LayerInfo:
    facts = LayerInfo(name=layer.name, kind=layer.kind, inputs=layer.inputs, shape=network.shapes[layer.name])
    match layer:
        case Conv2d():
            conv = ConvReport(stride=layer.stride, padding=layer.padding, dilation=layer.dilation, groups=layer.groups)
            return replace(facts, weights=_weights(layer, macs), conv=conv)
        case Linear():
            return replace(facts, weights=_weights(layer, macs))
        case AvgPool2d():
            return replace(facts, pool=PoolReport(kernel=layer.kernel, stride=layer.stride))
        case MaxPool2d():
            max_pool = MaxPoolReport(
                kernel=layer.kernel,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
                mode=layer.mode,
            )
            return replace(facts, max_pool=max_pool)
        case Spiking():
            return replace(facts, population=_population(network, layer))
        case Flatten() | Add():
            return facts
        case _:
            assert_never(layer)


def _weights(layer: Conv2d | Linear, macs: Mapping[str, Macs]) -> WeightsReport:
    return WeightsReport(
        weight=layer.weight.shape,
        dtype=layer.weight.dtype.name,
        parameters=layer.weight.size + layer.bias.size,
        macs_dense=macs[layer.name].dense,
        macs_existing=macs[layer.name].existing,
    )


def _population(network: Network, layer: Spiking) -> NeuronReport:
    neuron = layer.neuron
    return NeuronReport(
        number=network.spiking.index(layer) + 1,
        neurons=prod(network.shapes[layer.name]),
        neuron="dual" if neuron.dual else "if",
        theta=Range.of(neuron.theta),
        theta_neg=Range.of(neuron.theta_neg) if neuron.dual else None,
        theta_neg_mode=neuron.theta_neg_mode,
        v0=Range.of(neuron.v0),
        gate=neuron.gate,
        reset=neuron.reset,
        leak=neuron.leak,
        strict=neuron.strict,
        activation=neuron.activation,
    )
