"""A network of a point and two times: the velocity whose geodesic step is a map from the first time to the second."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from manifold_gen.manifolds.base import Manifold
from manifold_gen.networks.features import WaveFeatures
from manifold_gen.networks.residual import ResidualNetwork


class TwoTimeField(nn.Module):
    r"""(x, s, t) ↦ tangent(x, network(s, t, waves of both, features(x), context)); zero before it is trained.

    The waves of a time are :math:`\cos(\pi j s) / j` for j = 1 … ``time_waves``, all equally steep: derivatives in the
    times are what this network is trained on.

    Args:
        manifold: where the field lives.
        width, depth: of the residual network.
        frequency, waves, decay: largest wave number of the features, how many at most, how their amplitudes fall.
        time_waves: how many waves of each time the network sees.
        context_features: length of the context vector, 0 for none.
        seed: of the random wave vectors and of the initial weights.

    Example:
        >>> from manifold_gen.manifolds import Sphere
        >>> field = TwoTimeField(Sphere(2), width=8, depth=1)
        >>> field(torch.tensor([[0.0, 0.0, 1.0]]), torch.zeros(1), torch.ones(1)).detach()
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
        time_waves: int = 4,
        context_features: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.manifold = manifold
        self.features = WaveFeatures(manifold, frequency, waves, seed, decay)
        self.register_buffer("numbers", torch.arange(1.0, time_waves + 1), persistent=False)
        inputs = 2 * (1 + time_waves) + self.features.out_features
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = ResidualNetwork(inputs, manifold.tangent_dim, width, depth, context_features)

    def forward(self, x: Tensor, s: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Tangent vectors at the points ``x`` for the times ``s`` and ``t``, each ``(*batch,)``."""
        inputs = torch.cat([self._times(s, 0.0)[0], self._times(t, 0.0)[0], self.features(x)], -1)
        return self.manifold.tangent(x, self.network(inputs, context))

    def pushforward(
        self,
        x: Tensor,
        s: Tensor,
        t: Tensor,
        rates: tuple[float, float],
        velocity: Tensor | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The free output y ``(*batch, tangent_dim)`` that ``manifold.tangent(x, y)`` makes the field of, and its rate.

        The rate is the derivative where s and t move at ``rates``, and x at ``velocity`` or not at all.
        """
        (first, d_first), (second, d_second) = self._times(s, rates[0]), self._times(t, rates[1])
        moved = torch.cat([d_first, d_second], -1).unsqueeze(0)
        if velocity is None:
            features = self.features(x)
        else:
            features, d_features = self.features.pushforward(x, velocity.unsqueeze(0))
            moved = torch.cat([moved, d_features], -1)
        y, dy = self.network.pushforward(torch.cat([first, second, features], -1), moved, context)
        return y, dy.squeeze(0)

    def _times(self, t: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """What the network sees of a time, and its derivative where the time moves at ``rate``."""
        t, numbers = t.unsqueeze(-1), self.numbers.to(t.dtype)
        phase = torch.pi * numbers * t
        slope = torch.cat([torch.ones_like(t), -torch.pi * torch.sin(phase)], -1)
        return torch.cat([t, torch.cos(phase) / numbers], -1), rate * slope
