"""Making layers, with names of their own; what stands in the way is gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from refsim.exceptions import FormatError, NetworkError
from refsim.formats.untrusted.text import clean
from refsim.importers.operators import (
    Affine,
    AnyNode,
    BatchNorm,
    Conv,
    Graph,
    Linear,
    Site,
)
from refsim.importers.parameters import NeuronChoice
from refsim.importers.recognise.flows import (
    Flow,
    Kind,
    Ready,
    Sum,
    View,
    Waiting,
)
from refsim.importers.recognise.linear import CannotFold, fold, selection, with_equal_padding
from refsim.importers.recognise.preprocessing import InputMap
from refsim.model import INPUT, AnyLayer, MaxMode, Shape
from refsim.model import layers as model

MAX_SHOWN = 20
"""Obstacles in one message."""

MAX_LAYERS = 4096


@dataclass
class LayerMaker:
    """The layers so far, what has been noticed, and what stands in the way.

    relu, max_pools
        Labels of activations that need calibration, and of max pools.
    left_out
        Labels of quantisers that are no activations.
    containers
        Paths of modules that hold others.
    """

    graph: Graph
    where: str
    choice: NeuronChoice
    max_pool: MaxMode
    layers: list[AnyLayer] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    relu: list[str] = field(default_factory=list)
    max_pools: list[str] = field(default_factory=list)
    input_maps: list[InputMap | None] = field(default_factory=list)
    containers: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=lambda: {INPUT})
    flows: dict[str, Flow] = field(default_factory=dict)

    def _weighted(
        self, head: Waiting, after: Sequence[Affine | BatchNorm], gain: float, offset: float, *, last: bool = False
    ) -> Ready:
        """A convolution or matrix product with all that is folded into it; the last one is the linear readout."""
        node = head.node
        try:
            parts = fold(node, after, gain, offset)
            name = self._name(head.site, "linear")
            if isinstance(node, Linear) or last:
                weight = parts.weight.reshape(len(parts.weight), -1)
                layer: AnyLayer = model.Linear(
                    name=name, inputs=(head.source,), weight=weight, scale=parts.scale, bias=parts.bias
                )
            else:
                weight, padding = with_equal_padding(parts.weight, node.pads, node.stride, node.dilation)
                if weight.shape != parts.weight.shape:
                    self.notes.append(
                        f"{head.site}: unequal padding became a kernel with rows of zeros; their operations count "
                        "unless zero weights are left out"
                    )
                layer = model.Conv2d(
                    name=name,
                    inputs=(head.source,),
                    weight=weight,
                    scale=parts.scale,
                    bias=parts.bias,
                    stride=node.stride,
                    padding=padding,
                    dilation=node.dilation,
                    groups=node.groups,
                )
        except CannotFold as error:
            self.obstacles.append(f"{head.site}: {error}")
            return Ready(kind="current", layer=head.source, site=head.site)
        except NetworkError as error:
            error.add_note(f"{self.where}: {head.site}")
            raise
        self._append(layer, head.site)
        return Ready(kind="current", layer=name, site=head.site)

    def _shortcut(self, head: View, shape: Shape) -> Ready:
        """Slices and pads as a convolution of zeros and ones."""
        try:
            weight, stride = selection(head.views, shape)
        except CannotFold as error:
            self.obstacles.append(f"{head.site}: {error}")
            return replace(head.source, kind="spikes")
        site = head.site
        zeros = (0, 0, 0, 0)
        node = Conv(
            site=site,
            inputs=(),
            output="",
            shape=(),
            weight=weight,
            steps=None,
            bias=None,
            stride=stride,
            pads=zeros,
            dilation=(1, 1),
            groups=1,
        )
        name = replace(site, module=f"{site.module}.shortcut" if site.module else "", name=site.name or "shortcut")
        return self._weighted(Waiting(node=node, source=head.source.layer, site=name), (), 1.0, 0.0)

    def _layer(
        self, kind: Kind, of: AnyNode | Sum, layer: type[AnyLayer], *sources: Ready | str, **options: object
    ) -> Flow:
        """A layer without parameters."""
        words = {"sum": "add", "pooled": "pool", "flat": "flatten"}
        name = self._name(of.site, words[kind])
        inputs = tuple(each.layer if isinstance(each, Ready) else each for each in sources)
        try:
            made = layer(name=name, inputs=inputs, **options)  # type: ignore[arg-type]
        except NetworkError as error:
            error.add_note(f"{self.where}: {of.site}")
            raise
        self._append(made, of.site)
        shape = () if isinstance(of, Sum) else of.shape[1:]
        return Flow(head=Ready(kind=kind, layer=name, site=of.site), shape=shape)

    def _append(self, layer: AnyLayer, site: Site) -> None:
        if len(self.layers) >= MAX_LAYERS:
            raise FormatError(f"{self.where}: {site}: more than {MAX_LAYERS} layers")
        self.layers.append(layer)

    def _name(self, site: Site, word: str) -> str:
        """A name of its own: the module's, or for what stands in a container of others its own word behind that."""
        base = site.module
        if word != "linear" and base in self.containers:
            base = f"{base}.{word}" if base else site.name
        base = clean((base or site.name).replace("/", "."), 200).strip(". ") or word
        name, n = base, 1
        while name in self.names:
            n += 1
            name = f"{base}_{n}"
        self.names.add(name)
        return name

    def _in_a_row(self, source: Ready, site: Site) -> None:
        if source.kind == "sum":
            self.obstacles.append(
                f"{site} reads the sum {source.site} with no activation between them; put a ReLU there"
            )
            return
        self.obstacles.append(
            f"{source.site} and {site} with no activation between them (linear bottleneck); put a ReLU or QCFS there"
        )

    def _unreadable(self, site: Site, source: Ready) -> None:
        what = {
            "current": "with no activation between them",
            "sum": "with no activation between them",
            "pooled": "a pool of a pool",
            "flat": "which is flat",
        }.get(source.kind, "")
        self.obstacles.append(f"{site} reads {source.site}, {what}; put a ReLU or QCFS between them")

    def _raise_obstacles(self) -> None:
        found = list(dict.fromkeys(self.obstacles))
        if found:
            more = f"; and {len(found) - MAX_SHOWN} more" if len(found) > MAX_SHOWN else ""
            count = f"{len(found)} obstacles: " if len(found) > 1 else ""
            raise FormatError(f"{self.where}: {count}{'; '.join(found[:MAX_SHOWN])}{more}")
