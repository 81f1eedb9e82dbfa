"""The two models of hyperbolic space and the isometry between them."""

from __future__ import annotations

import torch
from torch import Tensor

from manifold_gen.manifolds.lorentz import Lorentz
from manifold_gen.manifolds.poincare import PoincareBall

__all__ = ["Lorentz", "PoincareBall", "lorentz_to_poincare", "poincare_to_lorentz"]


def poincare_to_lorentz(x: Tensor) -> Tensor:
    """The point of ``Lorentz(n)``, ``(*batch, n + 1)``, that corresponds to a point ``(*batch, n)`` of the ball.

    x ↦ ((1 + |x|²) / (1 − |x|²), 2x / (1 − |x|²)).

    >>> poincare_to_lorentz(torch.tensor([0.5, 0.0]))
    tensor([1.6667, 1.3333, 0.0000])
    """
    squared = (x * x).sum(-1, keepdim=True)
    return torch.cat([1 + squared, 2 * x], -1) / (1 - squared)


def lorentz_to_poincare(x: Tensor) -> Tensor:
    """The point of ``PoincareBall(n)``, ``(*batch, n)``, that corresponds to ``(*batch, n + 1)`` on the hyperboloid.

    (x₀, p) ↦ p / (1 + x₀), the stereographic projection from (−1, 0).

    >>> lorentz_to_poincare(poincare_to_lorentz(torch.tensor([0.5, 0.0])))
    tensor([0.5000, 0.0000])
    """
    return x[..., 1:] / (1 + x[..., :1])
