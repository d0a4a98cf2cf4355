"""From an operator graph to the layers of a network.

The nodes are taken in order. What a value is, is a `Flow`: a head, which is a layer that is there, or a linear map, a
sum, or slices and pads that wait for what follows them; and the chain of elementwise operations behind it. Whoever
reads a flow as spikes settles it: the chain becomes a part of the weights and an activation, and the layers are made.
What stands in the way is gathered, and said at once at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal, assert_never

import numpy as np

from refsim.exceptions import FormatError, NetworkError
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.operators import (
    Add,
    Affine,
    AnyNode,
    AvgPool,
    BatchNorm,
    Clip,
    Conv,
    Elementwise,
    Flatten,
    Foreign,
    Graph,
    Linear,
    MaxPool,
    Pad,
    Quantize,
    Site,
    Slice,
    Softmax,
)
from refsim.importers.parameters import NeuronChoice
from refsim.importers.recognise.activations import (
    Function,
    Neither,
    Rectifier,
    Staircase,
    Straight,
    understand,
    without_quantisers,
)
from refsim.importers.recognise.linear import CannotFold, fold, gain_and_offset, selection, with_equal_padding
from refsim.importers.recognise.preprocessing import InputMap, input_map
from refsim.model import INPUT, AnyLayer, MaxMode, Shape
from refsim.model import layers as model

MAX_SHOWN = 20
"""Obstacles in one message."""

Kind = Literal["image", "spikes", "pooled", "flat", "current", "sum"]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A layer that is there (or the image).

    step, L
        Of the staircase it gives, where its values are multiples of one step.
    """

    kind: Kind
    layer: str
    site: Site
    step: float | None = None
    L: int = 0


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A linear map whose weights may take in what follows it."""

    node: Conv | Linear
    source: str
    site: Site


@dataclass(frozen=True, kw_only=True)
class Sum:
    """An addition of layers, to which others may be added."""

    operands: tuple[str, ...]
    site: Site


@dataclass(frozen=True, kw_only=True)
class View:
    """Slices and pads of a layer."""

    source: Ready
    views: tuple[Slice | Pad, ...]
    site: Site


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What a value is: a head, the elementwise operations behind it, and what they have been swapped with.

    shape
        Of the head, for one image.
    pool, flatten
        A max pool or a flatten between them, which an activation may be moved before.
    """

    head: Ready | Waiting | Sum | View
    shape: Shape
    chain: tuple[Elementwise, ...] = ()
    pool: MaxPool | None = None
    flatten: Flatten | None = None


@dataclass(kw_only=True)
class Recognised:
    """What came out: layers and image of a network, and lines for the user.

    input_map
        mean and std that the graph itself applies to the image; None: it applies none.
    relu
        Labels of activations whose thresholds need calibration.
    max_pools
        Labels of max pools.
    """

    layers: tuple[AnyLayer, ...]
    shape: tuple[int, int, int]
    input_map: InputMap | None
    relu: tuple[str, ...]
    max_pools: tuple[str, ...]
    notes: tuple[str, ...]


def recognise(graph: Graph, where: str, choice: NeuronChoice, max_pool: MaxMode | None = None) -> Recognised:
    """Make the layers of a network of an operator graph.

    Parameters
    ----------
    where
        The file or model, for messages.
    choice
        What neurons replace the activations; L and shift come from the graph.
    max_pool
        Mode of max pools; None: "cumulative" for the time being, the caller asks (`Recognised.max_pools`).

    Raises
    ------
    FormatError
        All that stands in the way: operators without a counterpart, linear maps in a row, ...
    NetworkError
        Parameters that do not fit together.
    """
    with np.errstate(all="ignore"):
        return _Recogniser(graph, where, choice, max_pool or "cumulative").run()


