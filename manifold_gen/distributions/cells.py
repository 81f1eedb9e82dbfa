"""Piecewise constant densities on cells of equal volume.

A *chart* maps a manifold onto the unit cube so that volume is preserved up to a constant factor. A regular grid on the
cube then cuts the manifold into cells of equal volume, and counts on the grid are an exact density.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from manifold_gen.distributions.base import Distribution
from manifold_gen.distributions.drawing import uniforms
from manifold_gen.manifolds.base import Manifold


class CellDensity(Distribution):
    r"""p(x) = count(cell of x) / (total · volume of a cell): zero in empty cells, where ``log_prob`` is −inf.

    A subclass gives the chart, ``to_cube`` and ``from_cube``. Samples have the module's dtype and device.

    Args:
        manifold: of dimension n; compact, unless a subclass says how large a cell is.
        counts: integers ≥ 0 of shape ``(m_1, …, m_n)``, not all zero.

    Raises:
        ValueError: counts are not whole numbers, negative, all zero, or of a rank other than n.
    """

    def __init__(self, manifold: Manifold, counts: Tensor) -> None:
        super().__init__(manifold)
        counts = torch.as_tensor(counts)
        whole = bool((counts == counts.to(torch.int64)).all()) and bool((counts >= 0).all())
        if counts.dim() != manifold.dim or not whole or int(counts.sum()) == 0:
            raise ValueError(
                f"counts of shape {tuple(counts.shape)} must be whole numbers ≥ 0, not all zero, "
                f"with {manifold.dim} axes for {manifold}"
            )
        self.register_buffer("counts", counts.to(torch.int64))
        self.register_buffer("_cumulative", self.counts.flatten().cumsum(0), persistent=False)
        self.register_buffer("_like", torch.zeros(()), persistent=False)

    @abstractmethod
    def to_cube(self, x: Tensor) -> Tensor:
        """Points ``(*batch, *shape)`` in float64 to ``(*batch, n)`` in [0, 1]ⁿ."""

    @abstractmethod
    def from_cube(self, c: Tensor) -> Tensor:
        """Inverse of ``to_cube``."""

    @property
    def cell_volume(self) -> float:
        """Riemannian volume of one cell."""
        return math.exp(self.manifold.log_volume) / self.counts.numel()

    def cell(self, x: Tensor) -> Tensor:
        """Flat index of the cell that holds ``x``, ``(*batch,)``, decided in float64."""
        place = self.to_cube(x.double())
        index = torch.zeros(place.shape[:-1], dtype=torch.int64, device=x.device)
        for axis, size in enumerate(self.counts.shape):
            index = index * size + (place[..., axis] * size).floor().to(torch.int64).clamp(0, size - 1)
        return index

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density, ``(*batch,)``, −inf in empty cells."""
        density = self.counts.flatten()[self.cell(x)].double() / (int(self._cumulative[-1]) * self.cell_volume)
        return density.log().to(x.dtype)

    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, *manifold.shape)`` points: a cell by its count, then uniform within it.

        A draw that rounding to the sample's dtype would carry over the edge of its cell is drawn again.
        """
        device = self._like.device if generator is None else generator.device
        ticket = torch.randint(int(self._cumulative[-1]), (n,), generator=generator, device=device)
        cell = torch.searchsorted(self._cumulative, ticket.to(self._like.device), right=True)
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
        return self.manifold.projx(self.from_cube((corner + u) / size).to(self._like.dtype))

    def entropy(self) -> float:
        """−E[log p(x)] in nats, exactly."""
        share = self.counts.double() / self.counts.sum()
        return float(torch.special.entr(share).sum()) + math.log(self.cell_volume)
