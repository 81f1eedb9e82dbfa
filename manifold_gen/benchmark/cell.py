"""One cell of the benchmark: what it is told, and the hash that its result file is named by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Cell:
    """A data set, a method and a seed, with everything that decides the result.

    Neither the machine nor the commit is part of it: they are recorded beside the result.

    Attributes:
        data: name of the data set.
        method: name of the method.
        seed: of weights, batches and random inputs.
        budget: name of the budget.
        seconds: training time, in seconds of one CPU thread (of the clock on a GPU); a student's without its teacher's.
        settings: ``data`` (options of the loader), ``model`` and ``training``, resolved in full: defaults included.
        teacher: the cell whose model this one learns from.

    Example:
        >>> cell = Cell("ramachandran", "free-form-flow", 0, "quick", 60.0, {"model": {"width": 64}})
        >>> cell.hash == Cell(**{**vars(cell), "settings": {"model": {"width": 64}}}).hash
        True
        >>> cell.label
        'ramachandran · free-form-flow · seed 0'
    """

    data: str
    method: str
    seed: int
    budget: str
    seconds: float
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    teacher: Cell | None = None

    @property
    def spec(self) -> dict[str, object]:
        """The specification as plain values; a teacher is named by its hash."""
        return {
            "version": SCHEMA_VERSION,
            "data": self.data,
            "method": self.method,
            "seed": self.seed,
            "budget": self.budget,
            "seconds": self.seconds,
            "settings": {section: dict(table) for section, table in self.settings.items()},
            "teacher": None if self.teacher is None else self.teacher.hash,
        }

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of ``spec``, hexadecimal."""
        text = json.dumps(self.spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"{self.data} · {self.method} · seed {self.seed}"
