"""What the source ANN computes where the SNN has a neuron. Written for any number type, Fraction included."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def relu(z: Array) -> Array:
    """Rectifier, a = max(z, 0) (QCFS Eq. 1)."""
    return np.maximum(z, 0)


def clipped_relu(z: Array, lambda_: Any) -> Array:
    """Rectifier with a bound, a = clip(z, 0, lambda) (ReLU6, TCL)."""
    return np.asarray(np.clip(z, 0, lambda_))


def clip_floor(z: Array, lambda_: Any, L: int) -> Array:
    """Quantization clip-floor activation (QCF; QCFS Eq. 13): `qcfs` without the shift."""
    return qcfs(z, lambda_, L, shift=0)


def qcfs(z: Array, lambda_: Any, L: int, shift: Any = 0.5) -> Array:
    """Quantization clip-floor-shift activation (QCFS Eq. 15): a = lambda clip(floor(z L / lambda + shift) / L, 0, 1).

    The order of operations is that of the public QCFS code and is normative (semantics 3.1).

    Parameters
    ----------
    z : (B, *shape), weighted input, in units of the membrane potential
    L
        Quantization steps, >= 1.
    """
    level = np.clip(z / lambda_, 0, 1) * L + shift
    level = level - level % 1  # floor, of numbers >= 0, without leaving the number type
    return np.asarray(level / L * lambda_)


def nq(z: Array, lambda_: Any, L: int, noise: Array, shift: Any = 0.5) -> Array:
    """Noisy quantization (NQ Eq. 13), as in training: QCFS plus noise = delta G. At inference noise is 0."""
    return qcfs(z, lambda_, L, shift) + noise
