"""The free-form network: a plain residual network that carries tangent vectors along at the cost of their rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SiLUPushforward(torch.autograd.Function):
    """a = h s(h) and its derivative a'(h) along tangents, with a backward pass of half the operations.

    With s the logistic function, a' = s (1 + h − a) and a'' = s + a' − 2 s a'.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(h: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        s = torch.sigmoid(h)
        a = h * s
        slope = torch.addcmul(s, s, h - a)
        return a, slope * tangents, s, slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, ...]) -> None:
        _, _, s, slope = output
        ctx.mark_non_differentiable(s, slope)
        ctx.save_for_backward(*inputs, s, slope)

    @staticmethod
    def backward(ctx: Any, grad_a: Tensor, grad_t: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        h, tangents, s, slope = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants a second derivative: s and the slope again, as functions of h
            s = torch.sigmoid(h)
            slope = s * (1 + h - h * s)
        bend = torch.addcmul(s + slope, s, slope, value=-2.0)
        along = (grad_t * tangents).sum(0)
        return torch.addcmul(grad_a * slope, along, bend), grad_t * slope


def silu_pushforward(h: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """SiLU and its derivative along ``tangents`` ``(m, *batch, width)``."""
    a, moved, _, _ = SiLUPushforward.apply(h, tangents)
    return a, moved


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
