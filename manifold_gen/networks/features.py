"""Bounded waves on a manifold, appended to its embedding: what lets a small network see fine structure."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from manifold_gen import seeds
from manifold_gen.manifolds.base import Manifold


class WaveFeatures(nn.Module):
    r"""The embedding of a point and its waves :math:`[e(x),\ a_j\cos(k_j\cdot c(x)),\ a_j\sin(k_j\cdot c(x))]`.

    The amplitudes :math:`a_j = 1/\max(1, |k_j|)^p` make all waves equally steep for p = 1, so that a network that has
    not learned anything yet is no rougher than its longest wave.

    The coordinates c and the wave vectors k come from the manifold: the integer lattice on a torus (circular
    harmonics), random isotropic vectors on the embedding elsewhere (random Fourier features).

    Args:
        manifold: where the points live.
        degree: largest length of a wave vector; 0 keeps the embedding alone.
        count: at most so many wave vectors.
        seed: of the random wave vectors.
        decay: the power p.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> waves = WaveFeatures(Torus(1), degree=2, count=10)
        >>> waves(torch.zeros(1))  # cos and sin, then the harmonics' cosines of size 1 and 1/2, then their sines
        tensor([1.0000, 0.0000, 1.0000, 0.5000, 0.0000, 0.0000])
    """

    def __init__(self, manifold: Manifold, degree: float, count: int, seed: int = 0, decay: float = 1.0) -> None:
        super().__init__()
        self.manifold = manifold
        vectors = (
            manifold.wave_vectors(degree, count, generator=seeds.generator(seed))
            if degree > 0 and count > 0
            else manifold.wave_vectors(1.0, 1, generator=seeds.generator(seed))[:0]
        )
        self.register_buffer("vectors", vectors)
        self.register_buffer("lengths", vectors.norm(dim=-1), persistent=False)
        self.decay = decay
        self.opening = 1.0
        self.out_features = manifold.embed_dim + 2 * vectors.shape[0]

    def open(self, fraction: float) -> None:
        """Let the waves in, long ones first; all of them from ``fraction`` 1 on."""
        self.opening = fraction

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(*batch, out_features)`` of points ``(*batch, *shape)``."""
        phase = self.manifold.wave_coordinates(x) @ self.vectors.to(x.dtype).mT
        size = self._amplitudes(x)
        return torch.cat([self.manifold.embed(x), size * torch.cos(phase), size * torch.sin(phase)], -1)

    def _amplitudes(self, x: Tensor) -> Tensor:
        longest = self.lengths.amax().clamp_min(1.0) if len(self.lengths) else 1.0
        share = (self.opening * (longest + 1) - self.lengths).clamp(0.0, 1.0)
        size = (0.5 - 0.5 * torch.cos(torch.pi * share)) / self.lengths.clamp_min(1.0) ** self.decay
        return size.to(x.dtype)

    def pushforward(self, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """Features, and their derivatives along ``tangents`` ``(m, *batch, *shape)``."""
        vectors = self.vectors.to(x.dtype)

        def coordinates(x: Tensor) -> tuple[Tensor, Tensor]:
            return self.manifold.embed(x), self.manifold.wave_coordinates(x)

        # one derivative of repeated points: mapping over the tangents costs several times as much
        _, (embedded, moved) = torch.func.jvp(
            coordinates, (x.expand_as(tangents).contiguous(),), (tangents.contiguous(),)
        )
        place, waving = coordinates(x)
        phase = waving @ vectors.mT
        size = self._amplitudes(x)
        cosine, sine, moved = size * torch.cos(phase), size * torch.sin(phase), moved @ vectors.mT
        value = torch.cat([place, cosine, sine], -1)
        return value, torch.cat([embedded, -sine * moved, cosine * moved], -1)
