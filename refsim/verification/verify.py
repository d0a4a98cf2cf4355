"""verify: is a weight file what it was, and does the engine do on it what the specification says?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import add
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.macs import network_macs
from refsim.analysis.margin import margins
from refsim.engine.batches import map_batches
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

Indices = NDArray[np.int64]

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

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""Called with a label and a number of images before work begins; gives a function that is told how many are done."""

MOST_IMAGES = 4
"""Samples for engine == specification, if that takes at most a minute."""

MINUTE = 6e9
"""Multiply-accumulates that the specification, and what counts its operations, get through in a minute."""


def affordable(file: WeightFile, steps: Sequence[int]) -> int:
    """How many samples can be compared within about a minute, at least one."""
    macs = sum(each.dense for each in network_macs(file.network).values())
    return max(1, min(MOST_IMAGES, int(MINUTE / (macs * sum(steps) * len(KINDS)))))


def verify(
    file: WeightFile,
    *,
    T: int | Sequence[int] = 4,
    limit: int | None = None,
    threads: int = 1,
    progress: Progress = lambda label, n: nullcontext(lambda n: None),
    on_check: Callable[[Check], object] = lambda check: None,
) -> Verification:
    """Check a weight file on its own samples: golden results are met, and the engine is the specification.

    Loading has checked the checksum already.

    Parameters
    ----------
    T, limit
        Steps (or several numbers of them), and how many samples, for engine == specification; golden results say
        their own. Without a limit it is as many samples, up to `MOST_IMAGES`, as take about a minute.
    threads
        Samples compared at the same time.
    progress
        Told how many samples are done.
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
    if not steps or min(*steps, 1 if limit is None else limit, threads) < 1:
        raise UsageError(f"T, limit and threads must be at least 1, got {T}, {limit} and {threads}")
    n_images = affordable(file, steps) if limit is None else limit
    golden: list[Replay] = []
    specification: list[SpecificationCheck] = []
    if file.samples is not None:
        for each in file.golden:
            golden.append(replay(file.network, file.samples, each))
            on_check(golden[-1])
        for t, kind in product(steps, KINDS):
            specification.append(_compare(file, file.samples, kind, t, n_images, threads, progress))
            on_check(specification[-1])
    return Verification(
        file=clean(file.path, None), sha256=file.sha256, golden=tuple(golden), specification=tuple(specification)
    )


def _compare(
    file: WeightFile,
    samples: Samples,
    kind: Literal["if", "dual"],
    T: int,
    n_images: int,
    threads: int,
    progress: Progress,
) -> SpecificationCheck:
    chosen = strided(len(samples.labels), n_images)
    network = file.network.with_kind(kind)
    plan = compile_network(network)

    def work(part: Indices) -> Result:
        x = network.input.normalize(samples.images[part])
        try:
            assert_equals_reference(network, x, T)
        except AssertionError as error:
            where = f"{kind}, T={T}, sample {part[0]}"
            raise CheckFailedError(f"engine and specification differ ({where}): {error}") from None
        return Result.of(simulate(plan, x, T), x, None)

    started = time.perf_counter()
    results = []
    with progress(f"{'dual' if kind == 'dual' else 'IF'}, T={T}", len(chosen)) as done:
        # One at a time: a person sees them pass, and little memory is taken.
        for part, result in map_batches(work, chosen, 1, threads):
            results.append(result)
            done(len(part))
    total = reduce(add, results)
    return SpecificationCheck(
        neuron=kind,
        T=T,
        n_images=len(chosen),
        seconds=time.perf_counter() - started,
        not_certified=tuple(each.name for each in margins(network, total) if not each.certified),
    )
