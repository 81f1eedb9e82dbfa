"""Networks from some angles of a point to the numbers that describe the law of others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from manifold_gen.networks.residual import ResidualNetwork


class Harmonics(nn.Module):
    """cos kx / k and sin kx / k of every angle, k = 1 … ``count``: periodic and, at first, no rougher than k = 1.

    Example:
        >>> Harmonics(2)(torch.zeros(1))
        tensor([1.0000, 0.5000, 0.0000, 0.0000])
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.arange(1.0, count + 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(*batch, 2 · count · n)`` of angles ``(*batch, n)``."""
        numbers = self.numbers.to(x)
        phase = x.unsqueeze(-1) * numbers
        return torch.cat([torch.cos(phase) / numbers, torch.sin(phase) / numbers], -1).flatten(-2)


class Conditioner(nn.Module):
    """A residual network of angles and context, or a plain parameter where there is nothing to look at.

    Args:
        angles: how many angles it sees, through their harmonics.
        context_features: length of the context vector, 0 for none.
        start: ``(out,)`` what it answers before training, whatever it sees.
        width, depth, harmonics: of the network and its features.

    Example:
        >>> network = Conditioner(2, 0, torch.tensor([1.0, 2.0, 3.0]), width=8, depth=1, harmonics=4)
        >>> network(torch.zeros(1, 2)).detach()
        tensor([[1., 2., 3.]])
    """

    def __init__(
        self, angles: int, context_features: int, start: Tensor, *, width: int, depth: int, harmonics: int
    ) -> None:
        super().__init__()
        self.constant = self.network = None
        if angles + context_features == 0:
            self.constant = nn.Parameter(start.clone())
            return
        self.features = Harmonics(harmonics)
        self.network = ResidualNetwork(2 * harmonics * angles, len(start), width, depth, context_features)
        with torch.no_grad():
            self.network.last.bias.copy_(start)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Numbers ``(rows, out)`` from angles ``(rows, angles)`` and context ``(rows, context_features)``."""
        if self.network is None:
            return self.constant.expand(len(x), -1)
        return self.network(self.features(x), context)
