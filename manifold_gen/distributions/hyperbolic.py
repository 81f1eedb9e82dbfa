"""Synthetic mixtures on the hyperbolic plane."""

from __future__ import annotations

import torch

from manifold_gen import seeds
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.distributions.wrapped_normal import WrappedNormal
from manifold_gen.manifolds.poincare import PoincareBall

_REACH = 1.2
_SCALES = (0.1, 0.4)


def hyperbolic_mixture(k: int, seed: int = 0) -> Mixture:
    """k wrapped normals on the Poincaré disc, scattered about the origin with unequal weights and shapes.

    Centres are wrapped normal about the origin with scale 1.2; the two scales of each component lie between 0.1 and
    0.4, uniform on the logarithmic scale; weights are proportional to ½ plus an exponential number.

    Args:
        k: number of components.
        seed: decides all of them, the same everywhere.

    Example:
        >>> hyperbolic_mixture(5).sample(3).shape
        torch.Size([3, 2])
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    generator = seeds.generator(seed, k)
    manifold = PoincareBall(2)
    centres = WrappedNormal(manifold, torch.zeros(2, dtype=torch.float64), _REACH).sample(k, generator=generator)
    low, high = _SCALES
    scales = low * (high / low) ** torch.rand(k, 2, generator=generator, dtype=torch.float64)
    weights = 0.5 - torch.log1p(-torch.rand(k, generator=generator, dtype=torch.float64))
    return Mixture(WrappedNormal(manifold, centres, scales), weights.log()).to(torch.get_default_dtype())
