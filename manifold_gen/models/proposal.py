"""Where a model is checked beyond its data: uniform on compact manifolds, a wide wrapped normal elsewhere."""

from __future__ import annotations

import math

from manifold_gen.distributions import ProductDistribution, Uniform, WrappedNormal
from manifold_gen.distributions.base import Distribution
from manifold_gen.manifolds.base import Manifold


def broad_proposal(manifold: Manifold, scale: float) -> Distribution:
    """Uniform where the volume is finite, else the wrapped normal of width ``scale`` at the origin; factor by factor.

    Example:
        >>> from manifold_gen.manifolds import Euclidean
        >>> float(broad_proposal(Euclidean(1), 3.0).scale)
        3.0
    """
    if math.isfinite(manifold.log_volume):
        return Uniform(manifold)
    if len(manifold.factors) > 1:
        return ProductDistribution(manifold, [broad_proposal(factor, scale) for factor in manifold.factors])
    return WrappedNormal(manifold, manifold.origin(), scale)
