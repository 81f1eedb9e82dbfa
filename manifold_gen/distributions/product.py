"""Independent distributions on the factors of a product, and the base that every manifold has."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from manifold_gen.distributions.base import Distribution
from manifold_gen.distributions.uniform import Uniform
from manifold_gen.distributions.wrapped_normal import WrappedNormal
from manifold_gen.manifolds.base import Manifold


class ProductDistribution(Distribution):
    """Independent parts, one on each factor of a product: log-densities add.

    Args:
        manifold: a product.
        parts: one distribution a factor, in the order of ``manifold.factors``.

    Raises:
        ValueError: the number of parts or a part's manifold does not match.

    Example:
        >>> from manifold_gen.manifolds import Euclidean, Product, Torus
        >>> default_base(Product(Torus(2), Euclidean(1))).sample(5).shape
        torch.Size([5, 3])
    """

    def __init__(self, manifold: Manifold, parts: Sequence[Distribution]) -> None:
        super().__init__(manifold)
        given = [part.manifold.spec for part in parts]
        expected = [factor.spec for factor in manifold.factors]
        if given != expected or len(parts) < 2:
            raise ValueError(f"parts must match the factors {expected} of {manifold}, got distributions on {given}")
        self.parts = nn.ModuleList(parts)

    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, *manifold.shape)`` points."""
        return self.manifold.join([part.sample(n, context, generator) for part in self.parts])

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Sum of the parts' log-densities, ``(*batch,)``."""
        points = self.manifold.split(x)
        return torch.stack([part.log_prob(point, context) for part, point in zip(self.parts, points, strict=True)]).sum(
            0
        )


def default_base(manifold: Manifold) -> Distribution:
    """Uniform where the volume is finite, else the wrapped normal at the origin with unit scale; factor by factor.

    Example:
        >>> from manifold_gen.manifolds import Sphere
        >>> type(default_base(Sphere(2))).__name__
        'Uniform'
    """
    if math.isfinite(manifold.log_volume):
        return Uniform(manifold)
    if len(manifold.factors) > 1:
        return ProductDistribution(manifold, [default_base(factor) for factor in manifold.factors])
    return WrappedNormal(manifold, manifold.origin(), 1.0)
