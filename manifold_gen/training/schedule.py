"""Learning rate as a function of the step."""

from __future__ import annotations

import math

from manifold_gen.training.config import TrainingConfig

_START = 0.04  # share of the largest rate that a one-cycle schedule starts from


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Rate η(s) of the step numbered ``step`` (from 0).

    With w warm-up steps, S steps in all, top rate η, end share e and t = (s − w) / (S − w − 1):

    - one-cycle: from 0.04 η up to η along a half cosine during warm-up, then down to e·η along a half cosine;
    - cosine: up linearly, then down along the same half cosine;
    - constant: up linearly, then η.

    Example:
        >>> config = TrainingConfig(steps=101, lr=1.0, schedule="cosine", warmup=0, lr_end=0.5)
        >>> [learning_rate(config, step) for step in (0, 50, 100)]
        [1.0, 0.75, 0.5]
    """
    warmup = warmup_steps(config)
    if step < warmup:
        share = (step + 1) / (warmup + 1)
        if config.schedule == "one-cycle":
            return config.lr * (_START + (1 - _START) * _half_cosine(share))
        return config.lr * share
    if config.schedule == "constant":
        return config.lr
    share = min(1.0, (step - warmup) / max(1, config.steps - warmup - 1))
    return config.lr * (1 - (1 - config.lr_end) * _half_cosine(share))


def warmup_steps(config: TrainingConfig) -> int:
    """Steps of warm-up, with the schedule's own choice where none is set."""
    if config.warmup is not None:
        return config.warmup
    return config.steps // 10 if config.schedule == "one-cycle" else 0


def _half_cosine(share: float) -> float:
    return (1 - math.cos(math.pi * share)) / 2
