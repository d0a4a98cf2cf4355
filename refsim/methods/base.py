"""What every conversion method is: a network and calibration images in, a network that spikes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refsim.engine.batches import Images, default_batch, map_batches
from refsim.engine.plan import Plan, compile_network
from refsim.engine.simulator import forward
from refsim.exceptions import DataError, NetworkError, UsageError
from refsim.model import Network

Array = NDArray[Any]
Counts = NDArray[np.int64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """The images from which a method may learn its parameters; never those that it is tested on.

    Raises
    ------
    DataError
        No images.
    """

    network: Network
    images: Images
    indices: Indices
    threads: int = 1

    def __post_init__(self) -> None:
        if not len(self.indices):
            raise DataError("calibration needs at least one image")

    def activations(self) -> Iterator[dict[str, Array]]:
        """The ANN's activations on these images, batch after batch: by spiking layer, (n, *shape) float64."""
        batch = default_batch(self._ann, 1, record=("z", "a"))  # mutant: how many at a time changes no number

        def work(part: Indices) -> dict[str, Array]:
            return forward(self._ann, self.images.currents(part), record=True).a

        for _, found in map_batches(work, self.indices, batch, self.threads):
            yield found

    def currents(self) -> Array:
        """Input currents (N, C, H, W) of all of them, in memory; for the methods of `layerwise`, which bounds them."""
        return self.images.currents(self.indices)

    @cached_property
    def largest(self) -> dict[str, Array]:
        """By spiking layer, the largest activation of every neuron, (*shape)."""
        largest: dict[str, Array] = {}
        for batch in self.activations():
            for name, a in batch.items():
                peak = a.max(axis=0)
                largest[name] = np.maximum(largest[name], peak) if name in largest else peak
        for name, peak in largest.items():
            self.require_active(name, float(peak.max()))
        return largest

    @cached_property
    def mean(self) -> dict[str, Array]:
        """By spiking layer, the mean activation of every neuron, (*shape)."""
        total: dict[str, Array] = {}
        for batch in self.activations():
            for name, a in batch.items():
                total[name] = total.get(name, 0) + a.sum(axis=0)
        return {name: each / len(self.indices) for name, each in total.items()}

    def require_active(self, name: str, theta: float) -> float:
        """The threshold, unless nothing would ever reach it because nothing is active.

        Raises
        ------
        NetworkError
            It is not positive.
        """
        if not theta > 0:
            raise NetworkError(f"layer '{name}': no neuron is active on the {len(self.indices)} calibration images")
        return theta

    @cached_property
    def _ann(self) -> Plan:
        return compile_network(self.network, fold=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class PerImageRun:
    """What a method did that adapts to each image.

    logits : (T, B, K), the readout's input current of each counted step
    sop, residual : (T, B) int64, operations of step t through weights, and through identity shortcuts
    extra_sop, extra_residual : (B,) int64, operations before the counted steps
    """

    logits: Array
    sop: Counts
    residual: Counts
    extra_sop: Counts
    extra_residual: Counts


class PerImage(Protocol):
    """A simulation whose parameters depend on the image itself, so that no weight file can hold them."""

    def simulate(self, x: Array, T: int) -> PerImageRun:
        """Run on input currents x (B, C, H, W) for T counted steps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConvertedNetwork:
    """A network as a method makes it.

    network
        With theta, v0, theta_neg, reset and biases of the method.
    T
        The only number of steps that it is made for; None: any.
    origin
        Where the thresholds come from, in one phrase.
    per_image
        How to simulate it, where the event engine alone cannot; None: the event engine.
    extra_steps
        Time steps that every image takes besides the T counted ones; they are part of its latency.
    """

    network: Network
    origin: str
    T: int | None = None
    per_image: PerImage | None = None
    extra_steps: int = 0


@dataclass(frozen=True, kw_only=True)
class Number:
    """The one number that a method can be given, NAME:NUMBER."""

    what: str
    default: float
    least: float
    most: float
    whole: bool = False

    def parse(self, text: str, method: str) -> float:
        """The number that the text says.

        Raises
        ------
        UsageError
            It is none, or out of range.
        """
        try:
            value = float(int(text) if self.whole else float(text))
        except ValueError:
            value = np.nan
        if not self.least <= value <= self.most:
            kind = "a whole number" if self.whole else "a number"
            raise UsageError(
                f"method {method}: {self.what} must be {kind} from {self.least:g} to {self.most:g}, got {text!r}"
            )
        return value


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """One conversion method.

    name, source, summary
        What the command line calls it, the paper, and what it does in one line.
    value
        Its `number`, where it has one.
    T
        The number of steps to make it for, where it depends on it.
    """

    name: str
    source: str
    summary: str
    number: Number | None = None
    value: float | None = None
    T: int | None = None

    @abstractmethod
    def calibrate(self, network: Network, calibration: Calibration | None) -> ConvertedNetwork:
        """Make the network spike.

        Raises
        ------
        UsageError
            As `check`; or it needs calibration images and there are none.
        NetworkError
            A layer that it can find no parameters for.
        """

    def check(self, network: Network) -> None:  # noqa: B027, most methods are for any network
        """See, before any work, whether the method is for a network of this kind.

        Raises
        ------
        UsageError
            It is not, and why.
        """

    @property
    def per_T(self) -> bool:
        """Whether the parameters depend on T."""
        return False

    @property
    def per_image(self) -> bool:
        """Whether they depend on the image."""
        return False

    @property
    def changes_bias(self) -> bool:
        """Whether biases change, so that a file of it would no longer hold the ANN."""
        return False

    @property
    def signed(self) -> bool:
        """Whether its neurons fire negative spikes."""
        return False

    @property
    def setting(self) -> float:
        """The number it works with."""
        assert self.number is not None
        return self.number.default if self.value is None else self.value

    def needed(self, calibration: Calibration | None) -> Calibration:
        """The calibration images.

        Raises
        ------
        UsageError
            There are none.
        """
        if calibration is None:
            raise UsageError(f"method {self.name} takes its parameters from calibration images; name some")
        return calibration

    def steps(self) -> int:
        """The number of steps that the method is to be made for.

        Raises
        ------
        UsageError
            It was not said.
        """
        if self.T is None:
            raise UsageError(f"method {self.name} depends on T; say which")
        return self.T
