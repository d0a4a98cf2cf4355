"""Golden results: what a network does on its own samples, stored in its file and replayed by `refsim verify`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.exceptions import CheckFailedError
from refsim.formats.weights.parts import Golden, Samples
from refsim.model import Network

Kind = Literal["if", "dual"]
KINDS: tuple[Kind, ...] = ("if", "dual")
"""The neurons of which weight files hold golden results."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A golden result that was met: how much was compared."""

    neuron: str
    T: int
    n_images: int
    n_spikes: int


def record_golden(network: Network, samples: Samples, kind: Kind, T: int, dtype: str = "float64") -> Golden:
    """Simulate the samples and keep logits and spike counts.

    Parameters
    ----------
    kind
        "if" or "dual": the neuron in every spiking layer.
    dtype
        "float64", or "exact", which must not differ from it.
    """
    plan = compile_network(network.with_kind(kind), dtype)
    trace = simulate(plan, network.input.normalize(samples.images), T)
    return Golden(
        T=T,
        neuron=kind,
        logits=trace.logits,
        counts_pos={name: each.n_pos for name, each in trace.populations.items()},
        counts_neg={name: each.n_neg for name, each in trace.populations.items()},
    )


def record_goldens(network: Network, samples: Samples, n: int) -> list[Golden]:
    """What the network does on its first n samples, T=4, with IF and with dual-threshold neurons."""
    first = Samples(images=samples.images[:n], labels=samples.labels[:n])
    return [record_golden(network, first, kind, 4) for kind in KINDS]


def replay(network: Network, samples: Samples, golden: Golden) -> Replay:
    """Simulate again, in float64 and in exact mode, and compare every spike count and every bit of the logits.

    Raises
    ------
    CheckFailedError
        The first layer, step and image where they differ.
    """
    n_images = golden.logits.shape[1]
    some = Samples(images=samples.images[:n_images], labels=samples.labels[:n_images])
    for dtype in ("float64", "exact"):
        actual = record_golden(network, some, golden.neuron, golden.T, dtype)
        _compare(network, golden, actual, f"golden result ({golden.neuron}, T={golden.T}, {dtype})")
    n_spikes = sum(int(each.sum()) for counts in (golden.counts_pos, golden.counts_neg) for each in counts.values())
    return Replay(neuron=golden.neuron, T=golden.T, n_images=n_images, n_spikes=n_spikes)


def _compare(network: Network, expected: Golden, actual: Golden, where: str) -> None:
    for layer in network.spiking:
        for sign in ("pos", "neg"):
            expected_counts = getattr(expected, f"counts_{sign}")[layer.name]
            actual_counts = getattr(actual, f"counts_{sign}")[layer.name]
            for t, image in np.argwhere(expected_counts != actual_counts)[:1]:
                raise CheckFailedError(
                    f"{where}: layer '{layer.name}', t={t + 1}, image {image}: expected "
                    f"{expected_counts[t, image]} spikes ({sign}), got {actual_counts[t, image]}"
                )
    for t, image, k in np.argwhere(expected.logits != actual.logits)[:1]:
        raise CheckFailedError(
            f"{where}: readout, t={t + 1}, image {image}, class {k}: expected "
            f"{expected.logits[t, image, k]!r}, got {actual.logits[t, image, k]!r}"
        )
