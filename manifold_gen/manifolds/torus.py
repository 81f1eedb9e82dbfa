"""The flat torus Tⁿ = (R / 2πZ)ⁿ."""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor

from manifold_gen.manifolds.base import Manifold
from manifold_gen.numerics import wrap_angle


class Torus(Manifold):
    """Tⁿ with points as angles in [−π, π), radians, and the flat metric: volume (2π)ⁿ, injectivity radius π."""

    name = "torus"
    curvature = 0.0
    injectivity_radius = math.pi
    period = 2 * math.pi

    def __init__(self, n: int) -> None:
        super().__init__()
        self.shape = (n,)
        self.dim = n
        self.log_volume = n * math.log(2 * math.pi)
        self.spec = f"torus:{n}"

    def projx(self, x: Tensor) -> Tensor:
        return wrap_angle(x)

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        return u

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        return wrap_angle(x + u)

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        return wrap_angle(y - x)

    def origin(
        self, *size: int, dtype: torch.dtype | None = None, device: torch.device | None = None, seed: int | None = None
    ) -> Tensor:
        return torch.zeros(*size, *self.shape, dtype=dtype, device=device)

    def tangent_basis(self, x: Tensor) -> Tensor:
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        return eye.expand(*self._batch(x), self.dim, self.dim)

    def random_uniform(
        self,
        *size: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        u = torch.rand(*size, *self.shape, generator=generator, dtype=dtype, device=device)
        return wrap_angle((2 * u - 1) * math.pi)

    @property
    def embed_dim(self) -> int:
        return 2 * self.dim

    def embed(self, x: Tensor) -> Tensor:
        return torch.cat([torch.cos(x), torch.sin(x)], -1)

    def unembed(self, y: Tensor) -> Tensor:
        cosine, sine = y.split(self.dim, -1)
        return torch.atan2(sine, cosine)

    def wave_coordinates(self, x: Tensor) -> Tensor:
        return x

    def wave_vectors(self, degree: float, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Integer wave vectors, one of each pair ±k, shortest first: at most ``count``, of length ≤ ``degree``."""
        top = int(degree)
        axes = [k * torch.eye(self.dim)[i] for k in range(1, top + 1) for i in range(self.dim)]
        if (2 * top + 1) ** self.dim <= 20_000:
            lattice = [
                torch.tensor(k, dtype=torch.get_default_dtype()) for k in product(range(-top, top + 1), repeat=self.dim)
            ]
            half = [k for k in lattice if _leads_positive(k) and k.norm() <= degree]
            return torch.stack(sorted(half, key=lambda k: (float(k.norm()), k.tolist()))[:count])
        return torch.stack(axes)


def _leads_positive(k: Tensor) -> bool:
    nonzero = k[k != 0]
    return bool(len(nonzero)) and bool(nonzero[0] > 0)
