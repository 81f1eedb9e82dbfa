"""Checkerboards with exact density: half of the equal cells of T², S², SO(3) or a disc of H², none beside another.

Hard to fit (edges everywhere) and easy to judge: the density is 2 / vol(M) on the filled cells and 0 elsewhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.distributions.cells import CellDensity
from manifold_gen.distributions.histogram import TorusHistogram
from manifold_gen.manifolds.poincare import PoincareBall
from manifold_gen.manifolds.rotations import SO3
from manifold_gen.manifolds.sphere import Sphere


class SphereCells(CellDensity):
    """Counts ``(longitudes, heights)`` on S²: cells equal in longitude and in z, hence in area (Archimedes).

    Example:
        >>> halves = SphereCells(torch.tensor([[0, 1]]))  # the northern half
        >>> halves.log_prob(torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])) + math.log(2 * math.pi)
        tensor([0., -inf])
    """

    def __init__(self, counts: Tensor) -> None:
        super().__init__(Sphere(2), counts)

    def to_cube(self, x: Tensor) -> Tensor:
        """Longitude and height, each scaled to [0, 1]."""
        return _longitude_and_height(x)

    def from_cube(self, c: Tensor) -> Tensor:
        """The unit vector of a longitude and a height."""
        height = 2 * c[..., 1] - 1
        radius = torch.sqrt((1 - height) * (1 + height))
        longitude = (2 * c[..., 0] - 1) * math.pi
        return torch.stack([radius * torch.cos(longitude), radius * torch.sin(longitude), height], -1)


class RotationCells(CellDensity):
    """Counts ``(longitudes, heights, turns)`` on SO(3), cells of equal Haar volume.

    R = R_z(α) R_y(β) R_z(γ): longitude α and height cos β of the image R e_z, and the remaining turn γ about it. The
    Riemannian volume is dα dcos β dγ.

    Example:
        >>> RotationCells(torch.ones(2, 2, 2)).log_prob(torch.eye(3)).exp() * 8 * math.pi**2
        tensor(1.)
    """

    def __init__(self, counts: Tensor) -> None:
        super().__init__(SO3(), counts)

    def to_cube(self, x: Tensor) -> Tensor:
        """α, cos β and γ, each scaled to [0, 1]."""
        turn = torch.atan2(x[..., 2, 1], -x[..., 2, 0]) / (2 * math.pi) + 0.5
        return torch.cat([_longitude_and_height(x[..., :, 2]), turn.unsqueeze(-1)], -1)

    def from_cube(self, c: Tensor) -> Tensor:
        """The rotation of these Euler angles."""
        alpha, gamma = (2 * c[..., 0] - 1) * math.pi, (2 * c[..., 2] - 1) * math.pi
        cb = 2 * c[..., 1] - 1
        sb = torch.sqrt((1 - cb) * (1 + cb))
        ca, sa, cg, sg = torch.cos(alpha), torch.sin(alpha), torch.cos(gamma), torch.sin(gamma)
        rows = [
            torch.stack([ca * cb * cg - sa * sg, -ca * cb * sg - sa * cg, ca * sb], -1),
            torch.stack([sa * cb * cg + ca * sg, -sa * cb * sg + ca * cg, sa * sb], -1),
            torch.stack([-sb * cg, sb * sg, cb], -1),
        ]
        return torch.stack(rows, -2)


class HyperbolicCells(CellDensity):
    """Counts ``(angles, rings)`` on the disc of geodesic radius ``radius`` about the origin of H².

    Cells are equal in polar angle and in cosh r, hence in hyperbolic area; outside the disc the density is 0.

    Args:
        counts: whole numbers, ``(angles, rings)``.
        radius: of the disc, positive.

    Raises:
        ValueError: as for every cell density, or a radius that is not positive.

    Example:
        >>> inner = HyperbolicCells(torch.tensor([[1, 0]]), radius=2.0)
        >>> float(inner.log_prob(torch.tensor([0.99, 0.0])))
        -inf
    """

    def __init__(self, counts: Tensor, radius: float = 3.0) -> None:
        super().__init__(PoincareBall(2), counts)
        if not (radius > 0 and math.isfinite(radius)):
            raise ValueError(f"radius must be positive and finite, got {radius}")
        self.radius = float(radius)

    @property
    def cell_volume(self) -> float:
        """Hyperbolic area of one cell: 2π (cosh R − 1) over the number of cells."""
        return 4 * math.pi * math.sinh(self.radius / 2) ** 2 / self.counts.numel()

    def to_cube(self, x: Tensor) -> Tensor:
        """Polar angle and cosh r − 1, scaled to [0, 1] on the disc."""
        y = self.manifold.embed(x)
        height = torch.sinh(y.norm(dim=-1) / 2).square() / math.sinh(self.radius / 2) ** 2
        return torch.stack([torch.atan2(y[..., 1], y[..., 0]) / (2 * math.pi) + 0.5, height], -1)

    def from_cube(self, c: Tensor) -> Tensor:
        """The point of these polar coordinates."""
        radius = 2 * torch.asinh(torch.sqrt(c[..., 1]) * math.sinh(self.radius / 2))
        angle = (2 * c[..., 0] - 1) * math.pi
        return self.manifold.unembed(torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], -1))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density, ``(*batch,)``, −inf in empty cells and outside the disc."""
        inside = self.to_cube(x.double())[..., 1] <= 1
        return torch.where(inside, super().log_prob(x), -math.inf)


def torus_checkerboard(size: int = 4) -> TorusHistogram:
    """``size`` × ``size`` squares of angles on T², every other one filled.

    Example:
        >>> round(torus_checkerboard().entropy(), 4)  # log(4π² / 2)
        2.9826
    """
    return TorusHistogram(alternating(size, size))


def sphere_checkerboard(longitudes: int = 8, heights: int = 4) -> SphereCells:
    """``longitudes`` × ``heights`` cells of equal area on S², every other one filled.

    Example:
        >>> sphere_checkerboard().sample(5).shape
        torch.Size([5, 3])
    """
    return SphereCells(alternating(longitudes, heights))


def hyperbolic_checkerboard(angles: int = 8, rings: int = 4, radius: float = 3.0) -> HyperbolicCells:
    """``angles`` × ``rings`` cells of equal area on a disc of H², every other one filled.

    Example:
        >>> hyperbolic_checkerboard().sample(5).shape
        torch.Size([5, 2])
    """
    return HyperbolicCells(alternating(angles, rings), radius)


def so3_checkerboard(longitudes: int = 4, heights: int = 2, turns: int = 4) -> RotationCells:
    """``longitudes`` × ``heights`` × ``turns`` cells of equal Haar volume on SO(3), every other one filled.

    Example:
        >>> so3_checkerboard().sample(5).shape
        torch.Size([5, 3, 3])
    """
    return RotationCells(alternating(longitudes, heights, turns))


def alternating(*sizes: int) -> Tensor:
    """1 where the indices of a cell add up to an even number, else 0."""
    if min(sizes) < 1 or math.prod(sizes) % 2:
        raise ValueError(f"a checkerboard needs an even number of cells, got {' × '.join(map(str, sizes))}")
    axes = torch.meshgrid(*(torch.arange(size) for size in sizes), indexing="ij")
    return 1 - torch.stack(axes).sum(0) % 2


def _longitude_and_height(x: Tensor) -> Tensor:
    longitude = torch.atan2(x[..., 1], x[..., 0]) / (2 * math.pi) + 0.5
    return torch.stack([longitude, (x[..., 2] + 1) / 2], -1)
