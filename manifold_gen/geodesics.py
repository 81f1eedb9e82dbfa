"""Points on geodesics, with velocities."""

from __future__ import annotations

from torch import Tensor

from manifold_gen.manifolds.base import Manifold


def geodesic(manifold: Manifold, z: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The point at time ``t`` ``(*batch,)`` of the shortest geodesic from ``z`` to ``x``, and its velocity there.

    Example:
        >>> import torch
        >>> from manifold_gen.manifolds import Torus
        >>> geodesic(Torus(1), torch.tensor([[3.0]]), torch.tensor([[-3.0]]), torch.tensor([0.5]))[1]
        tensor([[0.2832]])
    """
    scale = t.reshape(*t.shape, *(1,) * len(manifold.shape))
    x_t = manifold.expmap(z, scale * manifold.logmap(z, x))
    # t times the velocity leads back to z, 1 − t times it on to x: the difference is right at both ends
    return x_t, manifold.logmap(x_t, x) - manifold.logmap(x_t, z)