@dataclass
class _Recogniser:
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
    flows: dict[str, Flow] = field(default_factory=dict)

    def run(self) -> Recognised:
        self.notes += self.graph.notes
        nodes = self._live()
        self.readers = Counter(value for node in nodes for value in node.inputs)
        self.containers = {
            ".".join(parts[:n])
            for node in nodes
            for parts in [node.site.module.split(".")[:16]]
            for n in range(len(parts))
        }
        self.names: set[str] = {INPUT}
        shape = self.graph.image_shape[1:]
        image = Ready(kind="image", layer=INPUT, site=Site(name=self.graph.image, kind="the image"))
        self.flows[self.graph.image] = Flow(head=image, shape=tuple(shape))
        for node in nodes:
            self.flows[node.output] = self._flow(node)
        if self.graph.output in self.flows:
            self._finish(self.flows[self.graph.output])
        self._raise_obstacles()
        if self.left_out:
            self.notes.append(
                f"quantisers that are no activations are left out: {len(self.left_out)}, the first {self.left_out[0]}; "
                "the ANN is no longer equal, to the bit, to what the quantised file computes"
            )
        maps = [each for each in self.input_maps if each is not None]
        return Recognised(
            layers=tuple(self.layers),
            shape=(shape[0], shape[1], shape[2]),
            input_map=maps[0] if maps else None,
            relu=tuple(self.relu),
            max_pools=tuple(self.max_pools),
            notes=tuple(self.notes),
        )

    def _live(self) -> list[AnyNode]:
        """The nodes that the output depends on; with obstacles that end the graph early, all of them."""
        wanted = {self.graph.output}
        outputs = {node.output for node in self.graph.nodes}
        if self.graph.output not in outputs and self.graph.output != self.graph.image:
            return list(self.graph.nodes)
        kept = []
        for node in reversed(self.graph.nodes):
            if node.output in wanted:
                kept.append(node)
                wanted.update(node.inputs)
        return kept[::-1]

    def _raise_obstacles(self) -> None:
        found = list(dict.fromkeys(self.obstacles))
        if found:
            more = f"; and {len(found) - MAX_SHOWN} more" if len(found) > MAX_SHOWN else ""
            count = f"{len(found)} obstacles: " if len(found) > 1 else ""
            raise FormatError(f"{self.where}: {count}{'; '.join(found[:MAX_SHOWN])}{more}")

    # -- nodes ---------------------------------------------------------------------------------------------

    def _flow(self, node: AnyNode) -> Flow:
        """What the value is that this node gives."""
        shape = node.shape[1:]
        if isinstance(node, Add):
            return Flow(head=self._sum(node), shape=shape)
        if isinstance(node, Foreign):
            self.obstacles.append(f"{node.site}: {node.why}")
            for value in node.inputs:
                self._read(value)
            return Flow(head=self._stand_in(node.site), shape=shape)
        flow = self._read(node.inputs[0])
        match node:
            case Conv() | Linear():
                return self._linear(node, flow)
            case MaxPool():
                return self._max_pool(node, flow)
            case AvgPool():
                source = self._settle(flow)
                if source.kind not in ("spikes", "image"):
                    self._unreadable(node.site, source)
                kernel, stride = node.kernel, node.stride
                return self._layer("pooled", node, model.AvgPool2d, source, kernel=kernel, stride=stride)
            case Flatten():
                return self._flatten(node, flow)
            case Slice() | Pad():
                if isinstance(flow.head, View) and not flow.chain:
                    head = replace(flow.head, views=(*flow.head.views, node))
                    return Flow(head=head, shape=flow.shape)
                source = self._settle(flow)
                if source.kind in ("current", "sum"):
                    self._unreadable(node.site, source)
                return Flow(head=View(source=source, views=(node,), site=node.site), shape=_before(node, flow))
            case Softmax():
                if node.output == self.graph.output:
                    self.notes.append(f"{node.site} at the end is left out: it changes no order of the classes")
                else:
                    self.obstacles.append(f"{node.site}: a softmax inside (attention) has no spiking counterpart")
                return flow
            case _:
                return replace(flow, chain=(*flow.chain, node))

    def _read(self, value: str) -> Flow:
        """The flow of a value; if several nodes read it, it is settled first, so that all read the same layer."""
        flow = self.flows[value]
        if self.readers[value] < 2:
            return flow
        ready = self._settle(flow)
        if ready.kind in ("current", "sum"):
            what = "pre-activation block" if ready.kind == "sum" else "linear bottleneck"
            times = "twice" if self.readers[value] == 2 else f"{self.readers[value]} times"
            self.obstacles.append(
                f"{ready.site} is read {times} with no activation behind it ({what}); put a ReLU or QCFS there and let "
                "them read that"
            )
            ready = replace(ready, kind="spikes")
        settled = Flow(head=ready, shape=_settled_shape(flow))
        self.flows[value] = settled
        return settled

    def _linear(self, node: Conv | Linear, flow: Flow) -> Flow:
        """A linear map waits for what follows it; pads before it become its own."""
        shape = node.shape[1:]
        head = flow.head
        if isinstance(head, View) and isinstance(node, Conv) and not flow.chain and _pads_only(head):
            for view in head.views:
                assert isinstance(view, Pad)
                node = replace(node, pads=tuple(a + b for a, b in zip(node.pads, view.pads)))  # type: ignore[arg-type]
            return Flow(head=Waiting(node=node, source=head.source.layer, site=node.site), shape=shape)
        source = self._settle(flow)
        if source.kind in ("current", "sum"):
            self._in_a_row(source, node.site)
        return Flow(head=Waiting(node=node, source=source.layer, site=node.site), shape=shape)

    def _sum(self, node: Add) -> Sum:
        operands: list[str] = []
        for value in node.inputs:
            flow = self._read(value)
            if isinstance(flow.head, Sum) and not flow.chain and flow.pool is None:
                operands += flow.head.operands
                continue
            source = self._settle(flow)
            if source.kind == "sum":
                self._unreadable(node.site, source)
            operands.append(source.layer)
        return Sum(operands=tuple(operands), site=node.site)

    def _max_pool(self, node: MaxPool, flow: Flow) -> Flow:
        """A max pool of spikes; before an activation it changes places with it, for the activation is monotone."""
        self.max_pools.append(node.site.label)
        if flow.pool is None and not isinstance(flow.head, Ready | View):
            function, _ = understand(_last_part(flow.chain)[1])
            if isinstance(function, Straight):
                return replace(flow, pool=node)
        source = self._settle(flow)
        return Flow(head=self._pooled(node, source), shape=node.shape[1:])

    def _pooled(self, node: MaxPool, source: Ready) -> Ready:
        if source.kind not in ("spikes", "image"):
            self._unreadable(node.site, source)
        options = {"kernel": node.kernel, "stride": node.stride, "padding": node.padding, "dilation": node.dilation}
        made = self._layer("pooled", node, model.MaxPool2d, source, mode=self.max_pool, **options).head
        assert isinstance(made, Ready)
        return replace(made, step=source.step, L=source.L)

    def _flatten(self, node: Flatten, flow: Flow) -> Flow:
        """A flatten of spikes; of a plane of one position it changes places with the activation."""
        if isinstance(flow.head, Waiting) and prod(flow.shape[1:]) == 1 and flow.pool is None:
            function, _ = understand(_last_part(flow.chain)[1])
            if isinstance(function, Straight):
                return replace(flow, flatten=node)
        return Flow(head=self._flat(node, self._settle(flow)), shape=node.shape[1:])

    def _flat(self, node: Flatten, source: Ready) -> Ready:
        if source.kind not in ("spikes", "pooled", "image"):
            self._unreadable(node.site, source)
        made = self._layer("flat", node, model.Flatten, source).head
        assert isinstance(made, Ready)
        return replace(made, step=source.step, L=source.L)

    # -- settling ------------------------------------------------------------------------------------------

    def _settle(self, flow: Flow) -> Ready:
        """Make the layers of a flow."""
        head = flow.head
        if isinstance(head, View):
            head = self._shortcut(head, flow.shape)
        ready = self._settle_ready(head, flow.chain) if isinstance(head, Ready) else self._settle_waiting(head, flow)
        if flow.pool is not None:
            ready = self._pooled(flow.pool, ready)
        if flow.flatten is not None:
            ready = self._flat(flow.flatten, ready)
        return ready

    def _settle_waiting(self, head: Waiting | Sum, flow: Flow) -> Ready:
        folded, rest = _last_part(flow.chain)
        function, left_out = understand(rest)
        self.left_out += [shown(each.site.label) for each in left_out]
        linear = self._foldable(head, folded)
        gain, offset = 1.0, 0.0
        if isinstance(function, Straight | Rectifier):
            gain, offset = function.gain, function.offset
        if isinstance(head, Sum):
            if linear or (gain, offset) != (1.0, 0.0):
                site = (linear or rest)[0].site
                self.obstacles.append(
                    f"{site}: changes the sum {head.site} by constants, which no weights take in (pre-activation block)"
                )
            ready = self._layer("sum", head, model.Add, *head.operands).head
        else:
            if flow.pool is not None and any((gain_and_offset(each)[0] <= 0).any() for each in linear):
                self.obstacles.append(
                    f"{flow.pool.site}: the normalisation behind it has negative factors; move the pool behind the "
                    "activation"
                )
            ready = self._weighted(head, linear, gain, offset)
        assert isinstance(ready, Ready)
        return ready if isinstance(function, Straight) else self._activated(ready, function, rest)

    def _settle_ready(self, head: Ready, chain: tuple[Elementwise, ...]) -> Ready:
        """What follows a layer that is there: quantisers, which are left out, and activations of activations."""
        if head.kind == "image":
            chain = self._preprocessed(chain)
        rest, gone = without_quantisers(chain)
        for each in gone:
            assert isinstance(each, Quantize)
            if not _changes_nothing(each, head):
                self.left_out.append(shown(each.site.label))
        # What is not negative has been through its ReLU already.
        if head.kind != "image":
            rest = [each for each in rest if not (isinstance(each, Clip) and each.low <= 0 and each.high == np.inf)]
        if not rest:
            return head
        affine = next((each for each in rest if isinstance(each, Affine | BatchNorm)), None)
        function, _ = understand(rest)
        if isinstance(function, Straight) or isinstance(rest[0], BatchNorm):
            self.obstacles.append(
                f"{(affine or rest[0]).site}: changes activations by constants before the next layer (pre-activation "
                "block); put it before the activation"
            )
            return head
        if isinstance(function, Rectifier) and (function.gain, function.offset) != (1.0, 0.0):
            self.obstacles.append(f"{rest[0].site}: changes activations by constants before the next activation")
        return self._activated(head, function, rest)

    def _preprocessed(self, chain: tuple[Elementwise, ...]) -> tuple[Elementwise, ...]:
        """Take the affine maps of the image out of the chain: they become mean and std."""
        n = next((i for i, each in enumerate(chain) if not isinstance(each, Affine | BatchNorm)), len(chain))
        affine = [each for each in chain[:n] if isinstance(each, Affine | BatchNorm)]
        found = input_map(affine) if affine else None
        if affine and found is None:
            self.obstacles.append(f"{affine[0].site}: the image is multiplied by what is not positive")
        if self.input_maps and self.input_maps[0] != found:
            self.obstacles.append("the image is preprocessed in more than one way")
        self.input_maps.append(found)
        return chain[n:]

    def _foldable(self, head: Waiting | Sum, chain: Sequence[Elementwise]) -> list[Affine | BatchNorm]:
        """What of the first part of a chain is linear; quantisers in it are left out."""
        rest, gone = without_quantisers(chain)
        self.left_out += [shown(each.site.label) for each in gone]
        for each in rest:
            if not isinstance(each, Affine | BatchNorm):
                self.obstacles.append(
                    f"{each.site}: an activation of {head.site} before its normalisation; normalise before it"
                )
        return [each for each in rest if isinstance(each, Affine | BatchNorm)]

    def _activated(self, source: Ready, function: Function, chain: Sequence[Elementwise]) -> Ready:
        """The neurons that replace an activation."""
        site = chain[0].site
        choice = replace(self.choice, L=None, shift=0.5, clipped=False)
        lambda_, step, L = 1.0, None, 0
        match function:
            case Staircase():
                lambda_, L = function.lambda_, function.L
                choice, step = replace(choice, L=L, shift=function.shift), lambda_ / L
            case Rectifier(bound=bound):
                if np.isfinite(bound):
                    choice, lambda_ = replace(choice, clipped=True), bound
                else:
                    self.relu.append(site.label)
            case Neither():
                self.obstacles.append(f"{site}: an activation without neurons: {function.why}")
            case Straight():
                raise AssertionError("a linear map is no activation")
            case _:
                assert_never(function)
        try:
            neuron = choice.neuron(lambda_)
        except NetworkError as error:
            error.add_note(f"{self.where}: {site}")
            raise
        name = self._name(site, "act")
        self._append(model.Spiking(name=name, inputs=(source.layer,), neuron=neuron), site)
        return Ready(kind="spikes", layer=name, site=site, step=step, L=L)

    # -- layers --------------------------------------------------------------------------------------------

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
        if len(self.layers) >= 4096:
            raise FormatError(f"{self.where}: {site}: more than 4096 layers")
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

    # -- obstacles and the end -----------------------------------------------------------------------------

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

    def _stand_in(self, site: Site) -> Ready:
        """What to go on with behind an obstacle."""
        return Ready(kind="spikes", layer=INPUT, site=site)

    def _finish(self, flow: Flow) -> None:
        """The readout: the last linear map, or the identity behind a last activation."""
        head = flow.head
        folded, rest = _last_part(flow.chain)
        function, _ = understand(rest)
        if isinstance(head, Waiting) and isinstance(function, Straight) and flow.pool is None:
            _, left_out = understand(rest)
            self.left_out += [shown(each.site.label) for each in left_out]
            whole = isinstance(head.node, Linear) or _over_the_whole_plane(head.node, flow.shape)
            if not whole:
                self.obstacles.append(
                    f"the output {head.site} is a plane {flow.shape}; expected a value for each class"
                )
                return
            self._weighted(head, self._foldable(head, folded), function.gain, function.offset, last=True)
            return
        ready = self._settle(flow)
        if ready.kind in ("current", "sum"):
            self.obstacles.append(f"the output {ready.site} is no linear layer; end with one")
            return
        n = prod(_settled_shape(flow))
        if n > 4096:
            self.obstacles.append(f"the output {ready.site} has {n} values, and no linear layer makes classes of them")
            return
        self.notes.append(f"{ready.site} is the output: an identity reads it out")
        name = self._name(Site(name="readout", kind=""), "linear")
        weight, bias = np.eye(n, dtype=np.int8), np.zeros(n)
        self._append(model.Linear(name=name, inputs=(ready.layer,), weight=weight, bias=bias), ready.site)


