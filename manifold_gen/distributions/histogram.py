"""Histograms on a torus as exact piecewise constant densities."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.distributions.cells import CellDensity
from manifold_gen.manifolds.torus import Torus


class TorusHistogram(CellDensity):
    r"""Piecewise constant density on Tⁿ from counts on a regular grid of angles.

    Axis i is cut into m_i equal cells from ``lower`` on; p(x) = count(cell of x) / (total · volume of a cell), which
    is zero in empty cells, where ``log_prob`` is −inf. Samples have the module's dtype and device.

    Args:
        counts: integers ≥ 0 of shape ``(m_1, …, m_n)``, not all zero.
        lower: angle at which cell 0 of every axis begins, in radians.

    Raises:
        ValueError: counts are not whole numbers, negative or all zero.

    Example:
        >>> d = TorusHistogram(torch.tensor([3, 1]))
        >>> d.log_prob(torch.tensor([[-1.0], [1.0]])).exp() * math.pi
        tensor([0.7500, 0.2500])
    """

    def __init__(self, counts: Tensor, lower: float = -math.pi) -> None:
        counts = torch.as_tensor(counts)
        if counts.dim() == 0:
            raise ValueError("counts must have one axis an angle, got a single number")
        super().__init__(Torus(counts.dim()), counts)
        self.lower = lower

    def to_cube(self, x: Tensor) -> Tensor:
        """Share of the turn from ``lower`` on."""
        return torch.remainder(x - self.lower, 2 * math.pi) / (2 * math.pi)

    def from_cube(self, c: Tensor) -> Tensor:
        """Angles, not yet wrapped."""
        return self.lower + 2 * math.pi * c
