"""The exact split of a layer's conversion error, neuron by neuron (semantics 4; QCFS Sec. 3.3, Eq. 9-12).

Everything is computed from what one neuron received and did in T steps: S = sum of u(t), the net spike count N,
and v(T). With zbar = S / T and phi = theta N / T (QCFS Eq. 5-8), conservation gives v(T) = v(0) + S - theta N, hence

    level = clip(N + floor(v(T) / theta), 0, T) = clip(floor((S + v(0)) / theta), 0, T)

spikes is what an evenly timed input of the same sum would have caused (QCFS Eq. 11, NQ Eq. 7), and

    clipping      = clip(zbar, 0, theta) - ReLU(zbar)            <= 0, nonzero only for zbar > theta
    quantization  = theta level / T - clip(zbar, 0, theta)
    unevenness    = theta k / T,  k = N - level                  NQ Eq. 8; k > 0: too many spikes, k < 0: too few

add up to phi - ReLU(zbar) (QCFS Eq. 9). They are *local*: they take the layer's own input as given. Against the
ANN's activation a = h(z), with h = ReLU, or the ANN's QCFS_L or clip(z, 0, lambda),

    phi - h(z) = [phi - h(zbar)] + [h(zbar) - h(z)] = local + propagated

where the second part is what the layers before have done to this layer's input. Where it reads through max pools in
mode "or", which add an error of their own, that part is two:

    h(zbar) - h(z) = [h(zbar) - h(zbar*)] + [h(zbar*) - h(z)] = pool + propagated

with zbar* the mean input current that it would have had if they had followed the maximum, given the same spikes before
them: W (theta max N(T) / T) + b behind one such pool. All functions take any number type; on float64 the identities
hold up to rounding, on `Fraction` and on dyadic numbers exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import UsageError
from refsim.model import Activation, Neuron
from refsim.reference.activations import clipped_relu, qcfs, relu

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalErrors:
    """The split of a layer's error against the ReLU of its own mean input.

    All arrays are (B, *shape); errors are in units of the membrane potential.

    zbar
        Mean input current, S / T.
    phi
        Average postsynaptic potential, theta N / T (QCFS Eq. 5).
    level
        Spikes that an evenly timed input would have caused, 0..T (int64).
    k
        N - level (int64).
    clipping, quantization, unevenness
        As in the module's text; they add up to phi - ReLU(zbar).
    """

    zbar: Array
    phi: Array
    level: NDArray[np.int64]
    k: NDArray[np.int64]
    clipping: Array
    quantization: Array
    unevenness: Array

    @property
    def local(self) -> Array:
        """phi - ReLU(zbar) (QCFS Eq. 9)."""
        return self.phi - relu(self.zbar)


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnErrors:
    """A layer's error against the ANN's activation: phi - h(z) = local + propagated.

    All arrays are (B, *shape), in units of the membrane potential.

    quantization
        theta level / T - h(zbar): with h = QCFS_L the error of quantizing in T steps what the ANN quantizes in L
        (0 for T = L, theta = lambda and v(0) = shift * theta, off ties: QCFS Theorem 1); with h = ReLU the sum of
        clipping and quantization.
    unevenness
        As in `LocalErrors`.
    pool
        h(zbar) - h(zbar*), caused by max pools in mode "or".
    propagated
        h(zbar*) - h(z), caused by earlier layers.
    total
        phi - h(z); for h = QCFS_L this is NQ's residual g' (NQ Eq. 9).
    """

    quantization: Array
    unevenness: Array
    pool: Array
    propagated: Array
    total: Array


def check_splittable(name: str, neuron: Neuron) -> None:
    """Refuse neurons without conservation of potential, v(T) = v(0) + S - theta N.

    Raises
    ------
    UsageError
        The neuron resets to zero or leaks: potential is lost, and N + floor(v(T) / theta) has no meaning.
    """
    lost = "resets to zero" if neuron.reset == "zero" else "leaks" if neuron.leak != 1 else ""
    if lost:
        raise UsageError(
            f"layer '{name}': its neuron {lost}, so potential is not conserved (QCFS Eq. 8) and the error cannot "
            f"be split; only neurons that reset by subtraction without leak can"
        )


def split(S: Array, N: NDArray[np.int64], v: Array, theta: Array, T: int) -> LocalErrors:
    """Split the error of neurons against the ReLU of their own mean input (QCFS Eq. 9, 11; NQ Eq. 7, 8).

    Parameters
    ----------
    S : (B, *shape), input current summed over the T steps
    N : (B, *shape) integers, net spike count (positive minus negative), of IF and dual-threshold neurons alike
    v : (B, *shape), potential after step T
    theta : broadcast over (B, *shape), see `over_neurons`
    """
    # Never floor((S + v0) / theta): where potentials meet thresholds it contradicts the simulated count in a
    # third of the cases, even for a constant current, because S and v were rounded differently.
    level = np.clip(N + _floor_of_quotient(v, theta), 0, T).astype(np.int64)
    zbar = S / T
    clipped = np.minimum(np.maximum(zbar, 0), theta)
    k = N - level
    return LocalErrors(
        zbar=zbar,
        phi=theta * N / T,
        level=level,
        k=k.astype(np.int64),
        clipping=clipped - relu(zbar),
        quantization=theta * level / T - clipped,
        unevenness=theta * k / T,
    )


def _floor_of_quotient(v: Array, theta: Array) -> Array:
    """floor(v / theta) of the exact quotient: `np.floor_divide`, which takes forty times as long on floats."""
    if v.dtype == object:
        return np.asarray(np.floor_divide(v, theta))
    quotient = v / theta
    floor = np.floor(quotient)
    # Rounding to nearest is monotone and keeps integers: only a quotient rounded to an integer can have passed it.
    unsure = np.nonzero(floor == quotient)
    floor[unsure] = np.floor_divide(v[unsure], np.broadcast_to(theta, v.shape)[unsure])
    return np.asarray(floor)


def against(
    errors: LocalErrors, z: Array, theta: Array, T: int, activation: Activation, followed: Array | None = None
) -> AnnErrors:
    """Compare a layer with the ANN's activation at its weighted input z (B, *shape).

    The numbers take the type of z and theta.

    Parameters
    ----------
    followed : (B, *shape), zbar*; None: it is zbar

    Raises
    ------
    UsageError
        L is 0, that is, unknown.
    """
    if activation.kind == "unknown":
        raise UsageError("the file does not say L, the ANN's quantization steps; convert again with --L")
    expected, actual = (_activate(each, activation) for each in (z, errors.zbar))
    before = actual if followed is None else _activate(followed, activation)
    return AnnErrors(
        quantization=theta * errors.level / T - actual,
        unevenness=errors.unevenness,
        pool=actual - before,
        propagated=before - expected,
        total=errors.phi - expected,
    )


def _activate(z: Array, activation: Activation) -> Array:
    """What the ANN makes of z; on floats the operations of `reference.activations.qcfs` in their order."""
    lambda_ = over_neurons(activation.bound, z.shape[1:])
    if z.dtype == object:
        # lambda and shift are float64, and a float would turn every Fraction it meets into a float.
        lambda_ = np.vectorize(Fraction, otypes=[object])(lambda_)
    if activation.L is None:
        return clipped_relu(z, lambda_) if activation.clipped else relu(z)
    if z.dtype == object:
        return qcfs(z, lambda_, activation.L, Fraction(activation.shift))
    level = np.clip(z / lambda_, 0, 1)
    level *= activation.L
    level += activation.shift
    np.floor(level, out=level)
    level /= activation.L
    level *= lambda_
    return level


def over_neurons(value: Array, shape: tuple[int, ...]) -> Array:
    """A neuron's parameter, scalar, (C,) or (*shape), ready to broadcast over (B, *shape)."""
    value = np.asarray(value)
    return value.reshape(value.shape + (1,) * (len(shape) - value.ndim)) if value.ndim else value
