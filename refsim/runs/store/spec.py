"""Spec: everything that decides what a run computes, and nothing else (not batch, threads or energy model)."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from types import NoneType

from refsim.exceptions import FormatError, UsageError
from refsim.formats.images.inputs import Images
from refsim.formats.images.preparation import Preparation
from refsim.formats.untrusted.text import clean, is_clean
from refsim.formats.weights.parts import WeightFile
from refsim.runs.settings import Settings
from refsim.version import __version__

MAX_IMAGES = 100_000_000
"""Of a data set: a list of them takes 800 MB."""

_KINDS: dict[str, tuple[type, ...]] = {
    "engine": (str,), "weights": (str,), "data": (str,), "images": (int,), "limit": (int, NoneType), "pad": (bool,),
    "scale": (float, int, NoneType), "currents": (bool,), "resize": (int, NoneType), "crop": (int, NoneType),
    "T": (int,), "dtype": (str,), "neuron": (str,), "theta_neg": (float, int, NoneType),
    "theta_neg_mode": (str, NoneType), "v0": (float, int, NoneType), "skip_zero_weights": (bool,), "ann": (bool,),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """Two runs of one spec give the same bits for the same image.

    engine
        Version of refsim.
    weights, data
        sha256 of the weight file's content and of the data; "" for the samples in the weight file.
    images
        How many images the data set holds; `limit` of them, evenly strided, are used (None: all).
    pad, scale, currents, resize, crop
        What is done to the images (`Preparation`).
    """

    engine: str
    weights: str
    data: str
    images: int
    limit: int | None
    pad: bool
    scale: float | None
    currents: bool
    resize: int | None
    crop: int | None

    @property
    def preparation(self) -> Preparation:
        """What is done to the images."""
        return Preparation(pad=self.pad, scale=self.scale, currents=self.currents, resize=self.resize, crop=self.crop)

    @classmethod
    def of(cls, settings: Settings, file: WeightFile, images: Images) -> Spec:
        """The spec of a run of this weight file on these images."""
        return cls(
            **asdict(settings),
            engine=__version__,
            weights=file.sha256,
            data=images.sha256,
            images=len(images.data),
            limit=images.limit,
            **asdict(images.preparation),
        )

    def to_json(self) -> str:
        """Canonical text: one line, keys in the order of the fields; numbers read back exactly."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """The spec that `to_json` wrote.

        Raises
        ------
        FormatError
            Something else.
        """
        try:
            spec = cls(**json.loads(text))
            spec._check()
            # Keys twice, or numbers written in another way, are not of our making.
            if spec.to_json() != text:
                raise ValueError("not as to_json writes it")
        except (TypeError, ValueError, OverflowError, RecursionError, UsageError):
            raise FormatError("its spec is damaged, or of another version of refsim") from None
        return spec

    def _check(self) -> None:
        """TypeError or ValueError for values that no run has; the spec may come from a stranger's file."""
        for key, kinds in _KINDS.items():
            value = getattr(self, key)
            if type(value) not in kinds or (isinstance(value, str) and not is_clean(value)):
                raise TypeError(key)
        self.preparation  # noqa: B018  # checks itself
        digests = [self.weights, *([self.data] if self.data else [])]
        if not all(re.fullmatch("[0-9a-f]{64}", each) for each in digests):
            raise ValueError("digests")
        if not 1 <= self.images <= MAX_IMAGES or (self.limit is not None and self.limit < 1):
            raise ValueError("numbers")

    def first_difference(self, other: Spec) -> tuple[str, object, object] | None:
        """The first field in which two specs differ, with both values."""
        mine, theirs = asdict(self), asdict(other)
        # As text: 0.0 and -0.0 are equal, and not the same potential.
        return next(((key, mine[key], theirs[key]) for key in mine if repr(mine[key]) != repr(theirs[key])), None)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Part `number` of `count` (from 1): a contiguous share of the images, as even as possible."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """From "3/16".

        Raises
        ------
        UsageError
            Something else.
        """
        number, slash, count = text.partition("/")
        digits = number.isdecimal() and count.isdecimal() and len(text) < 20
        if not slash or not digits or not 1 <= int(number) <= int(count):
            raise UsageError(f"--shard {clean(text)}: write it as I/N with 1 <= I <= N, e.g. 3/16")
        return cls(number=int(number), count=int(count))

    def range(self, n: int) -> tuple[int, int]:
        """First and behind the last of n images.

        Raises
        ------
        UsageError
            Fewer images than parts.
        """
        if self.count > n:
            raise UsageError(f"--shard {self}: there are only {n} images to share")
        return (self.number - 1) * n // self.count, self.number * n // self.count

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
