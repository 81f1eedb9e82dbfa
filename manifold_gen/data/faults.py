"""Rows that cannot be used: found by checks, then reported in one message or dropped."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.errors import DataError, UsageError

_SHOWN = 5


@dataclass(frozen=True)
class Fault:
    """Rows with one thing wrong.

    Attributes:
        bad: ``(N,)`` booleans.
        what: what is wrong, e.g. ``"NaN or infinite values"``.
        remedy: what was expected and what to do.
    """

    bad: Tensor
    what: str
    remedy: str


@dataclass(frozen=True)
class Rows:
    """What is left of the rows of a file or array while they are checked.

    Attributes:
        index: original numbers of the rows that are left.
        name: how to call an original row in a message.
        on_bad_row: ``"error"`` raises at the first fault, ``"drop"`` leaves the rows out and warns.
    """

    index: Tensor
    name: Callable[[int], str]
    on_bad_row: str = "error"

    def __post_init__(self) -> None:
        if self.on_bad_row not in ("error", "drop"):
            raise UsageError(f"on_bad_row is {self.on_bad_row!r}; expected 'error' or 'drop'")

    def settle(self, fault: Fault) -> Tensor:
        """``(N,)`` booleans of the rows to keep, after a message about the others.

        Raises:
            DataError: there are bad rows and they are not to be dropped, or no row is left.
        """
        count = int(fault.bad.sum())
        if count == 0:
            return ~fault.bad
        total = len(fault.bad)
        numbers = self.index[fault.bad][:_SHOWN].tolist()
        listed = ", ".join(self.name(row) for row in numbers) + (", …" if count > _SHOWN else "")
        message = f"{count} of {total} rows have {fault.what} ({listed})"
        if self.on_bad_row == "error":
            raise DataError(f"{message}; {fault.remedy}, or drop such rows (on_bad_row='drop', --on-bad-row drop)")
        if count == total:
            raise DataError(f"{message}; no row is left: {fault.remedy}")
        warnings.warn(f"{message}: dropped", stacklevel=2)
        return ~fault.bad

    def keep(self, mask: Tensor) -> Rows:
        """The rows of ``mask``."""
        return Rows(self.index[mask], self.name, self.on_bad_row)


def all_rows(count: int, name: Callable[[int], str] | None = None, on_bad_row: str = "error") -> Rows:
    """``count`` rows, called "row 0", "row 1" … unless ``name`` says otherwise."""
    return Rows(torch.arange(count), name or (lambda row: f"row {row}"), on_bad_row)


def nonfinite(values: Tensor) -> Fault:
    """Rows with a NaN or an infinite entry."""
    bad = ~torch.isfinite(values).flatten(1).all(1)
    return Fault(bad, "NaN, infinite or missing values", "every value must be a finite number: correct them")
