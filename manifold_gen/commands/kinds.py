"""What the commands do with a run, by the kind of its data: points on a manifold, molecules."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from manifold_gen.errors import UsageError

if TYPE_CHECKING:
    from manifold_gen.commands.sampling import Drawn
    from manifold_gen.data import Dataset
    from manifold_gen.data.kinds import Format
    from manifold_gen.models.base import GenerativeModel
    from manifold_gen.training.report import Report

_HOMES = {"points": "manifold_gen.commands.points:POINTS", "molecules": "manifold_gen.commands.molecules:MOLECULES"}


@dataclass(frozen=True)
class Told:
    """What a command found: for people, for machines, and whether the numbers may be used."""

    lines: list[str]
    record: Mapping[str, object] = field(default_factory=dict)
    valid: bool = True


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` was asked for; ``flags`` are those that not every kind understands, as they were given."""

    model: GenerativeModel
    format: Format
    dataset: Dataset
    split: str
    seed: int
    flags: Mapping[str, str]
    note: Callable[[str], None]


@dataclass(frozen=True)
class Scoring:
    """What ``score`` was asked for; ``flags`` are those that not every kind understands, as they were given."""

    model: GenerativeModel
    format: Format
    run: str
    file: str
    chunk: int
    seed: int
    flags: Mapping[str, str]


@dataclass(frozen=True)
class Scores:
    """A row for each of those of a file.

    Attributes:
        columns: their names.
        rows: one value a column.
        said: what they are, for people.
        record: the same for machines.
    """

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    said: str
    record: Mapping[str, object]


class Kind(Protocol):
    """One kind of data.

    Attributes:
        name: what a message calls the data.
        example: a file that ``sample`` writes.
        figures: endings of the files that ``plot`` writes.
        sample_flags, evaluate_flags, score_flags: the flags it understands beside those that hold for all.
    """

    name: str
    example: str
    figures: tuple[str, ...]
    sample_flags: frozenset[str]
    evaluate_flags: frozenset[str]
    score_flags: frozenset[str]

    def summarise(self, dataset: Dataset) -> dict[str, object]:
        """What is said about a data set before anything is trained on it, as plain values."""

    def lines(self, summary: Mapping[str, object]) -> list[str]:
        """The summary for people."""

    def diagnose(self, model: GenerativeModel, dataset: Dataset) -> Report:
        """What to look at after a fit."""

    def show(self, drawn: Drawn, target: Path, flags: Mapping[str, Path]) -> Told:
        """After the sample was written to ``target``: what it is, and more files by the flag that asked for them."""

    def evaluate(self, asked: Evaluation) -> Told:
        """How good the model is."""

    def score(self, asked: Scoring) -> Scores:
        """How likely each row of a file is."""

    def plot(
        self, model: GenerativeModel, fmt: Format, dataset: Dataset, target: Path, *, count: int | None, seed: int
    ) -> None:
        """The figure of the model, written to ``target``."""


def kind_of(fmt: Format) -> Kind:
    """What the commands do with data in this format."""
    module, _, name = _HOMES[fmt.kind].partition(":")
    return getattr(importlib.import_module(module), name)


def kind_of_dataset(dataset: Dataset) -> Kind:
    """The same for a data set."""
    from manifold_gen.data.kinds import read_format

    return kind_of(read_format(dataset.info.get("format"), dataset.manifold.spec))


def understood(given: Mapping[str, str | None], known: frozenset[str], kind: Kind) -> dict[str, str]:
    """The flags that were given.

    Raises:
        UsageError: one of them means nothing for this kind of data.
    """
    found = {flag: value for flag, value in given.items() if value is not None}
    for flag in found:
        if flag not in known:
            raise UsageError(f"{flag} means nothing for a run on {kind.name}; leave it out")
    return found
