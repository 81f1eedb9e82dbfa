"""Products of manifolds, with the points of the factors flattened and concatenated on the last axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.numerics import safe_sqrt


class Product(Manifold):
    """M₁ × … × M_k with the product metric: inner products, squared distances and log-volumes add.

    A point has shape ``(*batch, Σ sizeᵢ)``; ``split`` gives the points of the factors in their own shapes and ``join``
    puts them back. Products among the factors are unfolded.

    Args:
        factors: two or more manifolds; the same one may stand several times.

    Raises:
        UsageError: with fewer than two factors.

    Example:
        >>> from manifold_gen.manifolds import SO3, Product, Torus
        >>> m = Product(SO3(), Torus(2))
        >>> m, m.shape, m.dim
        (so3 x torus:2, (11,), 5)
        >>> [tuple(part.shape) for part in m.split(m.origin(4))]
        [(4, 3, 3), (4, 2)]
    """

    name = "product"

    def __init__(self, *factors: Manifold) -> None:
        super().__init__()
        if len(factors) < 2:
            raise UsageError(f"a product takes two or more manifolds, got {len(factors)}; use the factor itself")
        self._factors = tuple(leaf for factor in factors for leaf in factor.factors)
        self.sizes = tuple(math.prod(factor.shape) for factor in self.factors)
        self.shape = (sum(self.sizes),)
        self.dim = sum(factor.dim for factor in self.factors)
        self.log_volume = sum(factor.log_volume for factor in self.factors)
        self.injectivity_radius = min(factor.injectivity_radius for factor in self.factors)
        self.oriented = all(factor.oriented for factor in self.factors)
        self.parallel_transport = all(factor.parallel_transport for factor in self.factors)
        periods = {factor.period for factor in self.factors}
        self.period = periods.pop() if len(periods) == 1 else None
        self.has_heat_kernel = all(factor.has_heat_kernel for factor in self.factors)
        self.spec = " x ".join(factor.spec for factor in self.factors)

    @property
    def factors(self) -> tuple[Manifold, ...]:
        return self._factors

    def split(self, x: Tensor) -> list[Tensor]:
        """Points or tangent vectors of the factors, each in its factor's shape."""
        parts = x.split(self.sizes, -1)
        return [part.unflatten(-1, factor.shape) for part, factor in zip(parts, self.factors, strict=True)]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Inverse of ``split``."""
        return torch.cat([part.flatten(-len(f.shape)) for part, f in zip(parts, self.factors, strict=True)], -1)

    def projx(self, x: Tensor) -> Tensor:
        return self._each(lambda factor, a: factor.projx(a), x)

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        return self._each(lambda factor, a, b: factor.proju(a, b), x, u)

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        return self._each(lambda factor, a, b: factor.expmap(a, b), x, u)

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        return self._each(lambda factor, a, b: factor.logmap(a, b), x, y)

    def retr(self, x: Tensor, u: Tensor) -> Tensor:
        return self._each(lambda factor, a, b: factor.retr(a, b), x, u)

    def egrad2rgrad(self, x: Tensor, u: Tensor) -> Tensor:
        return self._each(lambda factor, a, b: factor.egrad2rgrad(a, b), x, u)

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return self._each(lambda factor, a, b, c: factor.transp(a, b, c), x, y, v)

    def dexp_inverse(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return self._each(lambda factor, a, b, c: factor.dexp_inverse(a, b, c), x, u, v)

    def at_cut_locus(self, x: Tensor, y: Tensor) -> Tensor:
        parts = zip(self.factors, self.split(x), self.split(y), strict=True)
        return torch.stack([factor.at_cut_locus(a, b) for factor, a, b in parts]).any(0)

    def inner(self, x: Tensor, u: Tensor, v: Tensor | None = None, *, keepdim: bool = False) -> Tensor:
        total = self._total(lambda factor, a, b, c: factor.inner(a, b, c), x, u, u if v is None else v)
        return total.unsqueeze(-1) if keepdim else total

    def norm(self, x: Tensor, u: Tensor, *, keepdim: bool = False) -> Tensor:
        """Root of the summed squares of the factors' lengths, each by its factor's own accurate formula."""
        total = safe_sqrt(self._total(lambda factor, a, b: factor.norm(a, b).square(), x, u))
        return total.unsqueeze(-1) if keepdim else total

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        total = self._total(lambda factor, a, b: factor.dist2(a, b), x, y)
        return total.unsqueeze(-1) if keepdim else total

    def dist2_matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return self._total(lambda factor, a, b: factor.dist2_matrix(a, b), x, y)

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        total = safe_sqrt(self._total(lambda factor, a, b: factor.dist(a, b).square(), x, y))
        return total.unsqueeze(-1) if keepdim else total

    def origin(
        self, *size: int, dtype: torch.dtype | None = None, device: torch.device | None = None, seed: int | None = None
    ) -> Tensor:
        return self.join([factor.origin(*size, dtype=dtype, device=device) for factor in self.factors])

    def tangent_basis(self, x: Tensor) -> Tensor:
        rows, before = [], 0
        for factor, part, size in zip(self.factors, self.split(x), self.sizes, strict=True):
            block = factor.tangent_basis(part).flatten(-len(factor.shape))
            rows.append(torch.nn.functional.pad(block, (before, self.shape[0] - before - size)))
            before += size
        return torch.cat(rows, -2)

    def from_coordinates(self, x: Tensor, coordinates: Tensor) -> Tensor:
        blocks = coordinates.split([factor.dim for factor in self.factors], -1)
        parts = zip(self.factors, self.split(x), blocks, strict=True)
        return self.join([factor.from_coordinates(part, block) for factor, part, block in parts])

    def to_coordinates(self, x: Tensor, u: Tensor) -> Tensor:
        parts = zip(self.factors, self.split(x), self.split(u), strict=True)
        return torch.cat([factor.to_coordinates(part, tangent) for factor, part, tangent in parts], -1)

    def random_uniform(
        self,
        *size: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        if math.isinf(self.log_volume):
            return super().random_uniform(*size, generator=generator, dtype=dtype, device=device)
        draws = [f.random_uniform(*size, generator=generator, dtype=dtype, device=device) for f in self.factors]
        return self.join(draws)

    @property
    def embed_dim(self) -> int:
        return sum(factor.embed_dim for factor in self.factors)

    def embed(self, x: Tensor) -> Tensor:
        return torch.cat([factor.embed(part) for factor, part in zip(self.factors, self.split(x), strict=True)], -1)

    def unembed(self, y: Tensor) -> Tensor:
        blocks = y.split([factor.embed_dim for factor in self.factors], -1)
        return self.join([factor.unembed(block) for factor, block in zip(self.factors, blocks, strict=True)])

    @property
    def advance_dim(self) -> int:
        return sum(factor.advance_dim for factor in self.factors)

    def advance(self, x: Tensor, y: Tensor) -> Tensor:
        blocks = y.split([factor.advance_dim for factor in self.factors], -1)
        parts = zip(self.factors, self.split(x), blocks, strict=True)
        return self.join([factor.advance(part, block) for factor, part, block in parts])

    @property
    def displacement_dim(self) -> int:
        return sum(factor.displacement_dim for factor in self.factors)

    def displace(self, x: Tensor, y: Tensor) -> Tensor:
        blocks = y.split([factor.displacement_dim for factor in self.factors], -1)
        parts = zip(self.factors, self.split(x), blocks, strict=True)
        return self.join([factor.displace(part, block) for factor, part, block in parts])

    @property
    def tangent_dim(self) -> int:
        return sum(factor.tangent_dim for factor in self.factors)

    def tangent(self, x: Tensor, y: Tensor) -> Tensor:
        blocks = y.split([factor.tangent_dim for factor in self.factors], -1)
        parts = zip(self.factors, self.split(x), blocks, strict=True)
        return self.join([factor.tangent(part, block) for factor, part, block in parts])

    def wave_coordinates(self, x: Tensor) -> Tensor:
        parts = zip(self.factors, self.split(x), strict=True)
        return torch.cat([factor.wave_coordinates(part) for factor, part in parts], -1)

    def wave_vectors(self, degree: float, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        share = math.ceil(count / len(self.factors))
        return torch.block_diag(*(factor.wave_vectors(degree, share, generator=generator) for factor in self.factors))

    def log_sqrt_det_metric(self, x: Tensor) -> Tensor:
        return self._total(lambda factor, a: factor.log_sqrt_det_metric(a), x)

    def log_det_exp(self, x: Tensor, u: Tensor) -> Tensor:
        return self._total(lambda factor, a, b: factor.log_det_exp(a, b), x, u)

    def safe_radius(self, dtype: torch.dtype) -> float:
        return min(factor.safe_radius(dtype) for factor in self.factors)

    def heat_kernel(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        """Sum over the factors: their Brownian motions are independent."""
        return self._total(lambda factor, a, b: factor.heat_kernel(a, b, t), x, y)

    def heat_kernel_score(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        return self._each(lambda factor, a, b: factor.heat_kernel_score(a, b, t), x, y)

    def sample_heat_kernel(self, x: Tensor, t: Tensor | float, generator: torch.Generator | None = None) -> Tensor:
        return self._each(lambda factor, a: factor.sample_heat_kernel(a, t, generator), x)

    def _each(self, function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
        parts = zip(self.factors, *map(self.split, arguments), strict=True)
        return self.join([function(*part) for part in parts])

    def _total(self, function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
        parts = zip(self.factors, *map(self.split, arguments), strict=True)
        first, *rest = (function(*part) for part in parts)
        return sum(rest, first)
