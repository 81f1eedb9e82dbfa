"""Euclidean space."""

from __future__ import annotations

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold


class Euclidean(Manifold):
    """Rⁿ with its usual metric: curvature 0, infinite volume, exp_x(u) = x + u.

    >>> space = Euclidean(3)
    >>> space.dist(space.origin(), torch.tensor([3.0, 0.0, 4.0]))
    tensor(5.)

    Args:
        n: dimension, at least 1.

    Raises:
        UsageError: ``n`` is below 1.
    """

    name = "euclidean"
    parallel_transport = True
    curvature = 0.0
    reversible = True

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise UsageError(f"Euclidean needs a dimension of at least 1, got {n}")
        self.shape = (n,)
        self.dim = n
        self.spec = f"euclidean:{n}"

    def projx(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """``u`` itself: every vector is tangent."""
        return u

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """x + u."""
        return x + u

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """y − x."""
        return y - x

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Parallel transport, which changes nothing."""
        return v

    def origin(
        self, *size: int, dtype: torch.dtype | None = None, device: torch.device | None = None, seed: int | None = None
    ) -> Tensor:
        """The zero vector, ``(*size, n)``; ``seed`` is geoopt's and is ignored."""
        return torch.zeros(*size, *self.shape, dtype=dtype, device=device)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """The unit vectors, ``(*batch, n, n)``."""
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        return eye.expand(*self._batch(x), self.dim, self.dim)

    def from_coordinates(self, x: Tensor, coordinates: Tensor) -> Tensor:
        """The coordinates themselves."""
        return coordinates

    def to_coordinates(self, x: Tensor, u: Tensor) -> Tensor:
        """The vector itself."""
        return u

    def log_sqrt_det_metric(self, x: Tensor) -> Tensor:
        """Zero."""
        return x.new_zeros(self._batch(x))

    def log_det_exp(self, x: Tensor, u: Tensor) -> Tensor:
        """Zero: the exponential map is a translation."""
        return (x + u).sum(-1) * 0.0
