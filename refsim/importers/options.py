"""What a checkpoint does not say and the user must."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from refsim.exceptions import UsageError
from refsim.importers.keys import KeyMap
from refsim.importers.parameters import NeuronChoice

ImageShape = tuple[int, int, int]
MaxKind = Literal["max-cumulative", "max-or"]
Pool = Literal["none", "avg"] | MaxKind
"""How a network pools: not at all, the mean of a window, or its maximum, found by spikes in one of two ways."""

POOLS: tuple[Pool, ...] = ("none", "avg", "max-cumulative", "max-or")

ActivationKind = Literal["qcfs", "clip", "relu"]
"""What the ANN computed: QCFS with L steps, clip(z, 0, theta), or ReLU."""

ACTIVATIONS: tuple[ActivationKind, ...] = get_args(ActivationKind)


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How to read a state dict.

    Parameters
    ----------
    choice
        What replaces the activations.
    bn_eps
        eps of every batch normalisation.
    shape
        (C, H, W) of the image, if the user gave it.
    usual_shape
        (C, H, W) of the data set's images; used where it fits the weights.
    mean, std
        Preprocessing per channel: x = (raw / 255 - mean) / std.
    dataset
        Its name, for the file.
    pool
        How a network pools whose keys do not show it.
    activation
        What the ANN computed; None: QCFS if there are thresholds, else ReLU, and a note says so.
    keys
        What the user says of keys that nobody knows.

    Raises
    ------
    UsageError
        No such pool or activation; bn_eps negative or not finite.
    """

    choice: NeuronChoice = field(default_factory=NeuronChoice)
    bn_eps: float = 1e-5
    shape: ImageShape | None = None
    usual_shape: ImageShape | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    dataset: str = ""
    pool: Pool | None = None
    activation: ActivationKind | None = None
    keys: KeyMap = field(default_factory=KeyMap)

    @property
    def relu(self) -> bool:
        """Whether activations have no thresholds until they are calibrated."""
        return self.choice.L is None and not self.choice.clipped

    def __post_init__(self) -> None:
        if self.pool is not None and self.pool not in POOLS:
            raise UsageError(f"pool must be one of {', '.join(POOLS)}, got {self.pool!r}")
        if self.activation is not None and self.activation not in ACTIVATIONS:
            raise UsageError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        if not 0 <= self.bn_eps < math.inf:
            raise UsageError(f"bn_eps must be finite and not negative, got {self.bn_eps}")
