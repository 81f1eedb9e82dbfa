"""Clouds of points that have no place of their own: the centre of mass is zero."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.flat import Flat
from manifold_gen.manifolds.heat.interface import as_times
from manifold_gen.manifolds.heat.wrapped import normal_log_density


class PointCloud(Flat):
    r"""n points of :math:`\mathbb R^p` with mean zero, and k features beside each: a flat space.

    .. math:: M = \{(r, h) \in \mathbb R^{n \times p} \times \mathbb R^{n \times k} : \textstyle\sum_i r_i = 0\},
       \qquad \dim M = (n - 1)\, p + n k,

    with the Euclidean metric of the array ``(n, p + k)``, positions first. The points of a cloud have no order and no
    orientation in space: ``symmetry`` tells models to learn functions of it that commute with permutations, rotations
    and reflections. Densities are with respect to the Lebesgue measure of M.

    Args:
        n: number of points, at least 2.
        position_dim: p, at least 1.
        feature_dim: k, 0 for bare points.

    Raises:
        UsageError: a number is below what it must be.

    Example:
        >>> pair = PointCloud(2, 1)
        >>> pair.dim, pair.shape
        (1, (2, 1))
        >>> pair.projx(torch.tensor([[3.0], [1.0]]))
        tensor([[ 1.],
                [-1.]])
        >>> pair.to_coordinates(pair.origin(), torch.tensor([[1.0], [-1.0]]))
        tensor([1.4142])
    """

    name = "points"
    reversible = True
    ndim = 2
    symmetry = "euclidean"

    def __init__(self, n: int, position_dim: int = 3, feature_dim: int = 0) -> None:
        super().__init__()
        for given, least, what in ((n, 2, "n"), (position_dim, 1, "position_dim"), (feature_dim, 0, "feature_dim")):
            if given < least:
                raise UsageError(f"PointCloud needs {what} of at least {least}, got {given}")
        self.position_dim, self.feature_dim = position_dim, feature_dim
        self.shape = (n, position_dim + feature_dim)
        self.dim = (n - 1) * position_dim + n * feature_dim
        self.spec = f"points:{n},{position_dim},{feature_dim}"

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Positions ``(*batch, n, p)`` and features ``(*batch, n, k)``, of points or of tangent vectors."""
        return x[..., : self.position_dim], x[..., self.position_dim :]

    def projx(self, x: Tensor) -> Tensor:
        """``x`` moved so that the mean position is zero."""
        positions, features = self.split(x)
        positions = positions - positions.mean(-2, keepdim=True)
        return torch.cat([positions, features], -1) if self.feature_dim else positions

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """``u`` without its mean position."""
        return self.projx(u.expand(torch.broadcast_shapes(x.shape, u.shape)))

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """x + u."""
        return x + u

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """y − x."""
        return y - x

    def tangent_basis(self, x: Tensor) -> Tensor:
        """One frame for all points, ``(*batch, dim, n, p + k)``: see ``from_coordinates``."""
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        return self._matrices(eye).expand(*self._batch(x), self.dim, *self.shape)

    def from_coordinates(self, x: Tensor, coordinates: Tensor) -> Tensor:
        """Positions by the rows of ``helmert(n)``, then the features one after the other."""
        return self._matrices(coordinates)

    def to_coordinates(self, x: Tensor, u: Tensor) -> Tensor:
        """Coordinates ``(*batch, dim)`` in the frame."""
        positions, features = self.split(u)
        return torch.cat([(self._rows(u) @ positions).flatten(-2), features.flatten(-2)], -1)

    def heat_kernel(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        """log N(y; x, t) on the zero-mean subspace."""
        return normal_log_density(self.to_coordinates(x, y - x), as_times(t, x).unsqueeze(-1)).sum(-1)

    def heat_kernel_score(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        """(x − y) / t."""
        return (x - y) / self._wide(as_times(t, x))

    def _matrices(self, coordinates: Tensor) -> Tensor:
        n = self.shape[0]
        positions, features = coordinates.split([(n - 1) * self.position_dim, n * self.feature_dim], -1)
        positions = self._rows(coordinates).mT @ positions.unflatten(-1, (n - 1, self.position_dim))
        if not self.feature_dim:
            return positions
        return torch.cat([positions, features.unflatten(-1, (n, self.feature_dim))], -1)

    def _rows(self, like: Tensor) -> Tensor:
        return helmert(self.shape[0]).to(like)


@functools.lru_cache(maxsize=128)
def helmert(n: int) -> Tensor:
    """Orthonormal rows ``(n − 1, n)`` of mean zero, float64: row k − 1 has k equal entries and then minus their sum.

    Example:
        >>> helmert(2)
        tensor([[ 0.7071, -0.7071]], dtype=torch.float64)
    """
    k = torch.arange(1.0, n, dtype=torch.float64).unsqueeze(-1)
    place = torch.arange(n, dtype=torch.float64)
    rows = torch.where(place < k, 1.0, torch.where(place == k, -k, 0.0))
    return rows / torch.sqrt(k * (k + 1))
