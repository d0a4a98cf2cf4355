"""From an operator graph to the layers of a network.

The nodes are taken in order. What a value is, is a `Flow`: a head, which is a layer that is there, or a linear map, a
sum, or slices and pads that wait for what follows them; and the chain of elementwise operations behind it. Whoever
reads a flow as spikes settles it: the chain becomes a part of the weights and an activation, and the layers are made.
What stands in the way is gathered, and said at once at the end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from refsim.formats.untrusted.unpickler import shown
from refsim.importers.operators import (
    Add,
    AnyNode,
    AvgPool,
    Conv,
    Flatten,
    Foreign,
    Graph,
    Linear,
    MaxPool,
    Pad,
    Site,
    Slice,
    Softmax,
)
from refsim.importers.parameters import NeuronChoice
from refsim.importers.recognise.activations import (
    Straight,
    understand,
)
from refsim.importers.recognise.flows import (
    Flow,
    Ready,
    Sum,
    View,
    Waiting,
    last_part,
    over_the_whole_plane,
    pads_only,
    settled_shape,
)
from refsim.importers.recognise.preprocessing import InputMap
from refsim.importers.recognise.settling import Settler
from refsim.model import INPUT, AnyLayer, MaxMode
from refsim.model import layers as model


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


class _Recogniser(Settler):
    """Takes the nodes in order."""

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
                return Flow(head=View(source=source, views=(node,), site=node.site), shape=settled_shape(flow))
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
        settled = Flow(head=ready, shape=settled_shape(flow))
        self.flows[value] = settled
        return settled

    def _linear(self, node: Conv | Linear, flow: Flow) -> Flow:
        """A linear map waits for what follows it; pads before it become its own."""
        shape = node.shape[1:]
        head = flow.head
        if isinstance(head, View) and isinstance(node, Conv) and not flow.chain and pads_only(head):
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
            function, _ = understand(last_part(flow.chain)[1])
            if isinstance(function, Straight):
                return replace(flow, pool=node)
        source = self._settle(flow)
        return Flow(head=self._pooled(node, source), shape=node.shape[1:])

    def _flatten(self, node: Flatten, flow: Flow) -> Flow:
        """A flatten of spikes; of a plane of one position it changes places with the activation."""
        if isinstance(flow.head, Waiting) and prod(flow.shape[1:]) == 1 and flow.pool is None:
            function, _ = understand(last_part(flow.chain)[1])
            if isinstance(function, Straight):
                return replace(flow, flatten=node)
        return Flow(head=self._flat(node, self._settle(flow)), shape=node.shape[1:])

    def _stand_in(self, site: Site) -> Ready:
        """What to go on with behind an obstacle."""
        return Ready(kind="spikes", layer=INPUT, site=site)

    def _finish(self, flow: Flow) -> None:
        """The readout: the last linear map, or the identity behind a last activation."""
        head = flow.head
        folded, rest = last_part(flow.chain)
        function, _ = understand(rest)
        if isinstance(head, Waiting) and isinstance(function, Straight) and flow.pool is None:
            _, left_out = understand(rest)
            self.left_out += [shown(each.site.label) for each in left_out]
            whole = isinstance(head.node, Linear) or over_the_whole_plane(head.node, flow.shape)
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
        n = prod(settled_shape(flow))
        if n > 4096:
            self.obstacles.append(f"the output {ready.site} has {n} values, and no linear layer makes classes of them")
            return
        self.notes.append(f"{ready.site} is the output: an identity reads it out")
        name = self._name(Site(name="readout", kind=""), "linear")
        weight, bias = np.eye(n, dtype=np.int8), np.zeros(n)
        self._append(model.Linear(name=name, inputs=(ready.layer,), weight=weight, bias=bias), ready.site)
