"""What a run is told (`Recipe`) and what it says after each epoch (`Epoch`)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything the trained weights depend on; a run resumes only under the recipe it began with.

    Weight decay applies to every parameter, lambda and batch normalisation included, as in the official code:
    it pulls lambda down, and a smaller lambda means a finer grid.
    """

    arch: str
    data: str
    activation: str = "qcfs"
    L: int = 4
    head: str = "linear"
    dropout: float = 0.0
    lambda_: float = 8.0
    epochs: int = 30
    batch: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.5  # epochs
    label_smoothing: float = 0.0
    augment: tuple[str, ...] = ("crop", "flip")
    crop: int = 4  # pixels
    n_validation: int = 5000
    seed: int = 1
    select: str = "last"  # which epoch is kept: "last", or the best by "ann" or "snn" validation accuracy
    T: int = 4  # time steps at which the SNN is watched, and selected by
    n_watched: int = 1000  # validation images the SNN is watched on
    tau: int = 0  # time steps after which NQ measures its noise; 0: L of them, as the paper has it
    init: str = ""
    init_readout: bool = False
    bf16: bool = False
    compiled: bool = False
    channels_last: bool = False

    @property
    def steps_of_delta(self) -> int:
        """tau, or L where none is given (NQ section 5.2)."""
        return self.tau or self.L

    def plain(self) -> dict[str, Any]:
        """The recipe as JSON and `torch.load(weights_only=True)` would give it back."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One line of the log; accuracies in percent, on the validation split."""

    number: int
    loss: float
    ann: float
    snn_if: dict[int, float]  # t -> accuracy with IF neurons
    snn_dual: dict[int, float]
    images_per_s: float
    seconds: float
    delta: dict[str, float] = field(default_factory=dict)

    def line(self) -> str:
        """The log line of this epoch."""

        def curve(name: str, values: dict[int, float]) -> str:
            return f"  {name} " + " ".join(f"{t}:{value:.2f}" for t, value in values.items()) if values else ""

        return (
            f"epoch {self.number}  loss {self.loss:.4f}  ANN {self.ann:.2f}"
            f"{curve('IF', self.snn_if)}{curve('dual', self.snn_dual)}"
            f"  {self.images_per_s:.0f} images/s  {self.seconds:.0f} s"
        )


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Linear warm-up, then half a cosine down to zero; `progress` in epochs, from 0 to `recipe.epochs`."""
    if progress < recipe.warmup:
        return recipe.lr * (progress + 1e-3) / recipe.warmup
    share = (progress - recipe.warmup) / max(recipe.epochs - recipe.warmup, 1e-9)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * share))
