"""What the command line says, and where: results on standard output, everything about the work on standard error."""

from __future__ import annotations

import functools
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO

import click


@dataclass
class Console:
    """How much to say and in which form; filled in by ``common_options``.

    Attributes:
        json: one JSON object on standard output instead of text.
        verbosity: −1 quiet, 0 normal, 1 with tracebacks.
        color: whether text may carry colours.
        begun: whether something was said, so that the next title stands off from it.
    """

    json: bool = False
    verbosity: int = 0
    color: bool = True
    begun: bool = False

    def say(self, text: str = "") -> None:
        """Part of the result in words; nothing when quiet or when the result goes out as JSON."""
        if not self.json and self.verbosity >= 0:
            self.begun = True
            print(text, flush=True)

    def heading(self, text: str) -> None:
        """A title above a block."""
        self.say(("\n" if self.begun else "") + self._styled(text, sys.stdout, bold=True))

    def note(self, text: str) -> None:
        """Something about the work, on standard error; nothing when quiet."""
        if self.verbosity >= 0:
            print(text, file=sys.stderr, flush=True)

    def result(self, record: Mapping[str, object]) -> None:
        """The machine-readable result, where it was asked for. Numbers that JSON has no word for become text."""
        if self.json:
            print(json.dumps(_plain(record), indent=2, ensure_ascii=False, allow_nan=False), flush=True)

    def error(self, cause: str, remedy: str) -> None:
        """One line with the cause and one with the remedy, on standard error, however quiet."""
        print(f"{self._styled('error:', sys.stderr, fg='red', bold=True)} {_one_line(cause)}", file=sys.stderr)
        print(f" {self._styled('help:', sys.stderr, bold=True)} {_one_line(remedy)}", file=sys.stderr, flush=True)

    def _styled(self, text: str, stream: TextIO, **style: object) -> str:
        colored = self.color and stream.isatty() and not os.environ.get("NO_COLOR")
        return click.style(text, **style) if colored else text


def common_options(command: Callable[..., object]) -> Callable[..., object]:
    """``--json``, ``-q``, ``-v`` and ``--no-color``; the command gets the ``Console`` as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
    @click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
    @click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an error.")
    @click.option("--no-color", is_flag=True, help="No colours (also: NO_COLOR in the environment).")
    @click.pass_obj
    @functools.wraps(command)
    def wrapped(
        console: Console, *args: object, as_json: bool, quiet: bool, verbose: bool, no_color: bool, **options: object
    ) -> object:
        console.json, console.color = as_json, not no_color
        console.verbosity = -1 if quiet else int(verbose)
        return command(console, *args, **options)

    return wrapped


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
