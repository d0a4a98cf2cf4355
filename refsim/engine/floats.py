"""Modes `float64` and `float32`: a population, or the readout, in the numbers of the specification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.engine.kernels.layout import Layout
from refsim.engine.kernels.neuron import Neurons
from refsim.engine.tables import CHW, by_position, by_tile
from refsim.exceptions import UsageError
from refsim.model import Spiking

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatNumbers:
    """A population in floats of the given type; the weights are those of its projections."""

    dtype: np.dtype[Any]
    neurons: Neurons


@dataclass(frozen=True, kw_only=True)
class FloatCurrents:
    """The readout in floats of the given type: it has currents, and no neurons."""

    dtype: np.dtype[Any]


def float_numbers(layer: Spiking, shape: CHW, layout: Layout, dtype: np.dtype[Any]) -> FloatNumbers:
    """The parameters of a population in a float type.

    Raises
    ------
    UsageError
        A threshold that this type can only hold as 0 or inf.
    """
    neuron = layer.neuron
    thresholds = {"theta": neuron.theta} | ({"theta_neg": neuron.negative_threshold} if neuron.dual else {})
    for key, value in thresholds.items():
        wanted, held = by_position(value, shape, np.dtype(np.float64)), _held(value, shape, dtype)
        lost = (held == 0) | ~np.isfinite(held)
        if lost.any():
            raise UsageError(
                f"layer '{layer.name}': {key} {wanted[lost][0]:g} is {held[lost][0]:g} in {dtype}; "
                "use --dtype exact or float64"
            )
    theta = _held(neuron.theta, shape, dtype)
    with np.errstate(over="ignore"):
        # The inverse of a subnormal theta overflows; with the largest number instead, margins are lower bounds.
        per_theta = np.minimum(1 / theta, np.finfo(dtype).max)
    neurons = Neurons(
        theta=by_tile(theta, layout, np.inf),
        per_theta=by_tile(per_theta, layout, 1),
        theta_neg=by_tile(_held(neuron.negative_threshold, shape, dtype), layout, -np.inf),
        v0=by_tile(by_position(neuron.v0, shape, dtype), layout, 0),
        leak=dtype.type(neuron.leak),
        dual=neuron.dual,
        gross=neuron.gate == "gross",
        zero=neuron.reset == "zero",
        strict=neuron.strict,
    )
    return FloatNumbers(dtype=dtype, neurons=neurons)


def _held(threshold: Array, shape: CHW, dtype: np.dtype[Any]) -> Array:
    """A threshold, by position, as the type holds it: what is too large is inf, without a warning."""
    with np.errstate(over="ignore"):
        return by_position(threshold, shape, dtype)
