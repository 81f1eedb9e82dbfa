"""The free-form network: a plain residual network that carries tangent vectors along at the cost of their rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def silu_pushforward(h: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """SiLU and its derivative along ``tangents`` ``(m, *batch, width)``."""
    s = torch.sigmoid(h)
    a = h * s
    return a, (s + a * (1 - s)) * tangents


class ResidualNetwork(nn.Module):
    """Input layer, ``depth`` blocks h + W₂ silu(W₁ silu(h)), output layer on silu(h); the last layer starts at zero.

    Example:
        >>> network = ResidualNetwork(3, 2, width=8, depth=1)
        >>> value, moved = network.pushforward(torch.ones(5, 3), torch.ones(4, 5, 3))
        >>> value.shape, moved.shape
        (torch.Size([5, 2]), torch.Size([4, 5, 2]))
    """

    def __init__(self, in_features: int, out_features: int, width: int, depth: int, context_features: int = 0) -> None:
        super().__init__()
        self.first = nn.Linear(in_features + context_features, width)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.outer = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, out_features)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        for layer in self.outer:
            nn.init.zeros_(layer.bias)
            with torch.no_grad():
                layer.weight.mul_(depth**-0.5)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.first(x if context is None else torch.cat([x, context], -1))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            h = h + outer(F.silu(inner(F.silu(h))))
        return self.last(F.silu(h))

    def pushforward(self, x: Tensor, tangents: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Output, and its derivatives along ``tangents`` ``(m, *batch, in_features)``."""
        h = self.first(x if context is None else torch.cat([x, context], -1))
        t = tangents @ self.first.weight[:, : tangents.shape[-1]].mT
        for inner, outer in zip(self.inner, self.outer, strict=True):
            a, u = silu_pushforward(h, t)
            a, u = silu_pushforward(inner(a), u @ inner.weight.mT)
            h, t = h + outer(a), t + u @ outer.weight.mT
        a, u = silu_pushforward(h, t)
        return self.last(a), u @ self.last.weight.mT
