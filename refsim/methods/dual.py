"""ECL's negative threshold on top of another method: METHOD+dual."""

from __future__ import annotations

from dataclasses import dataclass, replace

from refsim.methods.base import Calibration, ConvertedNetwork, Method
from refsim.model import Network


@dataclass(frozen=True, kw_only=True)
class Dual(Method):
    """The other method's network with dual-threshold neurons (ECL Eq. 4-5): its effect alone, on equal terms."""

    inner: Method

    def check(self, network: Network) -> None:
        """The other method is for this network."""
        self.inner.check(network)

    @property
    def per_T(self) -> bool:
        """Whether the other method's parameters depend on T."""
        return self.inner.per_T

    @property
    def changes_bias(self) -> bool:
        """Whether the other method changes biases."""
        return self.inner.changes_bias

    @property
    def signed(self) -> bool:
        """Its neurons fire negative spikes."""
        return True

    def calibrate(self, network: Network, calibration: Calibration | None) -> ConvertedNetwork:
        """The other method's parameters, and theta_neg = -0.001 in every layer."""
        converted = replace(self.inner, T=self.T).calibrate(network, calibration)
        return replace(converted, network=converted.network.with_kind("dual"))
