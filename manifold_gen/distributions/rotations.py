"""Synthetic densities on SO(3): the mixtures that published methods are compared on, and symmetric shapes."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.distributions.matrix_fisher import MatrixFisher
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


def so3_peak(seed: int = 0) -> MatrixFisher:
    """One narrow peak, a matrix Fisher distribution with standard deviations of about 1.1°, 2.9° and 5.7°.

    Example:
        >>> so3_peak().sample(3).shape
        torch.Size([3, 3, 3])
    """
    return _oriented(seed, 0, [100.0, 400.0, 2500.0])


def so3_line(seed: int = 0) -> MatrixFisher:
    """A piece of a geodesic: about 40° of standard deviation about one axis, 2° about the others.

    Example:
        >>> so3_line().sample(3).shape
        torch.Size([3, 3, 3])
    """
    return _oriented(seed, 1, [2.0, 800.0, 800.0])


def so3_cone(seed: int = 0) -> MatrixFisher:
    """A whole closed geodesic, the orientations of a cone: any turn about its axis, which is known to 2°.

    Example:
        >>> so3_cone().sample(3).shape
        torch.Size([3, 3, 3])
    """
    return _oriented(seed, 2, [0.0, 800.0, 800.0])


def so3_cube(seed: int = 0) -> Mixture:
    """24 equal peaks of 3°, the orientations of a cube, which look the same.

    Example:
        >>> so3_cube().components.loc.shape
        torch.Size([24, 3, 3])
    """
    one = _oriented(seed, 3, [400.0, 400.0, 400.0])
    components = MatrixFisher(one.loc @ cube_rotations().to(one.loc), one.precision[0, 0])
    return Mixture(components, torch.zeros(24))


def cube_rotations() -> Tensor:
    """The 24 rotations that map a cube onto itself, ``(24, 3, 3)``: signed permutations of determinant 1.

    Example:
        >>> torch.linalg.det(cube_rotations()).sum()
        tensor(24.)
    """
    signs = torch.cartesian_prod(*[torch.tensor([1.0, -1.0])] * 3)
    orders = torch.eye(3)[torch.tensor(list(itertools.permutations(range(3))))]
    signed = (orders.unsqueeze(1) * signs.unsqueeze(-1)).reshape(-1, 3, 3)
    return signed[torch.linalg.det(signed) > 0]


def _oriented(seed: int, stream: int, precisions: list[float]) -> MatrixFisher:
    """Matrix Fisher with a random mode and random principal axes."""
    manifold = SO3()
    mode, axes = manifold.random_uniform(2, generator=seeds.generator(seed, stream), dtype=torch.float64)
    matrix = axes @ torch.diag(torch.tensor(precisions, dtype=torch.float64)) @ axes.mT
    return MatrixFisher(mode, matrix).to(torch.get_default_dtype())
