"""The report of conversion methods side by side: method x T on the same images, extra steps charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from refsim.analysis.statistics import wilson_interval
from refsim.engine.modes import Mode
from refsim.exceptions import UsageError
from refsim.reports.frames import as_html, to_pandas
from refsim.reports.origin import SOP, Origin
from refsim.reports.run import AnnRun
from refsim.version import __version__

SCHEMA = "refsim-compare 1"


@dataclass(frozen=True, kw_only=True)
class MethodStep:
    """A method after T counted steps; operations are totals of all images, the extra ones included.

    latency
        T and the steps that the method needs besides.
    correct
        Images that are classified correctly, of `n_images`.
    """

    T: int
    latency: int
    correct: int
    n_images: int
    sop: int
    residual: int
    extra_sop: int

    @property
    def accuracy(self) -> float:
        """In 0..1."""
        return self.correct / self.n_images

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.correct, self.n_images)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a report."""
        return {
            "T": self.T,
            "latency": self.latency,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "interval": self.interval,
            "sop": self.sop,
            "residual": self.residual,
            "extra_sop": self.extra_sop,
        }


@dataclass(frozen=True, kw_only=True)
class MethodReport:
    """One method: what it is, where its thresholds come from, and how it did."""

    method: str
    source: str
    summary: str
    thresholds: str
    extra_steps: int
    steps: tuple[MethodStep, ...]

    def to_json(self) -> dict[str, Any]:
        """As it stands in a report."""
        return {
            "method": self.method,
            "source": self.source,
            "summary": self.summary,
            "thresholds": self.thresholds,
            "extra_steps": self.extra_steps,
            "steps": [each.to_json() for each in self.steps],
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Comparison:
    """Methods on the same images.

    calibration
        The calibration images in one phrase; None: there were none.
    left_out
        Why a method did not run, by its name.
    """

    origin: Origin
    calibration: str | None
    T: tuple[int, ...]
    dtype: Mode
    ann: AnnRun
    methods: tuple[MethodReport, ...]
    left_out: Mapping[str, str]

    def __getitem__(self, method: str) -> MethodReport:
        for each in self.methods:
            if each.method == method:
                return each
        why = f": {self.left_out[method]}" if method in self.left_out else ""
        raise UsageError(f"method {method!r} is not in this comparison{why}")

    def rows(self) -> list[dict[str, Any]]:
        """A row of numbers for each method and T."""
        found = []
        for each in self.methods:
            for step in each.steps:
                facts = step.to_json()
                facts["low"], facts["high"] = facts.pop("interval")
                found.append({"method": each.method, **facts, "images": step.n_images})
        return found

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each method and T.

        Raises
        ------
        UsageError
            pandas is not installed.
        """
        return to_pandas(self.rows())

    def plot(self, ax: Any = None, *, x: Literal["t", "sops"] = "t") -> Any:
        """Draw accuracy against T, or against SOPs per image, a line for each method; returns the Axes.

        Parameters
        ----------
        ax
            matplotlib Axes to draw on; None: new ones.
        """
        from refsim.reports.figures import plot_comparison

        return plot_comparison(self, ax, x)

    def to_json(self) -> dict[str, Any]:
        """The whole report."""
        return {
            "schema": SCHEMA,
            "refsim": __version__,
            **self.origin.to_json(),
            "calibration": self.calibration,
            "T": list(self.T),
            "dtype": self.dtype,
            "definitions": {
                "sop": SOP,
                "charged": "sop, residual and latency include what a method needs besides the T counted steps",
                "interval": "Wilson 95 %",
            },
            "ann": self.ann.to_json(),
            "methods": [each.to_json() for each in self.methods],
            "left_out": dict(self.left_out),
        }

    def __repr__(self) -> str:
        names = ", ".join(each.method for each in self.methods) or "no method"
        steps = ", ".join(map(str, self.T))
        return f"Comparison {self.origin.name}, T={steps}: {names}; {self.origin.source}"

    def _repr_html_(self) -> str:
        rows = [[each.method, *(f"{100 * step.accuracy:.1f}" for step in each.steps)] for each in self.methods]
        ann = "" if self.ann.accuracy is None else f", ANN {100 * self.ann.accuracy:.1f} %"
        title = f"{self.origin.name}, {self.origin.source}{ann}: accuracy in %"
        return as_html(title, ["method", *(f"T={t}" for t in self.T)], rows)
