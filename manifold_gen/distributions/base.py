"""The two things a sampler and a density promise."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from manifold_gen.manifolds.base import Manifold


class Sampler(nn.Module, ABC):
    """Something that draws points of a manifold."""

    def __init__(self, manifold: Manifold) -> None:
        super().__init__()
        self.manifold = manifold

    @abstractmethod
    def sample(
        self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw ``(n, *manifold.shape)`` points; ``context`` is ``(n, c)`` where the sampler takes one."""


class Distribution(Sampler):
    """A sampler with a density with respect to the Riemannian volume, in nats."""

    @abstractmethod
    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density at ``x``, shape ``(*batch,)``; deterministic."""
