"""The neuron of the SNN and the activation of the ANN that it replaces."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import NetworkError

Array = NDArray[Any]
Floats = NDArray[np.float64]

DUAL_THETA_NEG = -1e-3
"""Negative threshold of ECL's dual-threshold neuron, in units of the membrane potential (semantics 2.4c)."""


NeuronKind = Literal["file", "if", "dual", "signed"]
"""Neurons as a weight file has them, IF, dual-threshold (ECL), or dual with theta_neg = -theta (SNM)."""

NEURON_KINDS: tuple[NeuronKind, ...] = ("file", "if", "dual", "signed")


ActivationKind = Literal["qcfs", "clipped", "relu", "unknown"]
"""QCFS; clipped ReLU, clip(z, 0, lambda); ReLU; QCFS of which nobody said L."""


@dataclass(frozen=True, kw_only=True)
class Activation:
    """What the source ANN computed where the SNN has a neuron.

    `L` >= 1: QCFS (QCFS Eq. 15; with `delta` > 0 trained as NQ Eq. 13). `L` = 0: the number of quantization
    steps is not known. `L` = None: no steps; plain ReLU, or if `clipped`, ReLU with the bound lambda (ReLU6).
    """

    lambda_: float | tuple[float, ...]
    L: int | None
    shift: float = 0.5
    delta: float = 0.0
    clipped: bool = False

    def __post_init__(self) -> None:
        bound = self.bound
        if not (bound.size and np.isfinite(bound).all() and (bound > 0).all()):
            raise NetworkError(f"activation: lambda must be positive and finite, got {_worst(bound)}")
        if self.L is not None and self.L < 0:
            raise NetworkError(f"activation: L must be at least 1 (0: unknown), got {self.L}")
        if not 0 <= self.shift < 1:
            raise NetworkError(f"activation: shift must lie in [0, 1), got {self.shift}")
        if not (np.isfinite(self.delta) and self.delta >= 0):
            raise NetworkError(f"activation: delta must be finite and not negative, got {self.delta}")
        if self.clipped and self.L is not None:
            raise NetworkError(f"activation: a clipped ReLU has no steps, L must be None, got {self.L}")

    @property
    def kind(self) -> ActivationKind:
        """What it computes."""
        if self.L is None:
            return "clipped" if self.clipped else "relu"
        return "qcfs" if self.L else "unknown"

    @property
    def trained(self) -> bool:
        """Whether lambda is a bound that the ANN was trained with, and so a threshold without calibration."""
        return self.kind != "relu"

    @property
    def bound(self) -> Floats:
        """lambda as an array: () or (C,)."""
        return np.asarray(self.lambda_, np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Neuron:
    """Integrate-and-fire neuron with one or two thresholds (QCFS Eq. 2-4, ECL Eq. 4-5; semantics 2).

    Parameters
    ----------
    theta, v0
        Firing threshold and initial potential, in the unit of the ANN's activations: scalar, (C,) or (C, H, W).
    theta_neg
        Negative threshold; -inf makes a plain IF neuron. With `theta_neg_mode` "relative" it is a multiple
        of theta.
    gate
        A negative spike needs a positive "net" count, or a positive "gross" count, of earlier spikes.
    reset
        "subtract" theta after a spike (soft reset), or set v to "zero".
    leak
        Factor on v before the current is added: 1 is IF, less is LIF (ECL Eq. 9-10).
    strict
        Whether a potential has to exceed theta; if not, reaching it is enough.

    Raises
    ------
    NetworkError
        theta not positive and finite; theta_neg outside [-theta, 0); v0 not finite; leak outside [0, 1].
    """

    theta: Floats
    v0: Floats
    theta_neg: Floats = field(default_factory=lambda: np.array(-np.inf))
    theta_neg_mode: Literal["absolute", "relative"] = "absolute"
    gate: Literal["net", "gross"] = "net"
    reset: Literal["subtract", "zero"] = "subtract"
    leak: float = 1.0
    strict: bool = False
    activation: Activation | None = None

    def __post_init__(self) -> None:
        for key in ("theta", "v0", "theta_neg"):
            object.__setattr__(self, key, np.asarray(getattr(self, key), dtype=np.float64))
        for key, allowed in (
            ("gate", ("net", "gross")),
            ("reset", ("subtract", "zero")),
            ("theta_neg_mode", ("absolute", "relative")),
        ):
            if getattr(self, key) not in allowed:
                raise NetworkError(f"neuron: {key} must be {' or '.join(allowed)}, got {getattr(self, key)!r}")
        if not (np.isfinite(self.theta).all() and (self.theta > 0).all()):
            raise NetworkError(f"neuron: theta must be positive and finite, got {_worst(self.theta)}")
        if not np.isfinite(self.v0).all():
            raise NetworkError(f"neuron: v0 must be finite, got {_worst(self.v0)}")
        if not 0 <= self.leak <= 1:
            raise NetworkError(f"neuron: leak must lie in [0, 1], got {self.leak}")
        self._check_theta_neg()

    def _check_theta_neg(self) -> None:
        if np.isneginf(self.theta_neg).all():
            return
        ndim = max(self.theta.ndim, self.theta_neg.ndim)
        try:
            np.broadcast_shapes(_align(self.theta, ndim).shape, _align(self.theta_neg, ndim).shape)
        except ValueError:
            shapes = f"{self.theta_neg.shape} and {self.theta.shape}"
            raise NetworkError(f"neuron: theta_neg and theta have shapes that do not fit, {shapes}") from None
        theta, theta_neg = _align(self.theta, ndim), _align(self.negative_threshold, ndim)
        # theta_neg = 0 would fire +1, -1, +1, ... for ever at v = 0 without any input.
        if not ((theta_neg < 0) & (theta_neg >= -theta)).all():
            raise NetworkError(
                f"neuron: theta_neg must lie in [-theta, 0), got {_worst(theta_neg)} "
                f"({self.theta_neg_mode}) at theta {_worst(self.theta)}"
            )

    @property
    def dual(self) -> bool:
        """Whether the neuron can fire negative spikes."""
        return not bool(np.isneginf(self.theta_neg).all())

    @property
    def negative_threshold(self) -> Floats:
        """theta_neg in units of the membrane potential, whatever `theta_neg_mode`."""
        if self.theta_neg_mode == "absolute" or np.isneginf(self.theta_neg).all():
            return self.theta_neg
        ndim = max(self.theta_neg.ndim, self.theta.ndim)
        return np.asarray(_align(self.theta_neg, ndim) * _align(self.theta, ndim))

    def as_if(self) -> Neuron:
        """This neuron without its negative threshold."""
        return replace(self, theta_neg=np.array(-np.inf), theta_neg_mode="absolute")

    def of_kind(self, kind: Literal["if", "dual", "signed"]) -> Neuron:
        """This neuron as one of this kind (`Network.with_kind`)."""
        match kind:
            case "if":
                return self.as_if()
            case "dual":
                return self.as_dual()
            case "signed":
                return replace(self, theta_neg=np.array(-1.0), theta_neg_mode="relative")
            case _:
                assert_never(kind)

    def as_dual(self) -> Neuron:
        """This neuron with ECL's negative threshold, unless it has one of its own."""
        if self.dual:
            return self
        return replace(self, theta_neg=np.array(DUAL_THETA_NEG), theta_neg_mode="absolute")


def _align(value: Floats, ndim: int) -> Floats:
    """Append axes, so that (C,) broadcasts over (C, H, W)."""
    return value.reshape(value.shape + (1,) * (ndim - value.ndim)) if 0 < value.ndim < ndim else value


def _worst(value: Floats) -> float:
    """The value to show when a whole array is out of range: one that is not finite, else the extreme."""
    bad = value[~np.isfinite(value)]
    if bad.size:
        return float(bad.flat[0])
    return float(value.flat[np.argmin(np.abs(value))] if value.size else np.nan)
