"""Stopping on SIGINT and SIGTERM without losing work."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from manifold_gen.errors import ManifoldGenError


class Interrupted(ManifoldGenError):
    """Training was asked to stop and has saved what it had; ``exit_code`` is 128 + the signal's number."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


class StopFlag:
    """Number of the signal that asked to stop, 0 while none has."""

    signum: int = 0


@contextmanager
def listening() -> Iterator[StopFlag]:
    """Turn the first SIGINT or SIGTERM into a flag; a second one ends the process at once.

    Python allows handlers in the main thread only; elsewhere the flag stays 0.
    """
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        if flag.signum:
            os._exit(128 + signum)
        flag.signum = signum

    previous = {signum: signal.signal(signum, handle) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
