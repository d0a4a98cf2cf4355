"""What would be gained if one spiking layer made no error of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

AS_ANN = (
    "the layer sends, at every step, the ANN's activation of its own mean input current in place of spikes; what "
    "earlier layers propagate stays"
)
"""The definition that stands beside the number."""


@dataclass(frozen=True, kw_only=True)
class AccuracyIf:
    """An SNN with and without the own error of one of its layers, on the same images (`AS_ANN`).

    before, after
        Images that are classified correctly after T steps, of `n_images`.
    """

    number: int
    layer: str
    T: int
    n_images: int
    before: int
    after: int

    @property
    def gain(self) -> float:
        """Points of accuracy, in 0..100."""
        return 100 * (self.after - self.before) / self.n_images

    def to_json(self) -> dict[str, Any]:
        """As it stands in a report."""
        return asdict(self) | {"gain": self.gain, "definition": AS_ANN}

    def __repr__(self) -> str:
        return (
            f"AccuracyIf layer {self.number} {self.layer} were as in the ANN, T={self.T}: "
            f"{self.before} -> {self.after} of {self.n_images} images ({self.gain:+.1f} points)"
        )
