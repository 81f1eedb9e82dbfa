"""Where the records of a run go: ``metrics.jsonl``, ``log.txt``, callbacks and the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Protocol

from manifold_gen import models
from manifold_gen.checkpoint.folder import RunFolder
from manifold_gen.data.base import Dataset
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training.config import TrainingConfig
from manifold_gen.training.progress import Progress, record_line
from manifold_gen.training.step import StepRecord

Callback = Callable[[Mapping[str, object]], None]


class Report(Protocol):
    """What a diagnosis returns."""

    def to_dict(self) -> dict[str, object]:
        """Plain values for ``diagnostics.json``."""


class Emitter:
    """Sends each record everywhere it belongs."""

    def __init__(self, folder: RunFolder | None, callbacks: Sequence[Callback], progress: Progress, steps: int) -> None:
        self.folder, self.callbacks, self.progress, self.steps = folder, callbacks, progress, steps

    def metrics(self, record: Mapping[str, object]) -> None:
        """A record of training: into the files and to the callbacks."""
        if self.folder is not None:
            self.folder.append_metrics(record)
        for callback in self.callbacks:
            callback(record)

    def evaluation(self, record: Mapping[str, object]) -> None:
        """A record of validation: as ``metrics``, and a line that stays on the screen."""
        self.metrics(record)
        self.line(record_line(record, self.steps))

    def line(self, text: str) -> None:
        """A line for people."""
        if self.folder is not None:
            self.folder.log(text)
        self.progress.line(text)


def told(model: GenerativeModel, dataset: Dataset, config: TrainingConfig) -> dict[str, object]:
    """What ``config.toml`` records of a run started from Python."""
    kind = models.name_of(model.kind)
    return {
        "data": {"name": dataset.name},
        "model": {"name": kind, "manifold": model.manifold.spec, **model.hyperparameters},
        "training": asdict(config),
    }


def divergence(record: StepRecord, step: int) -> str:
    """What a loss or gradient that is not finite is reported as."""
    terms = [name for name, term in record.terms.items() if not term.isfinite().all()]
    bad = ~sum((term.isfinite() for term in record.terms.values()), start=0).eq(len(record.terms))
    rows = record.index[bad.cpu()].tolist()
    where = f"training rows {rows[:10]}" if rows else f"a batch of training rows {record.index.tolist()[:10]}…"
    what = f"the loss is {record.loss} (terms: {', '.join(terms)})" if terms else _without_terms(record)
    return (
        f"step {step}: {what} at {where}; the last checkpoint is kept: "
        "look at these rows, lower lr or grad_clip, or use precision = 'float64'"
    )


def _without_terms(record: StepRecord) -> str:
    if isfinite(record.loss) and isfinite(record.gradient_norm):
        return "another process met a loss that is not finite"
    return f"the loss is {record.loss} but the norm of its gradient is {record.gradient_norm}"
