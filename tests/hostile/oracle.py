"""The judge: one line, the right exit code, no traceback, nothing that acts on a terminal, bounded time and memory."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tests.hostile.attack import Attack

CPU_SECONDS = 30
"""A good input takes a tenth of a second, and nothing here is large."""

PATIENCE = 300
"""Seconds after which an attack that does not compute either is taken for hung, however busy the machine is."""

MORE_MEMORY = 400 << 20
"""Beyond what the judge has itself."""

LONGEST = 1100


def judge(attack: Attack, folder: Path) -> str | None:
    """Try an attack in an empty folder: what is wrong with what came of it, or None."""
    arguments = attack.make(folder)
    _warm()
    out, err = folder.parent / "stdout", folder.parent / "stderr"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = os.fork()
    if child == 0:
        _run(arguments, folder, out, err)
    status, usage = _wait(child)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"ended by {signal.Signals(-code).name} after {usage.ru_utime + usage.ru_stime:.0f} CPU-s"
    if (usage.ru_maxrss - before) << 10 > MORE_MEMORY:
        return f"took {(usage.ru_maxrss - before) >> 10} MB"
    return wrong_with(code, attack.codes, out.read_bytes(), err.read_bytes())


def wrong_with(code: int, codes: tuple[int, ...], out: bytes, err: bytes) -> str | None:
    """What is wrong with an exit code and what was printed, or None."""
    try:
        lines, printed = err.decode().splitlines(), out.decode()
    except UnicodeDecodeError:
        return "printed something that is no UTF-8"
    said = [line for line in lines if not line.startswith("refsim: warning: ")]
    if code not in codes:
        return f"exit code {code}, not one of {codes}: {' '.join(said)[:300]}"
    if not all(line.isprintable() for line in [*lines, *printed.split("\n")]):
        return f"printed what acts on a terminal: {err[:300]!r}"
    if code == 0:
        return None if printed else "said nothing"
    if len(said) != 1 or not said[0].startswith("refsim: ") or len(lines) > 3:
        return f"not one line: {err[:300]!r}"
    if len(said[0]) > LONGEST:
        return f"a line of {len(said[0])} characters"
    if printed:
        return "printed a result with an error"
    return None


def _wait(child: int) -> tuple[int, resource.struct_rusage]:
    began = time.monotonic()
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return status, usage
        if time.monotonic() - began > PATIENCE:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)


def _run(arguments: list[str], folder: Path, out: Path, err: Path) -> None:
    """Run refsim in this process, a fork, and end it."""
    code = 99
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
        os.chdir(folder)
        for stream, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape")
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace")
        from refsim.cli import main

        try:
            main(arguments)
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


@cache
def _warm() -> None:
    """Import, once for all attacks, what they need, and read the weight file that they share."""
    import tempfile

    from refsim.cli import options
    from refsim.cli.main import COMMANDS, main

    for name in COMMANDS:
        __import__(f"refsim.cli.{name}")
    read: Callable[..., Any] = options.load
    packaged = read(None)
    options.load = lambda name: packaged if name is None else read(name)  # type: ignore[assignment]
    # Reports of what nobody foresaw are looked for by the exit code, and not by the files.
    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()
        if child == 0:
            _run(["run", "-q", "--limit", "1", "-T", "1"], Path(folder), Path(folder, "o"), Path(folder, "e"))
        os.waitpid(child, 0)
    for name in ("refsim.runs.run", "refsim.cli.run_text", "refsim.runs.merge", "refsim.runs.errors", "PIL.Image"):
        __import__(name)
    del main
