"""The same dense network with the neurons of other frameworks, where they are installed: IF, one theta for a layer.

Weights, layers, number type and the order of work are those of `torch_snn`; only the neurons are the framework's own,
in its recommended form for many steps. snnTorch fires above theta and not at it, so that a few spikes differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from refsim.model import Spiking

PEERS = ("SpikingJelly", "sinabs", "snnTorch")


class _Peer(nn.Module):
    """Neurons of one layer; x : (T * B, ...), or (B, ...) where it is the same at every step; gives spikes * theta."""

    def __init__(self, layer: Spiking, T: int, constant: bool, dtype: torch.dtype) -> None:
        super().__init__()
        neuron = layer.neuron
        if neuron.dual or neuron.theta.ndim or neuron.v0.ndim:
            raise ValueError(f"layer '{layer.name}': only IF neurons that share theta and v0 are compared")
        self.T, self.constant = T, constant
        self.theta, self.v0 = float(neuron.theta), float(neuron.v0)
        self.build()

    def build(self) -> None:
        """Make the framework's neuron."""
        raise NotImplementedError

    def spikes(self, steps: torch.Tensor) -> torch.Tensor:
        """Spikes (T, B, ...) for currents (T, B, ...)."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = x.expand(self.T, *x.shape) if self.constant else x.reshape(self.T, -1, *x.shape[1:])
        return (self.spikes(steps) * self.theta).flatten(0, 1)


class SpikingJelly(_Peer):
    """`IFNode`, all steps in one call."""

    def build(self) -> None:
        from spikingjelly.activation_based import neuron

        self.node = neuron.IFNode(v_threshold=self.theta, v_reset=None, step_mode="m")

    def spikes(self, steps: torch.Tensor) -> torch.Tensor:
        self.node.reset()
        self.node.v = torch.full_like(steps[0], self.v0)
        return self.node(steps)


class Sinabs(_Peer):
    """`IAF` with at most one spike a step."""

    def build(self) -> None:
        from sinabs.activation import MembraneSubtract, SingleSpike
        from sinabs.layers import IAF

        self.node = IAF(spike_threshold=self.theta, spike_fn=SingleSpike, reset_fn=MembraneSubtract())

    def spikes(self, steps: torch.Tensor) -> torch.Tensor:
        by_image = steps.transpose(0, 1)
        self.node.init_state_with_shape((steps.shape[1], *steps.shape[2:]))
        self.node.v_mem = torch.full_like(steps[0], self.v0)
        return self.node(by_image).transpose(0, 1)


class SnnTorch(_Peer):
    """`Leaky` without a leak, step by step."""

    def build(self) -> None:
        import snntorch

        self.node = snntorch.Leaky(beta=1.0, threshold=self.theta, reset_mechanism="subtract", reset_delay=False)

    def spikes(self, steps: torch.Tensor) -> torch.Tensor:
        v = torch.full_like(steps[0], self.v0)
        out = []
        for u in steps:
            s, v = self.node(u, v)
            out.append(s)
        return torch.stack(out)


def installed() -> Iterator[tuple[str, Any]]:
    """Name and class of each framework that can be imported; the others are named on stderr."""
    for name, kind in zip(PEERS, (SpikingJelly, Sinabs, SnnTorch)):
        try:
            __import__(name.lower())
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
        else:
            yield name, kind
