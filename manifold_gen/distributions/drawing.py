"""Random numbers on the generator's device, so that a CPU generator gives the same draw for parameters anywhere."""

from __future__ import annotations

import torch
from torch import Tensor


def uniforms(
    *size: int, like: Tensor, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """``size`` uniform numbers in [0, 1) on ``like``'s device, in ``dtype`` or ``like``'s."""
    device = like.device if generator is None else generator.device
    return torch.rand(size, generator=generator, dtype=dtype or like.dtype, device=device).to(like.device)


def normals(
    *size: int, like: Tensor, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """``size`` standard normal numbers on ``like``'s device, in ``dtype`` or ``like``'s."""
    device = like.device if generator is None else generator.device
    return torch.randn(size, generator=generator, dtype=dtype or like.dtype, device=device).to(like.device)


def categories(probabilities: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
    """``(n,)`` indices drawn with the given ``(K,)`` probabilities by inverting their cumulative sum in float64.

    An index of probability zero is never drawn.
    """
    cumulative = probabilities.detach().double().cumsum(0)
    u = uniforms(n, like=cumulative, generator=generator) * cumulative[-1]
    last = probabilities.detach().nonzero().amax()
    return torch.searchsorted(cumulative, u, right=True).clamp(max=last)
