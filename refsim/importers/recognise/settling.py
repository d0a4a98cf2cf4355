"""Settling flows: chains of operations become parts of weights and activations, and the layers are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

import numpy as np

from refsim.exceptions import NetworkError
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.operators import (
    Affine,
    BatchNorm,
    Clip,
    Elementwise,
    Flatten,
    MaxPool,
    Quantize,
)
from refsim.importers.recognise.activations import (
    Function,
    Neither,
    Rectifier,
    Staircase,
    Straight,
    understand,
    without_quantisers,
)
from refsim.importers.recognise.flows import (
    Flow,
    Ready,
    Sum,
    View,
    Waiting,
    changes_nothing,
    last_part,
)
from refsim.importers.recognise.layers import LayerMaker
from refsim.importers.recognise.linear import gain_and_offset
from refsim.importers.recognise.preprocessing import input_map
from refsim.model import layers as model


class Settler(LayerMaker):
    """Makes the layers of a flow when somebody reads it."""

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
        folded, rest = last_part(flow.chain)
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
            if not changes_nothing(each, head):
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

    def _pooled(self, node: MaxPool, source: Ready) -> Ready:
        if source.kind not in ("spikes", "image"):
            self._unreadable(node.site, source)
        options = {"kernel": node.kernel, "stride": node.stride, "padding": node.padding, "dilation": node.dilation}
        made = self._layer("pooled", node, model.MaxPool2d, source, mode=self.max_pool, **options).head
        assert isinstance(made, Ready)
        return replace(made, step=source.step, L=source.L)

    def _flat(self, node: Flatten, source: Ready) -> Ready:
        if source.kind not in ("spikes", "pooled", "image"):
            self._unreadable(node.site, source)
        made = self._layer("flat", node, model.Flatten, source).head
        assert isinstance(made, Ready)
        return replace(made, step=source.step, L=source.L)
