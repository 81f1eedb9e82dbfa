"""The uniform distribution of a compact manifold."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.distributions.base import Distribution
from manifold_gen.manifolds.base import Manifold


class Uniform(Distribution):
    """Uniform for the Riemannian volume: p(x) = 1 / vol(M).

    Samples have the module's dtype and device (``Uniform(m).double()`` draws float64).

    Args:
        manifold: a compact manifold, that is one with a finite ``log_volume``.

    Raises:
        ValueError: the manifold has infinite volume.

    Example:
        >>> from manifold_gen.manifolds.torus import Torus
        >>> d = Uniform(Torus(2))
        >>> round(float(d.log_prob(torch.zeros(2))), 4)
        -3.6758
    """

    def __init__(self, manifold: Manifold) -> None:
        super().__init__(manifold)
        if not math.isfinite(manifold.log_volume):
            raise ValueError(
                f"Uniform needs a manifold of finite volume, {manifold} has log_volume {manifold.log_volume}; "
                "use WrappedNormal, or default_base(manifold)"
            )
        self.register_buffer("_like", torch.zeros(()), persistent=False)

    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, *manifold.shape)`` points."""
        device = self._like.device if generator is None else generator.device
        points = self.manifold.random_uniform(n, generator=generator, dtype=self._like.dtype, device=device)
        return points.to(self._like.device)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """−log vol(M) at every point, ``(*batch,)``."""
        batch = x.shape[: x.dim() - len(self.manifold.shape)]
        return torch.full(batch, -self.manifold.log_volume, dtype=x.dtype, device=x.device)
