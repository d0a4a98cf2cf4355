"""Timing by turns: all contenders once a round, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[], Any]


def by_turns(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each run in each round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.process_time()
            run()
            if number > 0:
                seconds[name].append(time.process_time() - started)
    return seconds


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": float(np.median(values)), "least": min(values), "greatest": max(values)}
