"""The report of a comparison of two simulations: where they part, and how that spreads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from refsim.analysis.divergence import First, LayerDifference
from refsim.analysis.suspects import Suspect
from refsim.reports.frames import as_html, to_pandas
from refsim.version import __version__

SCHEMA = "refsim-diff 1"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What refsim decided at the first difference: m = v + u against theta, the margin in units of theta.

    tie
        Whether the margin is within what another order of summation can change.
    """

    m: float
    theta: float
    margin: float
    tie: bool


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Difference:
    """How two simulations of the same images differ.

    a, b
        What was compared, in words.
    T, n_images
        Steps and images that were compared.
    by_neuron
        Whether single spikes were compared; else numbers of spikes by layer, step, image and sign.
    layers
        In the order of the network.
    decision
        Of the first difference, where the network is known.
    suspects
        Usual mistakes with what they leave unexplained, the best first; empty unless asked for.
    """

    a: str
    b: str
    T: int
    n_images: int
    by_neuron: bool
    layers: tuple[LayerDifference, ...]
    decision: Decision | None = None
    suspects: tuple[Suspect, ...] = ()

    @property
    def first(self) -> First | None:
        """The first difference in the first layer that has one; None if nothing differs."""
        return next((each.first for each in self.layers if each.first is not None), None)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.first is None

    @property
    def explanation(self) -> Suspect | None:
        """The mistake that explains every difference of the first layer that differs; None if none does."""
        return self.suspects[0] if self.suspects and self.suspects[0].left == 0 else None

    def rows(self) -> Sequence[dict[str, Any]]:
        """A row for each layer and step."""
        return [
            {"layer": each.layer, "t": t + 1, "differing": int(n)}
            for each in self.layers
            for t, n in enumerate(each.differing)
        ]

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each layer and step.

        Raises
        ------
        UsageError
            pandas is not installed.
        """
        return to_pandas(self.rows())

    def to_json(self) -> dict[str, Any]:
        """The whole report."""
        return {
            "schema": SCHEMA,
            "refsim": __version__,
            "a": self.a,
            "b": self.b,
            "T": self.T,
            "images": self.n_images,
            "by_neuron": self.by_neuron,
            "equal": self.equal,
            "first": None if self.first is None else asdict(self.first),
            "decision": None if self.decision is None else asdict(self.decision),
            "layers": [
                {"layer": each.layer, "n_a": each.n_a, "n_b": each.n_b, "differing": each.differing.tolist()}
                for each in self.layers
            ],
            "suspects": [{"kind": each.kind, "what": each.what, "left": each.left} for each in self.suspects],
        }

    def __repr__(self) -> str:
        n = sum(int(each.differing.sum()) for each in self.layers)
        what = "nothing differs" if self.equal else f"{n:,} differ, first in '{self.first.layer}'"  # type: ignore[union-attr]
        return f"Difference {self.a} / {self.b}: {what}"

    def _repr_html_(self) -> str:
        rows = [[each.layer, str(each.n_a), str(each.n_b), str(int(each.differing.sum()))] for each in self.layers]
        return as_html(repr(self), ["layer", "spikes a", "spikes b", "differing"], rows)
