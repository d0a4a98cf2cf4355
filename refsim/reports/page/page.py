"""Page: everything the report page says, and the page itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.formats.atomic import write_atomically
from refsim.reports.accuracy_if import AccuracyIf
from refsim.reports.compare import Comparison
from refsim.reports.errors import ErrorReport, LayerReport
from refsim.reports.info import FileReport
from refsim.reports.page.walk import Walk
from refsim.reports.residuals import ResidualShares
from refsim.reports.run import Run
from refsim.reports.versions import Versions

Counts = NDArray[np.int64]

CLOSE = 0.01
"""An SNN has arrived when its accuracy is within this of the ANN's."""


@dataclass(frozen=True, kw_only=True)
class WrongImage:
    """An image that an SNN gets wrong.

    number
        Of the image in its data set.
    lead
        By how much the class it chose is ahead of the right one, in units of the readout's mean current.
    pixels
        Data URL of the image.
    """

    number: int
    label: str
    predicted: str
    lead: float
    pixels: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What one SNN answered after T steps.

    confusion : (K, K), images by their label and by the class chosen
    wrong
        The images that it gets most wrong.
    """

    confusion: Counts
    wrong: tuple[WrongImage, ...]

    def mistakes(self, most: int = 5) -> list[tuple[int, int, int]]:
        """The pairs of classes that are mixed up most often: label, class chosen, images."""
        off = self.confusion - np.diag(np.diag(self.confusion))
        order = np.argsort(-off, axis=None, kind="stable")[:most]
        pairs = [divmod(int(place), len(off)) for place in order]
        return [(i, j, int(off[i, j])) for i, j in pairs if off[i, j]]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A golden result in the file that was met again."""

    neuron: str
    T: int
    n_images: int
    n_spikes: int


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What was tried on a few images to do better."""

    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class Thumbnails:
    """One image as it is, and as the network sees it; data URLs."""

    photographed: str
    seen: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Page:
    """The story of one converted network, as one HTML file that needs nothing else.

    answers
        By kind of SNN; empty where the images have no labels.
    errors, no_errors
        Where errors come from, on some of the images; or why that cannot be said.
    as_ann
        The layer whose own error is largest, and what would be gained if it had none; None where it was not measured.
    """

    about: FileReport
    run: Run
    thumbnails: Thumbnails
    answers: Mapping[str, Answers]
    errors: ErrorReport | None
    no_errors: str
    residuals: tuple[ResidualShares, ...]
    as_ann: AccuracyIf | None
    advice: Advice | None
    walk: Walk
    replayed: tuple[Replayed, ...]
    versions: Versions

    @cached_property
    def html(self) -> str:
        """The page.

        Raises
        ------
        UsageError
            Jinja2 is not installed.
        """
        from refsim.reports.page.render import render

        return render(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page; the file is complete or not there.

        Raises
        ------
        UsageError
            Jinja2 is not installed.
        OSError
            It cannot be written.
        """
        write_atomically(path, self.html.encode())

    def first_close(self, kind: str) -> int | None:
        """The first t from which on the SNN stays within `CLOSE` of the ANN; None: never, or it is not known."""
        ann, snn = self.run.ann.accuracy, self.run[kind]
        if ann is None or not snn.result.n_labelled:
            return None
        far = np.flatnonzero(snn.accuracy < ann - CLOSE)
        first = int(far[-1]) + 2 if len(far) else 1
        return first if first <= self.run.T else None

    @property
    def worst_layer(self) -> LayerReport | None:
        """The layer whose own error, without what earlier layers propagate, is largest."""
        return None if self.errors is None else self.errors.worst

    def to_json(self) -> dict[str, Any]:
        """The reports that the page is made of."""
        return {
            "info": self.about.to_json(),
            "run": self.run.to_json(),
            "errors": None if self.errors is None else self.errors.to_json(),
            "versions": self.versions.to_json(),
        }

    def __repr__(self) -> str:
        return f"Page {self.run!r}"

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts" title="refsim report" '
            'style="width:100%;height:80vh;border:1px solid #888"></iframe>'
        )
