"""Functions with removable singularities, right in value and in gradient at the singular point."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def safe_sqrt(x: Tensor) -> Tensor:
    """√x with gradient 0 instead of infinity at x = 0."""
    positive = x > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, x, 1.0)), 0.0)


def wrap_angle(x: Tensor) -> Tensor:
    """The angle in [−π, π) that equals ``x`` modulo 2π."""
    wrapped = torch.remainder(x + math.pi, 2 * math.pi) - math.pi
    return torch.where(wrapped >= math.pi, -math.pi, wrapped)
