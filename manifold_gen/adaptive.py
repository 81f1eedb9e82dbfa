r"""Dormand and Prince's pair of orders 5 and 4, each point with step sizes of its own."""

from __future__ import annotations

from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.runge_kutta import FieldWithDivergence, VolumePath


def integrate_adaptively(
    field: FieldWithDivergence, manifold: Manifold, x: Tensor, start: float, end: float, tolerance: float
) -> VolumePath:
    """As ``ode.integrate_with_volume``, the local error of every step held below ``tolerance``."""
    raise UsageError("the adaptive method is not available; use rk4")
