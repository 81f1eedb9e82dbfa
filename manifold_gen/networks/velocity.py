"""A plain network as a vector field that depends on time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from manifold_gen.manifolds.base import Manifold
from manifold_gen.networks.features import WaveFeatures
from manifold_gen.networks.residual import ResidualNetwork


class VelocityField(nn.Module):
    r"""(x, t) ↦ tangent(x, network(features(x), waves of t, context)); zero before it is trained.

    The waves of time are :math:`t, \cos(\pi j t)` for j = 1 … ``time_waves``.

    Args:
        manifold: where the field lives.
        width, depth: of the residual network.
        frequency, waves, decay: largest wave number of the features, how many at most, how their amplitudes fall.
        time_waves: how many waves of time the network sees.
        context_features: length of the context vector, 0 for none.
        seed: of the random wave vectors and of the initial weights.

    Example:
        >>> from manifold_gen.manifolds import Sphere
        >>> field = VelocityField(Sphere(2), width=8, depth=1)
        >>> field(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([0.5])).detach()
        tensor([[0., 0., 0.]])
    """

    def __init__(
        self,
        manifold: Manifold,
        width: int = 64,
        depth: int = 3,
        frequency: float = 6.0,
        waves: int = 128,
        decay: float = 1.0,
        time_waves: int = 8,
        context_features: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.manifold = manifold
        self.features = WaveFeatures(manifold, frequency, waves, seed, decay)
        self.register_buffer("rates", torch.pi * torch.arange(1, time_waves + 1), persistent=False)
        beside = 1 + time_waves + context_features
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = ResidualNetwork(self.features.out_features, manifold.tangent_dim, width, depth, beside)

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Tangent vectors at the points ``x`` and times ``t`` ``(*batch,)``."""
        return self.manifold.tangent(x, self.network(self.features(x), self._beside(t, context)))

    def pushforward(
        self, x: Tensor, tangents: Tensor, t: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The field, and its ambient derivatives along ``tangents`` ``(m, *batch, *shape)`` of M."""
        features, moved = self.features.pushforward(x, tangents)
        y, dy = self.network.pushforward(features, moved, self._beside(t, context))

        repeated = x.expand_as(tangents).contiguous(), y.expand_as(dy).contiguous()
        moved = torch.func.jvp(self.manifold.tangent, repeated, (tangents.contiguous(), dy))[1]
        return self.manifold.tangent(x, y), moved

    def _beside(self, t: Tensor, context: Tensor | None) -> Tensor:
        waves = torch.cat([t.unsqueeze(-1), torch.cos(t.unsqueeze(-1) * self.rates.to(t.dtype))], -1)
        return waves if context is None else torch.cat([waves, context], -1)