def _last_part(chain: tuple[Elementwise, ...]) -> tuple[tuple[Elementwise, ...], tuple[Elementwise, ...]]:
    """What has values for each channel and belongs to weights, and behind it what may be an activation."""
    cut = 0
    for i, node in enumerate(chain):
        if isinstance(node, BatchNorm) or (isinstance(node, Affine) and node.value.size > 1):
            cut = i + 1
    return chain[:cut], chain[cut:]


def _settled_shape(flow: Flow) -> Shape:
    if flow.flatten is not None:
        return flow.flatten.shape[1:]
    if flow.pool is not None:
        return flow.pool.shape[1:]
    return flow.head.views[-1].shape[1:] if isinstance(flow.head, View) else flow.shape


def _before(node: Slice | Pad, flow: Flow) -> Shape:
    """The shape that a slice or pad reads."""
    return _settled_shape(flow)


def _pads_only(head: View) -> bool:
    return all(isinstance(view, Pad) and view.channels == (0, 0) for view in head.views)


def _over_the_whole_plane(node: Conv, shape: Shape) -> bool:
    """Whether a convolution is a matrix product: one position, every tap on one cell of the input."""
    return prod(shape[1:]) == 1 and node.groups == 1 and not any(node.pads)


def _changes_nothing(node: Quantize, source: Ready) -> bool:
    """Whether what is quantised consists of the same steps already."""
    if source.step is None or abs(source.step - node.step) > 1e-6 * node.step:
        return False
    return node.low - node.zero <= 0 and node.high - node.zero >= source.L
