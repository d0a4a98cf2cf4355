"""Fully connected spiking networks in plain NumPy, time step by time step, written from the papers' definitions."""

from __future__ import annotations

import numpy as np

from refsim.model import Linear, Network

Array = np.ndarray


def weights_of(network: Network) -> list[tuple[Array, Array]]:
    return [(each.weight, each.bias) for each in network.layers if isinstance(each, Linear)]


def ann(network: Network, rows: Array) -> list[Array]:
    """ReLU activations (n, N) of each hidden layer."""
    a, found = rows, []
    for W, b in weights_of(network)[:-1]:
        a = np.maximum(a @ W.T + b, 0)
        found.append(a)
    return found


class Layers:
    """IF neurons of all hidden layers for one image; v, theta: one array or number for each layer."""

    def __init__(self, network: Network, theta: list, v0: list) -> None:
        self.weights, self.theta = weights_of(network), theta
        self.v = [np.zeros(len(b)) + start for (_, b), start in zip(self.weights, v0)]

    def step(self, x: Array, masks: list | None = None, reset_to_zero: bool = False) -> tuple[list[Array], Array]:
        """One time step: what every layer sent, and the readout's current."""
        sent = []
        for i, (W, b) in enumerate(self.weights[:-1]):
            m = self.v[i] + W @ x + b
            s = (m >= self.theta[i]).astype(float)
            self.v[i] = np.where(s > 0, 0, m) if reset_to_zero else m - s * self.theta[i]
            if masks is not None:
                s = s * masks[i]
            sent.append(s)
            x = s * self.theta[i]
        W, b = self.weights[-1]
        return sent, W @ x + b


def sops(network: Network, sent: list[Array], readout: bool = True) -> int:
    """Every spike reaches every neuron of the next layer."""
    fan_outs = [len(b) for _, b in weights_of(network)[1:]]
    if not readout:
        fan_outs[-1] = 0
    return int(sum(s.sum() * n for s, n in zip(sent, fan_outs)))
