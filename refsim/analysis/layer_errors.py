"""The error of one spiking layer over many images: sums and histograms, no image is kept (semantics 4)."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.residual import Residual, describe_residual
from refsim.analysis.split import LocalErrors, against, check_splittable, over_neurons, split
from refsim.analysis.statistics import Distribution, Moments
from refsim.engine.trace import PopulationTrace
from refsim.exceptions import UsageError
from refsim.model import Activation, Network, Spiking

Array = NDArray[Any]
Counts = NDArray[np.int64]

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
LOCAL = ("clipping", "quantization", "unevenness", "local")
AGAINST_ANN = ("quantization", "propagated", "total")

CHUNK = 2**15
"""Neurons looked at together: their intermediate arrays stay in cache."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One part of the error over all neurons and images, in units of theta.

    quantiles
        By probability; resolved to a bin of theta / 1024 or finer, exact where the part is a multiple of theta / T
        or theta / L.
    """

    mean: float
    rms: float
    quantiles: dict[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerErrors:
    """Where the error of one layer comes from; all errors in units of theta.

    against_relu
        `clipping`, `quantization`, `unevenness` and their sum `local` = phi - ReLU(zbar) (QCFS Eq. 9); with the
        ANN at hand also `propagated` = ReLU(zbar) - ReLU(z) and `total` = phi - ReLU(z). Behind max pools in mode "or"
        what they add stands apart, `pool` = ReLU(zbar) - ReLU(zbar*) (see `split`).
    against_qcfs
        The same against the ANN's activation QCFS_L, or clip(z, 0, lambda): `quantization` (and clipping) against it,
        `unevenness`, `propagated`, `total` = phi - a = g'. Empty for a ReLU source, or without the ANN.
    k
        How many neurons (times images) fired k spikes more than an evenly timed input asks for.
    n_silent, n_never, n_saturated, n_always
        Neurons (times images) without a positive spike, and neurons without one in any image; neurons (times
        images) with N = T, and neurons with N = T in every image.
    potential, n_below, n_above
        v(T) / theta, and how often it is < 0 or >= 1: where QCFS Eq. 11 does not hold.
    residual
        g' in units of the membrane potential; None without the ANN.
    channels
        By part of the error, means over positions and images, (C,) each; empty unless asked for.
    """

    name: str
    T: int
    n_images: int
    n_neurons: int
    against_relu: dict[str, Summary]
    against_qcfs: dict[str, Summary]
    k: dict[int, int]
    n_silent: int
    n_never: int
    n_saturated: int
    n_always: int
    potential: Summary
    n_below: int
    n_above: int
    residual: Residual | None
    channels: dict[str, Array]

    def fraction(self, low: int, high: int | None = None) -> float:
        """The part of neurons times images with low <= k <= high (default: k == low)."""
        high = low if high is None else high
        return sum(n for k, n in self.k.items() if low <= k <= high) / (self.n_images * self.n_neurons)


class ErrorAccumulator:
    """Adds up the error of one spiking layer, batch by batch.

    Every number it ends in is the same for any batch size; channel means also need batches in a fixed order.

    Parameters
    ----------
    per_channel
        Keep means per channel too.

    Raises
    ------
    UsageError
        The layer's neuron does not conserve potential.
    """

    def __init__(self, network: Network, layer: Spiking, T: int, per_channel: bool = False) -> None:
        check_splittable(layer.name, layer.neuron)
        self.layer, self.T = layer, T
        self.shape = network.shapes[layer.name]
        self.theta = np.broadcast_to(over_neurons(layer.neuron.theta, self.shape), self.shape)
        self.activation = layer.neuron.activation
        L = (self.activation.L if self.activation else None) or 1
        grid = lcm(T, L)
        # Bins on every multiple of theta / T and theta / L, unless that asks for too many of them.
        self._bins = grid * -(-1024 // grid) if grid <= 2**13 else 2**13
        self._parts: dict[tuple[str, str], Distribution] = {}
        self._potential = Distribution(self._bins)
        self._residual = Moments()
        self._k: Counts = np.zeros(3 * T + 1, dtype=np.int64)
        self._silent: Counts = np.zeros(self.shape, dtype=np.int64)
        self._saturated: Counts = np.zeros(self.shape, dtype=np.int64)
        self._outside: Counts = np.zeros(2, dtype=np.int64)
        self._per_channel = per_channel
        self._channel_sums: dict[str, Array] = {}
        self._channel_rows: dict[str, list[Array]] = {}
        self.n_images = 0

    def add(self, trace: PopulationTrace, z: Array | None = None) -> None:
        """Take in one batch.

        Parameters
        ----------
        trace
            With spikes, v and current recorded, and where there may be max pools in mode "or", followed.
        z : (B, *shape), the ANN's weighted input; None leaves out what needs it
        """
        assert trace.spikes is not None
        assert trace.v is not None
        assert trace.current is not None
        n_images = trace.spikes.shape[1]
        step = max(1, CHUNK // self.theta.size)
        for i in range(0, n_images, step):
            part = slice(i, i + step)
            followed = None if trace.followed is None else trace.followed[part]
            self._add(
                trace.spikes[:, part], trace.current[part], trace.v[part], None if z is None else z[part], followed
            )
        self.n_images += n_images

    def _add(self, spikes: Array, S: Array, v: Array, z: Array | None, followed: Array | None) -> None:
        N = spikes.sum(axis=0, dtype=np.int64)
        S, v = S.astype(np.float64, copy=False), v.astype(np.float64, copy=False)
        errors = split(S, N, v, self.theta, self.T)
        self._k += np.bincount(errors.k.ravel() + 2 * self.T, minlength=3 * self.T + 1)
        self._silent += (spikes.max(axis=0) <= 0).sum(axis=0)
        self._saturated += (N == self.T).sum(axis=0)
        self._potential.add((v / self.theta).reshape(len(v), -1))
        self._outside += (int((v < 0).sum()), int((v >= self.theta).sum()))
        for key in LOCAL:
            self._put("relu", key, getattr(errors, key))
        if z is not None:
            zbar = None if followed is None else followed.astype(np.float64, copy=False) / self.T
            self._add_ann(errors, z.astype(np.float64, copy=False), zbar)

    def _add_ann(self, errors: LocalErrors, z: Array, followed: Array | None) -> None:
        unclipped = Activation(
            lambda_=1.0, L=None
        )  # mutant: lambda is of no use to a ReLU, any positive number will do
        found = against(errors, z, self.theta, self.T, unclipped, followed)
        if followed is not None:
            self._put("relu", "pool", found.pool)
        self._put("relu", "propagated", found.propagated)
        self._put("relu", "total", found.total)
        if self.activation is not None and self.activation.trained:
            found = against(errors, z, self.theta, self.T, self.activation, followed)
            for key in AGAINST_ANN if followed is None else (*AGAINST_ANN, "pool"):
                self._put("qcfs", key, getattr(found, key))
        self._residual.add(found.total.reshape(len(z), -1))

    def _put(self, against_what: str, key: str, values: Array) -> None:
        values = values / self.theta
        rows = values.reshape(len(values), -1)
        self._part((against_what, key)).add(rows)
        if self._per_channel:
            by_channel = values.reshape(*values.shape[:2], -1).sum(axis=2)
            self._channel_rows.setdefault(f"{against_what}_{key}", []).append(by_channel)

    def _part(self, key: tuple[str, str]) -> Distribution:
        if key not in self._parts:
            self._parts[key] = Distribution(self._bins)
        return self._parts[key]

    def merge(self, other: ErrorAccumulator) -> None:
        """Take in what another accumulator of the same layer has seen."""
        for key, part in other._parts.items():
            self._part(key).merge(part)
        self._potential.merge(other._potential)
        self._residual.merge(other._residual)
        self._k += other._k
        self._silent += other._silent
        self._saturated += other._saturated
        self._outside += other._outside
        self.n_images += other.n_images
        self._fold_channels(self)
        self._fold_channels(other)

    def _fold_channels(self, source: ErrorAccumulator) -> None:
        """Add the rows of another's images one by one: sums of batches would depend on how they were cut."""
        for key, rows in source._channel_rows.items():
            total = self._channel_sums.setdefault(key, np.zeros(self.shape[0]))
            for row in np.concatenate(rows):
                total += row
        source._channel_rows = {}

    def result(self) -> LayerErrors:
        """What the images seen so far add up to.

        Raises
        ------
        UsageError
            No image was seen.
        """
        if not self.n_images:
            raise UsageError(f"layer '{self.layer.name}': no images, no errors")
        self._fold_channels(self)
        n_per_channel = self.n_images * self.theta.size // self.shape[0]
        parts = {
            name: {key: summarize(part) for (what, key), part in self._parts.items() if what == name}
            for name in ("relu", "qcfs")
        }
        if parts["qcfs"]:
            # The same in both splits.
            parts["qcfs"]["unevenness"] = parts["relu"]["unevenness"]
        return LayerErrors(
            name=self.layer.name,
            T=self.T,
            n_images=self.n_images,
            n_neurons=self.theta.size,
            against_relu=parts["relu"],
            against_qcfs=parts["qcfs"],
            k={int(i) - 2 * self.T: int(self._k[i]) for i in np.flatnonzero(self._k)},
            n_silent=int(self._silent.sum()),
            n_never=int((self._silent == self.n_images).sum()),
            n_saturated=int(self._saturated.sum()),
            n_always=int((self._saturated == self.n_images).sum()),
            potential=summarize(self._potential),
            n_below=int(self._outside[0]),
            n_above=int(self._outside[1]),
            residual=describe_residual(self._residual) if self._residual.n else None,
            channels={key: total / n_per_channel for key, total in self._channel_sums.items()},
        )


def summarize(part: Distribution) -> Summary:
    """Mean, RMS and quantiles of what a distribution has seen."""
    return Summary(mean=part.mean, rms=part.rms, quantiles={q: part.quantile(q) for q in QUANTILES})
