"""Ctrl-C: the first one ends the run in good order, the second one at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from refsim.exceptions import InterruptedRunError

CODE = InterruptedRunError.exit_code


class Interrupt:
    """Whether SIGINT has come.

    Python's own handler raises KeyboardInterrupt wherever the program happens to be, and a callback from C
    (a finalizer, a compiler's hook) swallows it. So the signal is remembered as well, and `check` asks.
    """

    def __init__(self) -> None:
        self.requested = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Signal handler."""
        if self.requested:
            # Whatever is on the disk is whole at every moment; nothing has to be put in order first.
            os._exit(CODE)
        self.requested = True
        os.write(2, b"\nrefsim: stopping when the batch in flight is done; Ctrl-C again stops at once\n")
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise the interrupt that got lost, if one did."""
        if self.requested:
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Handle SIGINT as described while the body runs; not in a background job, which ignores it."""
    interrupt = Interrupt()
    usable = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if usable else signal.SIG_IGN
    if before in (signal.SIG_IGN, None):
        yield interrupt
        return
    signal.signal(signal.SIGINT, interrupt.handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
