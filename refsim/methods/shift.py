"""RTS (Deng & Gu 2021): half a level more in every neuron, spread over all T steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from refsim.methods.base import Calibration, ConvertedNetwork
from refsim.methods.bias import with_bias
from refsim.methods.fixed import Fixed
from refsim.model import Network


@dataclass(frozen=True, kw_only=True)
class Rts(Fixed):
    """theta as for any clipped activation, v0 = 0, and theta / (2 T) added to the bias.

    This is not the same as v0 = theta / 2: that half is there from the first step on (docs/methods.md).
    """

    @property
    def per_T(self) -> bool:
        """It does: theta / (2 T)."""
        return True

    @property
    def changes_bias(self) -> bool:
        """It does."""
        return True

    def calibrate(self, network: Network, calibration: Calibration | None) -> ConvertedNetwork:
        """theta, and the shifted biases for T steps."""
        T = self.steps()
        converted = super().calibrate(network, calibration)
        change = {each.name: np.asarray(each.neuron.theta / (2 * T)) for each in converted.network.spiking}
        return replace(converted, network=with_bias(converted.network, change), T=T)
