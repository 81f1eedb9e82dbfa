"""Histograms on a torus as exact piecewise constant densities."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.distributions.base import Distribution
from manifold_gen.distributions.drawing import uniforms
from manifold_gen.manifolds.torus import Torus
from manifold_gen.numerics import wrap_angle


class TorusHistogram(Distribution):
    r"""Piecewise constant density on Tⁿ from counts on a regular grid.

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
        if counts.dim() == 0 or bool((counts != counts.to(torch.int64)).any()) or bool((counts < 0).any()):
            raise ValueError(f"counts of shape {tuple(counts.shape)} must be whole numbers ≥ 0 with one axis an angle")
        if int(counts.sum()) == 0:
            raise ValueError(f"counts of shape {tuple(counts.shape)} must not all be zero")
        super().__init__(Torus(counts.dim()))
        self.lower = lower
        self.register_buffer("counts", counts.to(torch.int64))
        self.register_buffer("_cumulative", self.counts.flatten().cumsum(0), persistent=False)
        self.register_buffer("_like", torch.zeros(()), persistent=False)

    @property
    def cell_volume(self) -> float:
        """Riemannian volume of one cell."""
        return math.exp(self.manifold.log_volume) / self.counts.numel()

    def cell(self, x: Tensor) -> Tensor:
        """Flat index of the cell that holds ``x``, ``(*batch,)``, decided in float64."""
        index = torch.zeros(x.shape[:-1], dtype=torch.int64, device=x.device)
        offset = torch.remainder(x.double() - self.lower, 2 * math.pi)
        for axis, size in enumerate(self.counts.shape):
            step = (offset[..., axis] * (size / (2 * math.pi))).floor().to(torch.int64).clamp(0, size - 1)
            index = index * size + step
        return index

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density, ``(*batch,)``, −inf in empty cells."""
        density = self.counts.flatten()[self.cell(x)].double() / (int(self.counts.sum()) * self.cell_volume)
        return density.log().to(x.dtype)

    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, n_angles)`` points: a cell by its count, then uniform within it.

        A draw that rounding to the sample's dtype would carry over the edge of its cell is drawn again.
        """
        total = int(self._cumulative[-1])
        device = self._like.device if generator is None else generator.device
        ticket = torch.randint(total, (n,), generator=generator, device=device).to(self._like.device)
        cell = torch.searchsorted(self._cumulative, ticket, right=True)
        points = self._within(cell, generator)
        outside = (self.cell(points) != cell).nonzero()[:, 0]
        while outside.numel():
            points = points.index_put((outside,), self._within(cell[outside], generator))
            outside = outside[self.cell(points[outside]) != cell[outside]]
        return points

    def _within(self, cell: Tensor, generator: torch.Generator | None) -> Tensor:
        size = torch.tensor(self.counts.shape, dtype=torch.float64, device=cell.device)
        corner = torch.stack(torch.unravel_index(cell, self.counts.shape), -1).double()
        u = uniforms(*corner.shape, like=size, generator=generator)
        return wrap_angle((self.lower + (corner + u) * (2 * math.pi / size)).to(self._like.dtype))

    def entropy(self) -> float:
        """−E[log p(x)] in nats, exactly."""
        share = self.counts.double() / self.counts.sum()
        return float(torch.special.entr(share).sum()) + math.log(self.cell_volume)
