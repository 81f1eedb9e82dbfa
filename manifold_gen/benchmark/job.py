"""What goes to a worker and what comes back. Nothing heavy is imported here: a worker loads what its work needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from manifold_gen.benchmark.cell import Cell

Record = dict[str, object]


@dataclass(frozen=True)
class Place:
    """Where a cell runs: a device and a number of CPU threads. Not part of its specification."""

    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Job:
    """A cell to work on.

    Attributes:
        cell: what to do.
        place: where.
        teacher: the files of the trained teacher, by name.
    """

    cell: Cell
    place: Place = field(default_factory=Place)
    teacher: Mapping[str, bytes] | None = None


@dataclass(frozen=True)
class Payload:
    """The record of the result file, and the files of the trained model where it can be saved."""

    record: Record
    files: Mapping[str, bytes] = field(default_factory=dict)


Work = Callable[[Job], Payload]
