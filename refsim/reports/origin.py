"""What every report begins with: which weights, which images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refsim.formats.images.inputs import Images
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import WeightFile

SOP = (
    "one nonzero spike x one existing synapse, borders exact, both signs; behind an average pool every spike passes "
    "through"
)
"""The definition that stands beside every number of synaptic operations."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the numbers of a report come from.

    file, name, weights_sha256
        The weight file as it was named, its network, and the digest of its content.
    source, n_images, data_sha256
        The images in one phrase, how many, and the digest of the data ("" for samples in the weight file).
    shard
        Part I/N of the images; "" for all.
    """

    file: str
    name: str
    weights_sha256: str
    source: str
    n_images: int
    data_sha256: str
    shard: str = ""

    @classmethod
    def of(cls, file: WeightFile, images: Images) -> Origin:
        """Of a report on these images."""
        return cls(
            file=clean(file.path, None),
            name=file.network.name,
            weights_sha256=file.sha256,
            source=images.description,
            n_images=len(images),
            data_sha256=images.sha256,
        )

    def to_json(self) -> dict[str, Any]:
        """The keys "weights" and "data" of a report."""
        shard = {"shard": self.shard} if self.shard else {}
        return {
            "weights": {"file": self.file, "name": self.name, "sha256": self.weights_sha256},
            "data": {"source": self.source, "images": self.n_images, "sha256": self.data_sha256, **shard},
        }
