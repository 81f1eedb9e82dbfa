"""What a person sees while a model trains: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

_REFRESH = 0.2  # seconds between two refreshes of the live line


class Progress:
    """Progress on ``stream`` (standard error unless told), nothing when ``quiet``."""

    def __init__(self, steps: int, start: int = 0, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.steps, self.start = steps, start
        self.stream = sys.stderr if stream is None else stream
        self.quiet = quiet
        self.live = not quiet and self.stream.isatty()
        self.began = self.shown = time.monotonic()
        self.width = 0

    def step(self, done: int, loss: float) -> None:
        """Refresh the live line after ``done`` steps."""
        now = time.monotonic()
        if not self.live or now - self.shown < _REFRESH:
            return
        self.shown = now
        rate = (done - self.start) / max(now - self.began, 1e-9)
        left = duration((self.steps - done) / max(rate, 1e-9))
        self._write(f"step {done}/{self.steps}  loss {loss:.4f}  {rate:.1f} it/s  {left} left", end="")

    def line(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self._write(text, end="\n")

    def close(self) -> None:
        """End a live line, so that what follows starts on its own."""
        if self.live and self.width:
            self._write("", end="")

    def _write(self, text: str, end: str) -> None:
        if self.live:
            text = "\r" + text + " " * max(0, self.width - len(text)) + ("" if text else "\r")
        self.stream.write(text + end)
        self.stream.flush()
        self.width = 0 if end or not text.strip() else len(text)


def record_line(record: Mapping[str, object], steps: int) -> str:
    """One line for a record of ``metrics.jsonl``.

    >>> record_line({"step": 500, "split": "val", "loss": 1.25, "elapsed": 75.0}, 1000)
    'step 500/1000  val  loss 1.2500  1:15'
    """
    numbers = {key: value for key, value in record.items() if isinstance(value, float) and key != "elapsed"}
    parts = "  ".join(f"{key} {value:.4f}" for key, value in numbers.items())
    return f"step {record['step']}/{steps}  {record['split']}  {parts}  {duration(float(str(record['elapsed'])))}"


def duration(seconds: float) -> str:
    """Seconds as ``h:mm:ss`` or ``m:ss``.

    >>> duration(75), duration(3700)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(min(seconds, 359_999)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
