"""More current at every step, as a change of biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from refsim.engine.wiring import wires_of
from refsim.exceptions import NetworkError
from refsim.model import Network


def with_bias(network: Network, change: Mapping[str, NDArray[np.float64]]) -> Network:
    """The network with more current at every step: change[spiking layer] is a scalar or (C,).

    It goes into the bias of the first layer with weights that drives the population.

    Raises
    ------
    NetworkError
        No weights drive it, so there is no bias.
    """
    new = {}
    for layer in network.spiking:
        if layer.name not in change:
            continue
        weighted = [wire.layer for wire in wires_of(network, layer, fold=False)[1] if wire.layer]
        if not weighted:
            raise NetworkError(f"layer '{layer.name}': no weights drive it, so there is no bias to change")
        new[weighted[0].name] = replace(weighted[0], bias=weighted[0].bias + change[layer.name])
    return replace(network, layers=tuple(new.get(layer.name, layer) for layer in network.layers))
