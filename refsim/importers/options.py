"""What a checkpoint does not say and the user must."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from refsim.importers.parameters import NeuronChoice

ImageShape = tuple[int, int, int]


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
        "avg": the user says that a network without batch normalisation was trained with average pooling.
    """

    choice: NeuronChoice = field(default_factory=NeuronChoice)
    bn_eps: float = 1e-5
    shape: ImageShape | None = None
    usual_shape: ImageShape | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    dataset: str = ""
    pool: Literal["avg"] | None = None
