"""The synthetic mixtures on SO(3) that published methods are compared on."""

from __future__ import annotations

import torch

from manifold_gen import seeds
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.distributions.wrapped_normal import WrappedNormal
from manifold_gen.manifolds.rotations import SO3


def so3_mixture(k: int, seed: int = 0) -> Mixture:
    """k equally likely wrapped normals on SO(3) with uniform means and precisions from Gamma(100, rate 1).

    The tangent scale 1/√precision is measured in the Frobenius norm, so the components of the rotation vector have
    standard deviation 1/√(2·precision), about 4°. The mean log-density of its samples is about 3.683 − log k.
    Source: Rozen et al., "Moser Flow", NeurIPS 2021, and De Bortoli et al., NeurIPS 2022.

    Args:
        k: number of components.
        seed: decides means and precisions, the same everywhere.

    Example:
        >>> so3_mixture(16).sample(3).shape
        torch.Size([3, 3, 3])
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    generator = seeds.generator(seed, k)
    manifold = SO3()
    means = manifold.random_uniform(k, generator=generator, dtype=torch.float64)
    # Gamma(100, 1) as a sum of 100 exponentials, which a generator of torch can seed
    precision = -torch.log1p(-torch.rand(k, 100, generator=generator, dtype=torch.float64)).sum(-1, keepdim=True)
    components = WrappedNormal(manifold, means, (2 * precision).rsqrt())
    return Mixture(components, torch.zeros(k, dtype=torch.float64)).to(torch.get_default_dtype())
