"""What a training run is told, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from manifold_gen.errors import UsageError

CHOICES = {
    "optimiser": ("muon", "adamw", "adam", "sgd"),
    "schedule": ("one-cycle", "cosine", "constant"),
    "keep": ("best", "last"),
    "precision": ("auto", "float32", "float64", "bf16"),
}
_AT_LEAST_ONE = ("steps", "batch_size", "eval_every", "log_every")
_NOT_NEGATIVE = ("weight_decay", "grad_clip", "patience", "checkpoint_every", "checkpoint_seconds", "threads", "lr_end")
# these decide where and how loudly a run happens, not what it computes
FREE_ON_RESUME = ("device", "threads", "compile", "checkpoint_every", "checkpoint_seconds")


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of ``fit``; every duration counts optimiser steps.

    Attributes:
        steps: optimiser steps in all.
        batch_size: rows of the global batch, shared by all processes; a smaller data set is one batch.
        lr: largest learning rate.
        optimiser: ``"muon"`` (orthogonal steps for the hidden layers, AdamW for the rest), ``"adamw"``, ``"adam"`` (no
            weight decay) or ``"sgd"`` (momentum ``betas[0]``).
        betas: moment decays of Adam.
        weight_decay: decoupled weight decay of matrices; vectors and scalars (biases, scales) have none.
        schedule: ``"one-cycle"``, ``"cosine"`` or ``"constant"``, see ``schedule.learning_rate``.
        warmup: steps until ``lr`` is reached; ``None`` takes 10 % of the steps for one-cycle, none otherwise.
        lr_end: share of ``lr`` left at the last step.
        ema_decay: decay of the moving average of the weights, 0 for none; short runs use a shorter memory.
        grad_clip: largest global gradient norm, 0 for no limit.
        eval_every: steps between two evaluations on the validation split.
        patience: evaluations without improvement after which training stops, 0 for never.
        keep: final weights: the ``"best"`` averaged ones on the validation split, or the ``"last"`` averaged ones.
        log_every: steps between two lines of ``metrics.jsonl``.
        checkpoint_every: steps between two checkpoints, 0 for none but the first and last.
        checkpoint_seconds: seconds between two checkpoints, whichever comes first; 0 for no such limit.
        precision: ``"float32"``, ``"float64"``, ``"bf16"`` (autocast on a CUDA device, weights in float32) or
            ``"auto"``: float64 where the manifold's maps keep their promise in float32 only near the origin.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        compile: run the loss through ``torch.compile``. Off unless measured to pay: on a CPU it does not; a free-form
            flow of width 128 had not finished compiling after four minutes, in which it takes 5,000 plain steps.
        threads: CPU threads of torch, 0 to leave them alone.
        seed: of batches and of the loss's random inputs; the split has its own.

    Raises:
        UsageError: a value outside its range or of the wrong kind, naming the field.

    Example:
        >>> TrainingConfig(steps=100, schedule="cosine").batch_size
        512
    """

    steps: int = 5_000
    batch_size: int = 512
    lr: float = 5e-3
    optimiser: str = "muon"
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-4
    schedule: str = "one-cycle"
    warmup: int | None = None
    lr_end: float = 1e-3
    ema_decay: float = 0.995
    grad_clip: float = 5.0
    eval_every: int = 500
    patience: int = 0
    keep: str = "best"
    log_every: int = 50
    checkpoint_every: int = 1000
    checkpoint_seconds: float = 60.0
    precision: str = "auto"
    device: str = "auto"
    compile: bool = False
    threads: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
        for item in fields(self):
            if item.type == "int" and not isinstance(getattr(self, item.name), int):
                self._refuse(item.name, "a whole number")
            if item.type == "float" and not _is_finite_number(getattr(self, item.name)):
                self._refuse(item.name, "a finite number")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                self._refuse(name, "one of " + ", ".join(allowed))
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                self._refuse(name, "at least 1")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                self._refuse(name, "0 or more")
        if self.lr <= 0:
            self._refuse("lr", "above 0")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            self._refuse("betas", "two numbers in [0, 1)")
        if not 0 <= self.ema_decay < 1:
            self._refuse("ema_decay", "in [0, 1)")
        if self.warmup is not None and not 0 <= self.warmup <= self.steps:
            self._refuse("warmup", f"between 0 and steps = {self.steps}")

    def _refuse(self, name: str, expected: str) -> None:
        raise UsageError(f"training.{name} is {getattr(self, name)!r}, expected {expected}")


def _is_finite_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
