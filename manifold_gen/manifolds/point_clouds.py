"""The family of point clouds of every size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_cloud import PointCloud


class PointClouds:
    """``PointCloud(n, position_dim, feature_dim)`` for every n: where data live whose points differ in size.

    It is no manifold, for it has no one dimension; it knows the manifold of each of its points.

    Args:
        position_dim: p, dimension of the space that the points lie in.
        feature_dim: k, numbers that each point carries beside its position.

    Raises:
        UsageError: ``position_dim`` below 1 or ``feature_dim`` below 0.

    Example:
        >>> clouds = PointClouds(3, 5)
        >>> clouds.spec, clouds.at(18), clouds.of(torch.zeros(2, 7, 8))
        ('clouds:3,5', points:18,3,5, points:7,3,5)
    """

    varies = True
    symmetry = "euclidean"
    log_volume = math.inf

    def __init__(self, position_dim: int = 3, feature_dim: int = 0) -> None:
        if position_dim < 1 or feature_dim < 0:
            raise UsageError(
                f"clouds need position_dim of at least 1 and feature_dim of at least 0, got {position_dim} "
                f"and {feature_dim}"
            )
        self.position_dim, self.feature_dim = position_dim, feature_dim
        self.spec = f"clouds:{position_dim},{feature_dim}"

    def at(self, n: int) -> PointCloud:
        """The clouds of ``n`` points."""
        return PointCloud(n, self.position_dim, self.feature_dim)

    def of(self, x: Tensor) -> PointCloud:
        """The manifold that the points ``x`` ``(*batch, n, p + k)`` lie on."""
        return self.at(x.shape[-2])

    def safe_radius(self, dtype: torch.dtype) -> float:
        """As on every flat space."""
        return math.inf

    def __repr__(self) -> str:
        return self.spec
