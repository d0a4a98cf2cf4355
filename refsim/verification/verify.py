"""verify: is a weight file what it was, and does the engine do on it what the specification says?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from refsim.analysis.margin import margins
from refsim.engine.plan import compile_network
from refsim.engine.results import Result
from refsim.engine.simulator import simulate
from refsim.exceptions import CheckFailedError, UsageError
from refsim.formats.images.currents import strided
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import Samples, WeightFile
from refsim.verification.equality import assert_equals_reference
from refsim.verification.golden import KINDS, Replay, replay
from refsim.version import __version__

SCHEMA = "refsim-verify 1"


@dataclass(frozen=True, kw_only=True)
class SpecificationCheck:
    """The engine equalled the specification in every bit.

    seconds
        What it took.
    not_certified
        Spiking layers in which another order of summation could change a spike.
    """

    neuron: Literal["if", "dual"]
    T: int
    n_images: int
    seconds: float
    not_certified: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was checked and held; a check that fails is an error.

    golden, specification
        Golden results that were met, and comparisons of engine and specification; empty where the file has no samples.
    """

    file: str
    sha256: str
    golden: tuple[Replay, ...]
    specification: tuple[SpecificationCheck, ...]

    def to_json(self) -> dict[str, Any]:
        """The whole report."""
        return {
            "schema": SCHEMA,
            "refsim": __version__,
            "file": self.file,
            "sha256": self.sha256,
            "golden": [
                {"neuron": each.neuron, "T": each.T, "images": each.n_images, "spikes": each.n_spikes}
                for each in self.golden
            ],
            "specification": [
                {
                    "neuron": each.neuron,
                    "T": each.T,
                    "images": each.n_images,
                    "seconds": each.seconds,
                    "not_certified": list(each.not_certified),
                }
                for each in self.specification
            ],
        }


Check = Replay | SpecificationCheck


def verify(
    file: WeightFile,
    *,
    T: int | Sequence[int] = 4,
    limit: int = 4,
    on_check: Callable[[Check], object] = lambda check: None,
) -> Verification:
    """Check a weight file on its own samples: golden results are met, and the engine is the specification.

    Loading has checked the checksum already.

    Parameters
    ----------
    T, limit
        Steps (or several numbers of them), and how many samples, for engine == specification; golden results say
        their own.
    on_check
        Told of every check that held, as it is done.

    Raises
    ------
    CheckFailedError
        The first place where something differs.
    UsageError
        T or limit below 1.
    """
    steps = [T] if isinstance(T, int) else list(T)
    if not steps or min(*steps, limit) < 1:
        raise UsageError(f"T and limit must be at least 1, got {T} and {limit}")
    golden: list[Replay] = []
    specification: list[SpecificationCheck] = []
    if file.samples is not None:
        for each in file.golden:
            golden.append(replay(file.network, file.samples, each))
            on_check(golden[-1])
        for t, kind in product(steps, KINDS):
            specification.append(_compare(file, file.samples, kind, t, limit))
            on_check(specification[-1])
    return Verification(
        file=clean(file.path, None), sha256=file.sha256, golden=tuple(golden), specification=tuple(specification)
    )


def _compare(
    file: WeightFile, samples: Samples, kind: Literal["if", "dual"], T: int, n_images: int
) -> SpecificationCheck:
    chosen = strided(len(samples.labels), n_images)
    x = file.network.input.normalize(samples.images[chosen])
    network = file.network.with_kind(kind)
    started = time.perf_counter()
    try:
        assert_equals_reference(network, x, T)
    except AssertionError as error:
        raise CheckFailedError(f"engine and specification differ ({kind}, T={T}): {error}") from None
    seconds = time.perf_counter() - started
    result = Result.of(simulate(compile_network(network), x, T), x, None)
    return SpecificationCheck(
        neuron=kind,
        T=T,
        n_images=len(chosen),
        seconds=seconds,
        not_certified=tuple(each.name for each in margins(network, result) if not each.certified),
    )
