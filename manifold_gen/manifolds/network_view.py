"""How a network sees the points of a manifold, and what its outputs mean there."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from manifold_gen.manifolds.precision import WidensHalf


class NetworkView(WidensHalf):
    """The part of a manifold that networks use: inputs from points, and points and tangent vectors from outputs.

    Every map is smooth; the defaults come from the two projections.
    """

    shape: tuple[int, ...]

    @abstractmethod
    def projx(self, x: Tensor) -> Tensor:
        """The nearest point of M to the ambient array ``x``."""

    @abstractmethod
    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """Orthogonal projection of ``u`` onto T_xM."""

    @property
    def embed_dim(self) -> int:
        """Length D of the last axis of ``embed``."""
        return math.prod(self.shape)

    def embed(self, x: Tensor) -> Tensor:
        """The point as a network sees it, ``(*batch, D)``."""
        return x.flatten(-len(self.shape))

    def unembed(self, y: Tensor) -> Tensor:
        """Point from a network's output ``(*batch, D)``; ``unembed(embed(x)) = x``, a submersion near the image."""
        return self.projx(y.reshape(*y.shape[:-1], *self.shape))

    @property
    def advance_dim(self) -> int:
        """Length of the last axis of the ``y`` that ``advance`` takes."""
        return self.embed_dim

    def advance(self, x: Tensor, y: Tensor) -> Tensor:
        """``x`` moved by a network output ``y`` as trains best here; default: ``unembed(embed(x) + y)``."""
        return self.unembed(self.embed(x) + y)

    @property
    def displacement_dim(self) -> int:
        """Length of the last axis of the ``y`` that ``displace`` takes."""
        return self.embed_dim

    def displace(self, x: Tensor, y: Tensor) -> Tensor:
        """The point reached from ``x`` by any network output ``y``; smooth in both, and ``displace(x, 0) = x``.

        On a compact manifold a map x ↦ displace(x, h(x)) is homotopic to the identity, so it reaches every point.
        Default: an addition in the embedding, ``unembed(embed(x) + y)``.
        """
        return self.unembed(self.embed(x) + y)

    @property
    def tangent_dim(self) -> int:
        """Length of the last axis of the ``y`` that ``tangent`` takes."""
        return math.prod(self.shape)

    def tangent(self, x: Tensor, y: Tensor) -> Tensor:
        """Tangent vector at ``x`` from any network output ``y``, smooth in both; default: the projection of ``y``."""
        return self.proju(x, y.reshape(*y.shape[:-1], *self.shape))

    def wave_coordinates(self, x: Tensor) -> Tensor:
        """Coordinates ``(*batch, C)`` whose waves cos(k·c), sin(k·c) are smooth functions on M."""
        return self.embed(x)

    def wave_vectors(self, degree: float, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """``(count', C)`` wave vectors k of length at most ``degree`` for ``wave_coordinates``.

        Default: ``count`` draws, uniform in direction and in length. A torus returns its integer lattice instead.
        """
        direction = torch.randn(count, self.embed_dim, generator=generator)
        length = degree * torch.rand(count, 1, generator=generator)
        return length * direction / direction.norm(dim=-1, keepdim=True)
