r"""Kinds that a density can live on: one-hot features with uniform noise, and what that says of the kinds themselves.

Points that carry a kind as a one-hot vector of size s lie on a set of lower dimension, where a density grows without
bound. With noise u uniform in [−1/2, 1/2) the points h + s u fill cubes around the kinds that do not overlap, and
the largest feature still tells the kind. For a density p of the noisy points

.. math:: \log P(\text{kinds}) \ge E_u \log p(h + s u) + n k \log s,

n k the number of features: Jensen's inequality (Theis, van den Oord and Bethge, *A note on the evaluation of generative
models*, 2016; for kinds of atoms Hoogeboom and others, *Equivariant diffusion for molecule generation in 3D*, 2022).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.distributions.base import Distribution
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold


def kind_size(features: Tensor) -> float:
    """The size s of the entries where every row of ``features`` ``(..., k)`` is s times a unit vector, else 0.

    Example:
        >>> kind_size(torch.tensor([[0.0, 2.0], [2.0, 0.0]])), kind_size(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
        (2.0, 0.0)
    """
    if features.shape[-1] < 2 or features.numel() == 0:
        return 0.0
    size = features.max()
    single = ((features == size).sum(-1) == 1) & ((features == 0).sum(-1) == features.shape[-1] - 1)
    return float(size) if bool((size > 0) & single.all()) else 0.0


def with_noise(manifold: Manifold, x: Tensor, size: Tensor | float, uniform: Tensor) -> Tensor:
    """``x`` with its features moved by ``size`` (u − 1/2), u the uniform numbers ``(*batch, n, k)`` in [0, 1).

    Example:
        >>> from manifold_gen.manifolds import from_spec
        >>> with_noise(from_spec("points:2,1,2"), torch.zeros(2, 3), 1.0, torch.full((2, 2), 0.75))
        tensor([[0.0000, 0.2500, 0.2500],
                [0.0000, 0.2500, 0.2500]])
    """
    k = manifold.feature_dim
    return torch.cat([x[..., :-k], x[..., -k:] + size * (uniform.to(x) - 0.5)], -1)


def spread_of(manifold: Manifold, x: Tensor, size: Tensor | float) -> tuple[Tensor, Tensor]:
    """Mean and size ``(p + k,)`` of the coordinates of places ``x`` ``(..., p + k)`` with their noise.

    Positions have mean zero and one size, the root mean square of all, so that nothing turns; a feature that does not
    vary has size 1.

    Example:
        >>> from manifold_gen.manifolds import from_spec
        >>> spread_of(from_spec("points:2,2,1"), torch.tensor([[3.0, -3.0, 5.0], [-3.0, 3.0, 9.0]]), 0.0)
        (tensor([0., 0., 7.]), tensor([3., 3., 2.]))
    """
    k = manifold.feature_dim
    rows = x.reshape(-1, x.shape[-1])
    positions, features = rows[:, : rows.shape[-1] - k], rows[:, rows.shape[-1] - k :]
    width = positions.square().mean().sqrt().expand(positions.shape[-1])
    centre = features.mean(0)
    deviation = ((features - centre).square().mean(0) + size**2 / 12).sqrt()
    scale = torch.cat([width, deviation])
    return torch.cat([torch.zeros_like(width), centre]), torch.where(scale > 0, scale, 1.0)


@torch.no_grad()
def dequantised_bound(
    density: Distribution,
    x: Tensor,
    size: float,
    context: Tensor | None = None,
    generator: torch.Generator | None = None,
    samples: int = 32,
) -> Tensor:
    """Estimates without bias ``(b,)`` of the bound of log P(x), nats, each a mean over ``samples`` noises.

    A noise at which ``density`` knows no value, −inf, makes the bound −inf.

    Args:
        density: of the noisy points; −inf where it has no preimage.
        x: points ``(b, *shape)`` whose features are one-hot of size ``size``; at ``size`` 0 nothing is moved.
        context: ``(b, …)``, what each is conditioned on.
        generator: of the noises.
        samples: how many for each point.

    Raises:
        UsageError: no samples.
    """
    if samples < 1:
        raise UsageError(f"samples is {samples}, expected at least 1")
    if size == 0:
        return density.score(x, context).log_prob
    n, k = x.shape[-2], density.manifold.feature_dim
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for _ in range(samples):
        uniform = torch.rand(len(x), n, k, generator=generator, dtype=x.dtype, device=x.device)
        total += density.score(with_noise(density.manifold, x, size, uniform), context).log_prob
    return total / samples + n * k * math.log(size)
