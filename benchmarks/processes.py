"""What whole processes need: CPU seconds from start to end, and resident memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def run(options: list[str], cache: str | None = None) -> tuple[float, float]:
    """CPU seconds, children included, and peak resident megabytes (of the largest process) of `refsim run`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    command = [sys.executable, "-m", "refsim", "run", "-q", *options]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    # ru_maxrss counts in kilobytes on Linux and in bytes on macOS.
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def start_times(weights: str | None) -> dict[str, float]:
    """CPU seconds of `refsim run` on one image, with an empty and with a filled cache of compiled kernels."""
    options = ["--limit", "1", "--neuron", "if", *(["-w", weights] if weights else [])]
    with tempfile.TemporaryDirectory() as cache:
        first, _ = run(options, cache)
        cached = sorted(run(options, cache)[0] for _ in range(3))[1]
    return {"first run ever": first, "cached": cached}


def memory(weights: str | None, data: str | None) -> list[dict[str, Any]]:
    """Peak resident megabytes of `refsim run` for several T and batches, all cores."""
    found = []
    for T, batch, extra in ((4, None, ()), (4, 500, ()), (64, None, ("--no-ann",)), (64, 500, ("--no-ann",))):
        options = ["-T", str(T), "--neuron", "if", "--limit", str(64 if T < 64 else 8), *extra]
        options += ["--batch", str(batch)] if batch else []
        options += ["-w", weights] if weights else []
        options += ["--data", data] if data else []
        found.append({"T": T, "batch": batch or "default", "resident_mb": run(options)[1]})
    return found
