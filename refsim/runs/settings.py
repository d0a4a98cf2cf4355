"""What a run is told: what decides its bits, and what decides only its time and memory."""

from __future__ import annotations

import numbers
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, get_args

from refsim.engine.modes import MODES, Mode
from refsim.exceptions import UsageError
from refsim.formats.untrusted.text import brief
from refsim.model import Network, NeuronKind

RunKind = Literal[NeuronKind, "both"]
"""Neurons of a run; "both": IF and dual-threshold neurons on the same images."""

RUN_KINDS: tuple[RunKind, ...] = ("if", "dual", "signed", "both", "file")

MOST_STEPS = 2**20
"""More steps are a slip of the finger: T = 1,000,000 of them take hours for one image."""

MOST_POTENTIAL = sys.float_info.max
"""What a double holds."""

ANN = "ann"
"""The name of the source ANN among the networks of a run."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the bits of a run, besides the network and the images.

    Parameters
    ----------
    T
        Time steps; a run of T steps contains the runs of fewer.
    neuron
        "file": as the weight file says; "if", "dual", "signed" (dual with theta_neg = -theta: SNM), or "both".
    theta_neg, theta_neg_mode, v0
        As in `Network.with_kind`; None leaves what the file or the kind of neuron says.
    dtype
        The numbers to compute in (`compile_network`).
    skip_zero_weights
        Do not count synapses of weight 0 (NeuroBench's convention).
    ann
        Run the source ANN on the same images.

    Raises
    ------
    UsageError
        A value that no run can have.
    """

    T: int = 4
    dtype: Mode = "exact"
    neuron: RunKind = "file"
    theta_neg: float | None = None
    theta_neg_mode: Literal["absolute", "relative"] | None = None
    v0: float | None = None
    skip_zero_weights: bool = False
    ann: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.T, bool) or not isinstance(self.T, int) or not 1 <= self.T <= MOST_STEPS:
            raise UsageError(f"T must be a whole number from 1 to {MOST_STEPS:,}, got {brief(self.T)}")
        if self.neuron not in RUN_KINDS:
            raise UsageError(f"neuron must be one of {', '.join(RUN_KINDS)}, got {brief(self.neuron)}")
        if self.dtype not in MODES:
            raise UsageError(f"dtype must be one of {', '.join(MODES)}, got {brief(self.dtype)}")
        for key in ("theta_neg", "v0"):
            value = getattr(self, key)
            if value is None:
                continue
            # Written so that nan fails too; of integers beyond it, math.isfinite raises.
            real = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not real or not -MOST_POTENTIAL <= value <= MOST_POTENTIAL:
                raise UsageError(f"{key} must be a finite number, got {brief(value)}")
            object.__setattr__(self, key, float(value))

    @property
    def kinds(self) -> tuple[NeuronKind, ...]:
        """The neurons of each SNN of the run."""
        return ("if", "dual") if self.neuron == "both" else (self.neuron,)

    def networks(self, network: Network) -> dict[str, Network]:
        """Every network of the run by its name: the ANN first, if it runs, then the SNNs by their neurons."""
        found = {ANN: network} if self.ann else {}
        for kind in self.kinds:
            found[kind] = network.with_kind(
                kind, theta_neg=self.theta_neg, theta_neg_mode=self.theta_neg_mode, v0=self.v0
            )
        return found


assert set(RUN_KINDS) == {*get_args(NeuronKind), "both"}

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""Called with a label and a number of images before work begins; gives a function that is told how many are done.

That function may raise KeyboardInterrupt: it is how a person at the keyboard stops a run between two batches.
"""


def silent(label: str, n_images: int) -> AbstractContextManager[Callable[[int], object]]:
    """Progress that nobody looks at."""
    return nullcontext(lambda n: None)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What decides time and memory, and no bit of any result.

    batch
        Images computed together, at most; None: what memory allows.
    threads
        None: all cores that this process may use.
    """

    batch: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for key in ("batch", "threads"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise UsageError(f"{key} must be at least 1, got {value}")

    @property
    def n_threads(self) -> int:
        """The number asked for, or the cores this process may use."""
        if self.threads is not None:
            return self.threads
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
