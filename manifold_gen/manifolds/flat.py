"""What Euclidean space and the flat torus have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.heat.interface import as_times


class Flat(Manifold):
    """A quotient of Rⁿ by translations: every tangent space is Rⁿ itself, with one frame for all points."""

    parallel_transport = True
    curvature = 0.0
    has_heat_kernel = True

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """``u`` itself: every vector is tangent."""
        return u

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Parallel transport, which changes nothing."""
        return v

    def dexp_inverse(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """``v`` itself: the exponential map is a translation."""
        return v

    def origin(
        self, *size: int, dtype: torch.dtype | None = None, device: torch.device | None = None, seed: int | None = None
    ) -> Tensor:
        """All coordinates zero, ``(*size, n)``; ``seed`` is geoopt's and is ignored."""
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
        """Zero: the metric is the ambient one."""
        return x.new_zeros(self._batch(x))

    def log_det_exp(self, x: Tensor, u: Tensor) -> Tensor:
        """Zero: the exponential map is a translation."""
        return self._sum(x + u) * 0.0

    def sample_heat_kernel(self, x: Tensor, t: Tensor | float, generator: torch.Generator | None = None) -> Tensor:
        """x + √t z, z standard normal; wrapped on a torus."""
        t = as_times(t, x)
        batch = torch.broadcast_shapes(self._batch(x), t.shape)
        step = self.random_tangent(x.expand(*batch, *self.shape), generator=generator)
        return self.expmap(x, self._wide(t.sqrt()) * step)
