"""Modes `float64` and `float32`: a population, or the readout, in the numbers of the specification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refsim.engine.kernels.layout import Layout
from refsim.engine.kernels.neuron import Neurons
from refsim.engine.tables import CHW, by_position, by_tile
from refsim.model import Neuron


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatNumbers:
    """A population in floats of the given type; the weights are those of its projections."""

    dtype: np.dtype[Any]
    neurons: Neurons


@dataclass(frozen=True, kw_only=True)
class FloatCurrents:
    """The readout in floats of the given type: it has currents, and no neurons."""

    dtype: np.dtype[Any]


def float_numbers(neuron: Neuron, shape: CHW, layout: Layout, dtype: np.dtype[Any]) -> FloatNumbers:
    """The parameters of a population in a float type."""
    theta, theta_neg, v0 = (
        by_position(value, shape, dtype) for value in (neuron.theta, neuron.negative_threshold, neuron.v0)
    )
    neurons = Neurons(
        theta=by_tile(theta, layout, np.inf),
        per_theta=by_tile((1 / theta).astype(dtype), layout, 1),
        theta_neg=by_tile(theta_neg, layout, -np.inf),
        v0=by_tile(v0, layout, 0),
        leak=dtype.type(neuron.leak),
        dual=neuron.dual,
        gross=neuron.gate == "gross",
        zero=neuron.reset == "zero",
        strict=neuron.strict,
    )
    return FloatNumbers(dtype=dtype, neurons=neurons)
