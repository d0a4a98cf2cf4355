"""ANN to SNN: the source's parameters become weights, currents and thresholds; nothing is trained here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import NetworkError
from refsim.model import DUAL_THETA_NEG, Activation, Neuron

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class NeuronChoice:
    """What replaces every activation of the source ANN.

    Parameters
    ----------
    L
        Quantization steps of the source ANN (it is not in the official checkpoints); 0: unknown; None: the source
        has ReLU, and its thresholds come from calibration.
    shift
        Shift inside the floor of the source's activation, and v(0) / theta (QCFS Alg. 1, line 25).
    clipped
        With L = None: the ReLU has a trained bound lambda.
    kind
        "if", or "dual": with the negative threshold `theta_neg`, in units of the membrane potential (ECL Eq. 4-5).
    """

    L: int | None = 0
    shift: float = 0.5
    clipped: bool = False
    kind: Literal["if", "dual"] = "if"
    theta_neg: float = DUAL_THETA_NEG

    def neuron(self, lambda_: float | Array) -> Neuron:
        """The neuron for a clipping threshold lambda, () or (C,): theta = lambda, v(0) = shift * theta.

        Raises
        ------
        NetworkError
            lambda not positive and finite, or theta_neg outside [-theta, 0).
        """
        theta = np.asarray(lambda_, np.float64)
        bound = tuple(theta.tolist()) if theta.ndim else float(theta)
        return Neuron(
            theta=theta,
            v0=np.asarray(self.shift * theta),
            theta_neg=np.array(self.theta_neg if self.kind == "dual" else -np.inf),
            activation=Activation(lambda_=bound, L=self.L, shift=self.shift, clipped=self.clipped),
        )


def fold_batch_norm(
    bias: Array | None, gamma: Array, beta: Array, mean: Array, var: Array, eps: float
) -> tuple[Floats, Floats]:
    """Fold a batch normalisation in evaluation mode into the layer before it, in float64 (semantics 1.7).

    gamma (W x + bias - mean) / sqrt(var + eps) + beta = scale * (W x) + new bias, with
    scale = gamma / sqrt(var + eps) and new bias = (bias - mean) * scale + beta.

    Parameters
    ----------
    bias : (C,), the layer's own; None if it has none
    gamma, beta, mean, var : (C,), weight, bias, running mean and running variance of the normalisation
    eps
        Added to the variance; it is not in a checkpoint, PyTorch's default is 1e-5.

    Returns
    -------
    scale, bias : (C,) float64

    Raises
    ------
    NetworkError
        var + eps not positive and finite.
    """
    spread = np.asarray(var, np.float64) + eps
    if not (np.isfinite(spread).all() and (spread > 0).all()):
        raise NetworkError(f"batch normalisation: variance + eps must be positive and finite, got {spread.min()}")
    scale = np.asarray(gamma, np.float64) / np.sqrt(spread)
    start = np.zeros(scale.shape) if bias is None else np.asarray(bias, np.float64)
    return scale, (start - np.asarray(mean, np.float64)) * scale + np.asarray(beta, np.float64)


def as_int8(weight: Array) -> tuple[NDArray[np.int8], Floats] | None:
    """A weight that is int8 times one step for each output channel, exactly, taken apart; None if it is not.

    Networks trained or rounded to 8 bits come as float32 checkpoints; their weight files need not.

    Parameters
    ----------
    weight : (C_out, ...), floats; the largest of a channel is expected to be 127 steps

    Returns
    -------
    whole : int8, of the same shape
    step : (C_out,) float64; whole * step is `weight`, bit for bit
    """
    flat = np.asarray(weight, np.float64).reshape(len(weight), -1)
    step = np.abs(flat).max(axis=1) / 127
    step[step == 0] = 1
    whole = np.rint(flat / step[:, None])
    if not np.array_equal(whole * step[:, None], flat):
        return None
    return whole.astype(np.int8).reshape(weight.shape), step


def compact(weight: Array, scale: Floats | None) -> tuple[Array, Floats | None]:
    """The weight as int8, and its steps in the scale, if that is exact; see `as_int8`."""
    parts = as_int8(weight)
    if parts is None:
        return weight, scale
    whole, step = parts
    return whole, step if scale is None else step * scale
