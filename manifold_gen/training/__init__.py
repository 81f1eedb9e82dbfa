"""Training: the only place with an optimiser."""

from __future__ import annotations

from manifold_gen.training.config import TrainingConfig
from manifold_gen.training.loop import FitResult, fit
from manifold_gen.training.signals import Interrupted

__all__ = ["FitResult", "Interrupted", "TrainingConfig", "fit"]
