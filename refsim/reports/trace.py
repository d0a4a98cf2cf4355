"""The report of one neuron's life on one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from refsim.analysis.life import Life
from refsim.reports.frames import as_html, to_pandas
from refsim.reports.origin import Origin
from refsim.version import __version__

SCHEMA = "refsim-trace 1"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class NeuronTrace:
    """What one neuron did on one image, step by step.

    image, label
        Number of the image in the data set, and its class if that is known.
    life
        The numbers: `life.steps` with arrivals, current, potentials, decision and margin.
    """

    origin: Origin
    image: int
    label: int | None
    life: Life

    @property
    def spikes(self) -> list[int]:
        """The decision of each step, -1, 0 or 1."""
        return [step.s for step in self.life.steps]

    def rows(self) -> Sequence[dict[str, Any]]:
        """A row for each step, with the number of arrivals in place of these."""
        return [
            {key: len(value) if key == "arrivals" else value for key, value in vars(step).items()}
            for step in self.life.steps
        ]

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each step.

        Raises
        ------
        UsageError
            pandas is not installed.
        """
        return to_pandas(self.rows())

    def to_json(self) -> dict[str, Any]:
        """The whole report."""
        life = asdict(self.life)
        if np.isneginf(self.life.theta_neg):
            life["theta_neg"] = None  # JSON has no infinities
        return {
            "schema": SCHEMA,
            "refsim": __version__,
            **self.origin.to_json(),
            "image": self.image,
            "label": self.label,
            **life,
        }

    def __repr__(self) -> str:
        at = ",".join(map(str, self.life.place))
        return f"NeuronTrace {self.life.layer} {at}, image {self.image}: spikes {self.spikes}"

    def _repr_html_(self) -> str:
        rows = self.rows()
        return as_html(repr(self), list(rows[0]), [[f"{value:.6g}" for value in row.values()] for row in rows])
